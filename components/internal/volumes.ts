import * as docker from "@pulumi/docker";
import type * as pulumi from "@pulumi/pulumi";
import { Label, objectName } from "../../spec/names.ts";

/** The labels of an object of ours; an agent's own objects also carry its name. */
export function labels(
  stack: string,
  component: string,
  more: Readonly<Record<string, string>> = {},
) {
  return Object.entries({ [Label.stack]: stack, [Label.component]: component, ...more })
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, value]) => ({ label, value }));
}

/** A volume that another component mounts too: its Engine name, a constant, and the resource to wait for. */
export interface SharedVolume {
  readonly name: string;
  readonly resource: docker.Volume;
}

/** A volume on disk. */
export interface DataVolumeArgs {
  readonly stack: string;
  readonly component: string;
  /** Engine name after `berth-<stack>-`; also the resource's name. */
  readonly part: string;
  /** A delete or replacement by Pulumi leaves the volume on the host. */
  readonly retain: boolean;
  /** Pulumi refuses to delete or replace it. */
  readonly protect: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** What is made before it and taken away after it. */
  readonly dependsOn?: readonly pulumi.Resource[];
}

/** Makes a volume for what must survive its container. */
export function dataVolume(args: DataVolumeArgs, parent: pulumi.Resource): SharedVolume {
  const name = objectName(args.stack, args.part);
  const resource = new docker.Volume(
    args.part,
    { name, labels: labels(args.stack, args.component, args.labels) },
    {
      parent,
      dependsOn: [...(args.dependsOn ?? [])],
      // Production cannot lose data by a slip of the hand: refused by Pulumi, and kept by Docker even then.
      protect: args.protect,
      retainOnDelete: args.retain,
      // Every input of a volume replaces it, and a replacement destroys what is in it: a label is not worth that.
      ignoreChanges: ["driver", "driverOpts", "labels"],
    },
  );
  return { name, resource };
}

/** A volume in RAM that two services share for one unix socket. */
export interface SocketVolumeArgs {
  readonly stack: string;
  /** Service that listens there. */
  readonly component: string;
  /** Engine name after `berth-<stack>-`; also the resource's name. */
  readonly part: string;
  /** User and group that own the directory. */
  readonly uid: number;
  readonly mode: "0700" | "0755";
}

/** Makes a RAM volume; it is empty whenever nobody has it mounted. */
export function socketVolume(args: SocketVolumeArgs, parent: pulumi.Resource): SharedVolume {
  const name = objectName(args.stack, args.part);
  const resource = new docker.Volume(
    args.part,
    {
      name,
      driver: "local",
      driverOpts: {
        device: "tmpfs",
        o: `size=1m,mode=${args.mode},uid=${args.uid},gid=${args.uid},nosuid,nodev,noexec`,
        type: "tmpfs",
      },
      labels: labels(args.stack, args.component),
    },
    // The name is fixed, so the old one must go first; it holds nothing but a socket.
    { parent, deleteBeforeReplace: true },
  );
  return { name, resource };
}
