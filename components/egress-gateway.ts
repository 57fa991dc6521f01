import * as pulumi from "@pulumi/pulumi";
import { serviceContainer } from "../spec/container.ts";
import {
  Path,
  Port,
  runDirectory,
  Service,
  storeDirectory,
  storeEgressDirectory,
  Uid,
} from "../spec/names.ts";
import { serviceLimits } from "../spec/presets.ts";
import { MiB } from "../spec/units.ts";
import { tokenDirectory } from "./admin-bridge.ts";
import { createContainer, ownHealthcheck } from "./internal/container.ts";
import type { SharedVolume } from "./internal/volumes.ts";
import type { StackNetwork } from "./networks.ts";
import { proxyDirectory } from "./socket-proxy.ts";

export interface EgressGatewayArgs {
  readonly stack: string;
  readonly image: string;
  readonly team: string;
  /** Host names that may lead to private addresses, for agents whose allow-list names them too. */
  readonly privateEgress: readonly string[];
  readonly network: StackNetwork;
  readonly egress: StackNetwork;
  /** Volume in RAM with the admin bridge's token socket. */
  readonly tokens: SharedVolume;
  /**
   * Where the secret store may go: entries as in an agent's `egress`, and hosts of them that may have private
   * addresses. @default nowhere
   */
  readonly storeEgress?: {
    readonly hosts: readonly string[];
    readonly privateHosts: readonly string[];
  };
}

/** The only way out of a sealed agent: one socket each, an allow-list, and the credentials that it never sees. */
export class EgressGateway extends pulumi.ComponentResource {
  /** Host directory with every agent's own directory. */
  readonly agentsDirectory: pulumi.Output<string>;

  constructor(name: string, args: EgressGatewayArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:index:EgressGateway", name, {}, opts);
    const { stack, storeEgress } = args;
    createContainer(
      name,
      serviceContainer({
        stack,
        service: Service.egressGateway,
        image: args.image,
        limits: { ...serviceLimits, memoryBytes: 512 * MiB },
        // The Engine makes agents' directories as root, and root without capabilities is no more than their owner.
        // With the agents' group a token file can be for that group only; their secrets are for their user alone.
        user: `0:${Uid.agent}`,
        env: {
          BERTH_STACK: stack,
          BERTH_TEAM: args.team,
          BERTH_PRIVATE_EGRESS: [...args.privateEgress].sort().join(","),
          MATTERMOST_URL: `http://${Service.mattermost}:${Port.mattermost}`,
          ...(storeEgress
            ? {
                BERTH_STORE_EGRESS: [...storeEgress.hosts].sort().join(","),
                BERTH_STORE_PRIVATE: [...storeEgress.privateHosts].sort().join(","),
              }
            : {}),
        },
        binds: [
          `${runDirectory(stack)}/agents:${Path.agentsRun}`,
          `${proxyDirectory(stack, Service.egressGateway)}:${Path.proxyRun}:ro`,
          `${args.tokens.name}:${tokenDirectory}:ro`,
          `${storeDirectory(stack, Service.egressGateway)}:${Path.storeRun}:ro`,
          ...(storeEgress ? [`${storeEgressDirectory(stack)}:${Path.storeEgressRun}`] : []),
        ],
        networks: [args.network.name, args.egress.name],
        healthcheck: ownHealthcheck,
      }),
      "running",
      [args.network, args.egress, args.tokens],
      // Not after Mattermost: it is needed when an agent speaks, not when the gateway starts.
      { parent: this },
    );
    this.agentsDirectory = pulumi.output(`${runDirectory(stack)}/agents`);
    this.registerOutputs({ agentsDirectory: this.agentsDirectory });
  }
}
