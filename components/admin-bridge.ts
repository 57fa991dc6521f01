import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { serviceContainer } from "../spec/container.ts";
import { Path, Port, Service, storeDirectory, Uid } from "../spec/names.ts";
import { serviceLimits } from "../spec/presets.ts";
import { createContainer, ownHealthcheck } from "./internal/container.ts";
import { dataVolume, type SharedVolume, socketVolume } from "./internal/volumes.ts";
import type { StackNetwork } from "./networks.ts";
import { socketProxyEndpoint } from "./socket-proxy.ts";

export interface AdminBridgeArgs {
  readonly stack: string;
  readonly image: string;
  /** Agent image whose presence `/api/health` reports. */
  readonly defaultImage: string;
  /** Team and home channel, by name. */
  readonly team: string;
  readonly channel: string;
  /** User names that may give commands. */
  readonly operators: readonly string[];
  /** Address and port of the host for health and metrics. */
  readonly bindAddress: string;
  readonly port: number;
  /** Host names beside the loopback ones under which it may be asked. */
  readonly allowedHosts: readonly string[];
  readonly network: StackNetwork;
  readonly socketProxyNetwork: StackNetwork;
  readonly ingress: StackNetwork;
  /** Volume in RAM with Mattermost's local-mode socket, and the container to wait for. */
  readonly mattermostSocket: SharedVolume;
  readonly mattermost: docker.Container;
  /** Keep its database whatever happens to the stack: protected from delete, retained on the host. */
  readonly protectData: boolean;
}

/** The `@berth` bot: provisions Mattermost from the declarations, and starts and stops agents. */
export class AdminBridge extends pulumi.ComponentResource {
  /** Health, status and metrics. */
  readonly url: pulumi.Output<string>;
  /** Volume in RAM with the socket on which the egress gateway asks for bot tokens. */
  readonly tokens: SharedVolume;

  constructor(name: string, args: AdminBridgeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:index:AdminBridge", name, {}, opts);
    const { stack } = args;
    const data = dataVolume(
      {
        stack,
        component: Service.adminBridge,
        part: `${name}-data`,
        retain: args.protectData,
        protect: args.protectData,
      },
      this,
    );
    this.tokens = socketVolume(
      {
        stack,
        component: Service.adminBridge,
        part: `${name}-tokens`,
        uid: Uid.mattermost,
        mode: "0755",
      },
      this,
    );
    createContainer(
      name,
      serviceContainer({
        stack,
        service: Service.adminBridge,
        image: args.image,
        limits: serviceLimits,
        // Mattermost's local-mode socket admits its own uid only.
        user: `${Uid.mattermost}:${Uid.mattermost}`,
        env: {
          BERTH_STACK: stack,
          BERTH_TEAM: args.team,
          BERTH_CHANNEL: args.channel,
          BERTH_OPERATORS: [...args.operators].sort().join(","),
          BERTH_DEFAULT_IMAGE: args.defaultImage,
          BERTH_ALLOWED_HOSTS: [...new Set(args.allowedHosts)].sort().join(","),
          DOCKER_HOST: socketProxyEndpoint,
          MATTERMOST_URL: `http://${Service.mattermost}:${Port.mattermost}`,
        },
        binds: [
          `${data.name}:/data`,
          `${args.mattermostSocket.name}:/var/tmp:ro`,
          `${this.tokens.name}:${tokenDirectory}`,
          `${storeDirectory(stack, Service.adminBridge)}:${Path.storeRun}:ro`,
        ],
        networks: [args.network.name, args.socketProxyNetwork.name, args.ingress.name],
        ports: [{ hostIp: args.bindAddress, hostPort: args.port, containerPort: Port.adminBridge }],
        healthcheck: ownHealthcheck,
      }),
      "running",
      [
        args.network,
        args.socketProxyNetwork,
        args.ingress,
        args.mattermostSocket,
        data,
        this.tokens,
      ],
      { parent: this, dependsOn: [args.mattermost] },
    );
    this.url = pulumi.output(httpUrl(args.bindAddress, args.port));
    this.registerOutputs({ url: this.url });
  }
}

/** Directory of the socket on which the egress gateway asks for bot tokens. */
export const tokenDirectory = Path.tokenSocket.slice(0, Path.tokenSocket.lastIndexOf("/"));

/** `http://127.0.0.1:8066`, with the brackets that IPv6 needs. */
function httpUrl(address: string, port: number): string {
  return `http://${address.includes(":") ? `[${address}]` : address}:${port}`;
}
