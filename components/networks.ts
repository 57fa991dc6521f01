import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { Network, objectName } from "../spec/names.ts";
import { labels } from "./internal/volumes.ts";

export interface NetworksArgs {
  /** Stack that owns the networks. */
  readonly stack: string;
  /** The Engine knows the isolated gateway mode (28 or later). */
  readonly isolatedGateway: boolean;
}

/** A network of the stack: its Engine name, and the resource to wait for. */
export interface StackNetwork {
  readonly name: string;
  readonly resource: docker.Network;
}

/** The four networks of a stack. Sealed agents are on none of them. */
export class Networks extends pulumi.ComponentResource {
  /** Internal: Mattermost, admin bridge, egress gateway, and agents that declare it. */
  readonly mattermost: StackNetwork;
  /** Internal: socket proxy and admin bridge only. */
  readonly socketProxy: StackNetwork;
  /** The egress gateway's way outside. */
  readonly egress: StackNetwork;
  /** Only for published ports, which internal networks cannot have. */
  readonly ingress: StackNetwork;

  constructor(name: string, args: NetworksArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:index:Networks", name, {}, opts);
    const make = (network: Network, inputs: docker.NetworkArgs): StackNetwork => {
      const engineName = objectName(args.stack, network);
      const resource = new docker.Network(
        network,
        { name: engineName, driver: "bridge", labels: labels(args.stack, network), ...inputs },
        { parent: this, deleteBeforeReplace: true },
      );
      return { name: engineName, resource };
    };
    const closed = { internal: true, options: withoutHost(args.isolatedGateway) };
    this.mattermost = make(Network.mattermost, closed);
    this.socketProxy = make(Network.socketProxy, closed);
    this.egress = make(Network.egress, { options: withoutNeighbours });
    this.ingress = make(Network.ingress, { options: { ...withoutNeighbours, ...withoutWayOut } });
    this.registerOutputs({ mattermost: this.mattermost.name, egress: this.egress.name });
  }
}

/**
 * Takes the host's own address off an internal network: with it, containers reach whatever the host binds to all addresses.
 * The isolated mode says it to the Engine; before 28 the bridge is left without an IPv4 address, which does the same.
 */
function withoutHost(isolatedGateway: boolean): Record<string, string> {
  return isolatedGateway
    ? { "com.docker.network.bridge.gateway_mode_ipv4": "isolated" }
    : { "com.docker.network.bridge.inhibit_ipv4": "true" };
}

/** Containers on the network do not see each other. */
const withoutNeighbours = { "com.docker.network.bridge.enable_icc": "false" };

/** Published ports work, but what the container sends of its own accord is not translated and gets no answer. */
const withoutWayOut = { "com.docker.network.bridge.enable_ip_masquerade": "false" };
