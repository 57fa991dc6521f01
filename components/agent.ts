import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { agentContainer } from "../spec/container.ts";
import { type Declaration, encodeDeclaration } from "../spec/declaration.ts";
import { Label, ownImagePrefix } from "../spec/names.ts";
import { createContainer } from "./internal/container.ts";
import { dataVolume, labels, type SharedVolume } from "./internal/volumes.ts";
import type { StackNetwork } from "./networks.ts";

export interface AgentArgs {
  /** All that there is to say of the agent. The container is rendered from it alone. */
  readonly declaration: Declaration;
  /** Keep the workspace on the host whatever the declaration says. */
  readonly protectData: boolean;
  /** The network of agents that declare `mattermost`. */
  readonly mattermostNetwork: StackNetwork;
  /**
   * Made before the agent and taken away after it: a declaration that goes ends the leases of the agent's instances,
   * as long as the proxy is there to end them.
   */
  readonly socketProxy: pulumi.Resource;
}

/**
 * One agent: its workspace, its declaration, and its container, which Pulumi never starts.
 * With `driver: "local"` it is the declaration alone: the operator runs the program himself.
 */
export class Agent extends pulumi.ComponentResource {
  /** Engine name of the declaration's volume. */
  readonly declaration: pulumi.Output<string>;

  constructor(name: string, args: AgentArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:index:Agent", name, {}, opts);
    const workspace =
      args.declaration.driver === "docker" ? this.#workspace(name, args) : undefined;
    const declaration = this.#declare(name, args, workspace);
    if (workspace) {
      this.#contain(name, args, declaration, workspace);
      this.#pull(name, args.declaration);
    }
    this.declaration = declaration.name;
    this.registerOutputs({ declaration: this.declaration });
  }

  /** An empty volume whose label is the declaration. Without a fixed name, so the new one is there before the old one goes. */
  #declare(name: string, args: AgentArgs, workspace: SharedVolume | undefined): docker.Volume {
    const { declaration, socketProxy } = args;
    return new docker.Volume(
      `${name}-declaration`,
      {
        labels: labels(declaration.stack, "declaration", {
          [Label.agent]: name,
          [Label.declaration]: encodeDeclaration(declaration),
        }),
      },
      // The workspace is taken away after it and before the proxy: until the leases have ended, instances hold it.
      { parent: this, dependsOn: [socketProxy, ...(workspace ? [workspace.resource] : [])] },
    );
  }

  #workspace(name: string, { declaration, protectData, socketProxy }: AgentArgs): SharedVolume {
    return dataVolume(
      {
        stack: declaration.stack,
        component: "workspace",
        part: `${name}-workspace`,
        labels: { [Label.agent]: name },
        retain: declaration.workspace.retain || protectData,
        // Never: a protected workspace would stop an `up` that takes the agent off the list. It is retained instead.
        protect: false,
        dependsOn: [socketProxy],
      },
      this,
    );
  }

  #contain(
    name: string,
    { declaration, mattermostNetwork }: AgentArgs,
    declared: docker.Volume,
    workspace: SharedVolume,
  ): void {
    createContainer(
      name,
      agentContainer(declaration),
      "created",
      [workspace, ...(declaration.network === "mattermost" ? [mattermostNetwork] : [])],
      // A new declaration first: the socket proxy compares a new container with the newest one.
      { parent: this, dependsOn: [declared] },
    );
  }

  /** Images of templates that berth does not build: the socket proxy, which makes containers of them, pulls nothing. */
  #pull(name: string, { image: own, templates = {} }: Declaration): void {
    for (const [template, { image }] of Object.entries(templates)) {
      // The agent's own comes with its container.
      if (image === own || image.startsWith(ownImagePrefix)) continue;
      // Kept: another template or stack may use it, too.
      new docker.RemoteImage(
        `${name}-${template}-image`,
        { name: image, keepLocally: true },
        { parent: this },
      );
    }
  }
}
