import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { type Healthcheck, serviceContainer } from "../spec/container.ts";
import { Path, Port, Service, Uid } from "../spec/names.ts";
import { type Limits, serviceLimits } from "../spec/presets.ts";
import { CPU, GiB, MiB } from "../spec/units.ts";
import { createContainer, healthcheck } from "./internal/container.ts";
import { mattermostEnvironment } from "./internal/mattermost-environment.ts";
import { dataVolume, type SharedVolume, socketVolume } from "./internal/volumes.ts";
import type { StackNetwork } from "./networks.ts";

/** The server behind Mattermost's API: berth's own stand-in, or the official image. */
export const MattermostKind = { Standin: "standin", Official: "official" } as const;
export type MattermostKind = (typeof MattermostKind)[keyof typeof MattermostKind];

export interface MattermostArgs {
  readonly stack: string;
  readonly image: string;
  readonly kind: MattermostKind;
  /** Address and port of the host on which people reach it. */
  readonly bindAddress: string;
  readonly port: number;
  /** URL under which browsers reach it, exactly. */
  readonly siteUrl: string;
  readonly network: StackNetwork;
  readonly ingress: StackNetwork;
  /** Volume in RAM with Postgres's socket, and the container to wait for. */
  readonly postgresSocket: SharedVolume;
  readonly postgres: docker.Container;
  /** Keep its files whatever happens to the stack: protected from delete, retained on the host. */
  readonly protectData: boolean;
}

/** Mattermost: on Postgres by socket, administered by its local-mode socket, sign-up closed. */
export class Mattermost extends pulumi.ComponentResource {
  /** Wait for it: it is healthy. */
  readonly container: docker.Container;
  /** Volume in RAM that holds the local-mode socket. Whoever mounts it is more than an admin. */
  readonly localSocket: SharedVolume;
  /** Where people reach it. */
  readonly url: pulumi.Output<string>;

  constructor(name: string, args: MattermostArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:index:Mattermost", name, {}, opts);
    const { stack } = args;
    const files = directories.map(([part, path]) => ({
      path,
      volume: dataVolume(
        {
          stack,
          component: Service.mattermost,
          part: `${name}-${part}`,
          // Logs and the rest can be made again; people's uploads cannot.
          retain: args.protectData && part === "data",
          protect: args.protectData && part === "data",
        },
        this,
      ),
    }));
    this.localSocket = socketVolume(
      {
        stack,
        component: Service.mattermost,
        part: `${name}-local`,
        uid: Uid.mattermost,
        mode: "0700",
      },
      this,
    );
    this.container = createContainer(
      name,
      serviceContainer({
        stack,
        service: Service.mattermost,
        image: args.image,
        limits: kinds[args.kind].limits,
        user: `${Uid.mattermost}:${Uid.mattermost}`,
        env: mattermostEnvironment(args.siteUrl),
        binds: [
          ...files.map(({ path, volume }) => `${volume.name}:${path}`),
          `${this.localSocket.name}:/var/tmp`,
          `${args.postgresSocket.name}:${Path.postgresRun}:ro`,
        ],
        networks: [args.network.name, args.ingress.name],
        ports: [{ hostIp: args.bindAddress, hostPort: args.port, containerPort: Port.mattermost }],
        healthcheck: kinds[args.kind].healthcheck,
      }),
      "healthy",
      [
        args.network,
        args.ingress,
        args.postgresSocket,
        this.localSocket,
        ...files.map(({ volume }) => volume),
      ],
      { parent: this, dependsOn: [args.postgres] },
    );
    this.url = pulumi.output(args.siteUrl);
    this.registerOutputs({ url: this.url });
  }
}

/** The official image's directories, each in a volume of its own; the stand-in leaves them empty. */
const directories = [
  ["data", "/mattermost/data"],
  ["logs", "/mattermost/logs"],
  ["config", "/mattermost/config"],
  ["plugins", "/mattermost/plugins"],
  ["client-plugins", "/mattermost/client/plugins"],
] as const;

/** What differs between the two servers; all else is the same container. */
const kinds: Readonly<
  Record<MattermostKind, { readonly limits: Limits; readonly healthcheck: Healthcheck }>
> = {
  standin: {
    limits: { ...serviceLimits, memoryBytes: 512 * MiB },
    healthcheck: healthcheck(
      [
        "/usr/local/bin/node",
        "/opt/berth/health.mjs",
        `tcp://127.0.0.1:${Port.mattermost}`,
        "/api/v4/system/ping?get_server_status=true",
      ],
      { intervalMs: 5_000, startPeriodMs: 60_000 },
    ),
  },
  official: {
    // Its makers ask for one CPU and 2 GB up to 1,000 users; 200 processes and threads were too few.
    limits: {
      ...serviceLimits,
      memoryBytes: 2 * GiB,
      nanoCpus: 2 * CPU,
      pids: 1024,
      tmpBytes: 256 * MiB,
    },
    // The image has no shell and no curl; its own tool asks over the local-mode socket, database and files included.
    healthcheck: healthcheck(["/mattermost/bin/mmctl", "system", "status", "--local"], {
      intervalMs: 5_000,
      startPeriodMs: 180_000,
    }),
  },
};
