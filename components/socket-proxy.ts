import * as pulumi from "@pulumi/pulumi";
import { serviceContainer } from "../spec/container.ts";
import { encodeGrants, type GrantsDocument } from "../spec/grants.ts";
import { Path, Port, runDirectory, Service } from "../spec/names.ts";
import { serviceLimits } from "../spec/presets.ts";
import { createContainer, ownHealthcheck } from "./internal/container.ts";
import { dataVolume } from "./internal/volumes.ts";
import type { StackNetwork } from "./networks.ts";

export interface SocketProxyArgs {
  /** Stack whose objects it serves. */
  readonly stack: string;
  readonly image: string;
  /** Where the Engine's socket lies on the Engine's host. */
  readonly engineSocket: string;
  /** What each client may ask for; never a value of the agent list, which would replace the proxy with every agent. */
  readonly grants: GrantsDocument;
  /** The network that it shares with the admin bridge alone. */
  readonly network: StackNetwork;
  /** Keep its audit whatever happens to the stack: protected from delete, retained on the host. */
  readonly protectData: boolean;
}

/** The only holder of the Docker socket. It parses a closed set of requests and writes its own. */
export class SocketProxy extends pulumi.ComponentResource {
  /** `DOCKER_HOST` of the admin bridge. */
  readonly endpoint: pulumi.Output<string>;

  constructor(name: string, args: SocketProxyArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:index:SocketProxy", name, {}, opts);
    const audit = dataVolume(
      {
        stack: args.stack,
        component: Service.socketProxy,
        part: "audit",
        retain: args.protectData,
        protect: args.protectData,
      },
      this,
    );
    createContainer(
      name,
      serviceContainer({
        stack: args.stack,
        service: Service.socketProxy,
        image: args.image,
        limits: serviceLimits,
        // Root for as long as it takes to learn the socket's group and hand out directories; then it drops all three.
        user: "0:0",
        capabilities: ["CAP_CHOWN", "CAP_SETGID", "CAP_SETUID"],
        init: false,
        env: { BERTH_GRANTS: encodeGrants(args.grants), BERTH_STACK: args.stack },
        binds: [
          `${args.engineSocket}:${Path.dockerSocket}`,
          `${proxyDirectory(args.stack)}:${Path.proxyRun}`,
          `${audit.name}:${Path.audit}`,
        ],
        networks: [args.network.name],
        healthcheck: ownHealthcheck,
      }),
      "running",
      [args.network, audit],
      { parent: this },
    );
    this.endpoint = pulumi.output(socketProxyEndpoint);
    this.registerOutputs({ endpoint: this.endpoint });
  }
}

/** Address of the socket proxy on its network: an alias, so that a new container keeps it. */
export const socketProxyEndpoint = `tcp://${Service.socketProxy}:${Port.socketProxy}`;

/** Host directory of the socket proxy's unix sockets; each client mounts its own child only. */
export function proxyDirectory(stack: string, client?: Service): string {
  const directory = `${runDirectory(stack)}/proxy`;
  return client ? `${directory}/${client}` : directory;
}
