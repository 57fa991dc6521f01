import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { agentContainer } from "../spec/container.ts";
import { type Declaration, encodeDeclaration } from "../spec/declaration.ts";
import { Label } from "../spec/names.ts";
import { createContainer } from "./internal/container.ts";
import { dataVolume, labels } from "./internal/volumes.ts";
import type { StackNetwork } from "./networks.ts";

export interface AgentArgs {
  /** All that there is to say of the agent. The container is rendered from it alone. */
  readonly declaration: Declaration;
  /** Keep the workspace on the host whatever the declaration says. */
  readonly protectData: boolean;
  /** The network of agents that declare `mattermost`. */
  readonly mattermostNetwork: StackNetwork;
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
    const declaration = this.#declare(name, args.declaration);
    if (args.declaration.driver === "docker") this.#contain(name, args, declaration);
    this.declaration = declaration.name;
    this.registerOutputs({ declaration: this.declaration });
  }

  /** An empty volume whose label is the declaration. Without a fixed name, so the new one is there before the old one goes. */
  #declare(name: string, declaration: Declaration): docker.Volume {
    return new docker.Volume(
      `${name}-declaration`,
      {
        labels: labels(declaration.stack, "declaration", {
          [Label.agent]: name,
          [Label.declaration]: encodeDeclaration(declaration),
        }),
      },
      { parent: this },
    );
  }

  #contain(name: string, args: AgentArgs, declared: docker.Volume): void {
    const { declaration } = args;
    const workspace = dataVolume(
      {
        stack: declaration.stack,
        component: "workspace",
        part: `${name}-workspace`,
        labels: { [Label.agent]: name },
        retain: declaration.workspace.retain || args.protectData,
        // Never: a protected workspace would stop an `up` that takes the agent off the list. It is retained instead.
        protect: false,
      },
      this,
    );
    createContainer(
      name,
      agentContainer(declaration),
      "created",
      [workspace, ...(declaration.network === "mattermost" ? [args.mattermostNetwork] : [])],
      // A new declaration first: the socket proxy compares a new container with the newest one.
      { parent: this, dependsOn: [declared] },
    );
  }
}
