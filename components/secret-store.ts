import * as pulumi from "@pulumi/pulumi";
import { serviceContainer } from "../spec/container.ts";
import {
  Path,
  Port,
  runDirectory,
  Service,
  storeDirectory,
  storeEgressDirectory,
} from "../spec/names.ts";
import { serviceLimits } from "../spec/presets.ts";
import { MiB } from "../spec/units.ts";
import { createContainer, ownHealthcheck } from "./internal/container.ts";
import { proxyDirectory } from "./socket-proxy.ts";

export interface SecretStoreArgs {
  readonly stack: string;
  readonly image: string;
  /**
   * Directory of the Engine's host with the files that `file:` references name, mounted read-only at the same path.
   * @default none
   */
  readonly secretsDirectory?: string;
  /** Where values come from; the stack's config has the same members. */
  readonly secrets: SecretsArgs;
}

/** Where the values of secret references come from, and how 1Password is asked. */
export interface SecretsArgs {
  readonly provider: "development" | "onepassword";
  readonly via: "sdk" | "connect" | "op";
  readonly connectUrl: string | undefined;
  readonly connectCa: string | undefined;
  /** Path of the program `op` on the Engine's host. */
  readonly opPath: string | undefined;
  readonly pollSeconds: number;
  /** `file:`, `env:` and `generated:` references are accepted. */
  readonly development: boolean;
}

/** Where the store finds the program `op`. */
const opInside = "/opt/op/op";
/**
 * The SDK is 14 MB of WebAssembly (84 MB of memory when it is loaded, before its first answer); `op` is a process for each
 * request; four answers of a Connect server at its bound of 16 MB need some 240 MB.
 */
const onePasswordBytes = 512 * MiB;

/** Resolves secret references; keeps values in memory and in each consumer's own file in RAM. */
export class SecretStore extends pulumi.ComponentResource {
  /** Host directory with every agent's own directory, where its secret files appear. */
  readonly agentsDirectory: pulumi.Output<string>;

  constructor(name: string, args: SecretStoreArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:index:SecretStore", name, {}, opts);
    const { stack, secretsDirectory, secrets } = args;
    const outside = secrets.provider === "onepassword";
    const opPath = outside && secrets.via === "op" ? secrets.opPath : undefined;
    createContainer(
      name,
      serviceContainer({
        stack,
        service: Service.secretStore,
        image: args.image,
        limits: outside ? { ...serviceLimits, memoryBytes: onePasswordBytes } : serviceLimits,
        // Hands each file to the agent's uid, and can do nothing else that its owner could not.
        user: "0:0",
        capabilities: ["CAP_CHOWN"],
        env: {
          BERTH_STACK: stack,
          BERTH_SECRETS: settingsOf(secrets, opPath),
          ...(secretsDirectory ? { BERTH_SECRETS_DIRECTORY: secretsDirectory } : {}),
          ...(outside ? proxyEnvironment : {}),
        },
        binds: [
          `${runDirectory(stack)}/agents:${Path.agentsRun}`,
          `${runDirectory(stack)}/secret-store:${Path.secretStoreRun}`,
          `${storeDirectory(stack)}:${Path.storeRun}`,
          `${proxyDirectory(stack, Service.secretStore)}:${Path.proxyRun}:ro`,
          ...(secretsDirectory ? [`${secretsDirectory}:${secretsDirectory}:ro`] : []),
          ...(outside ? [`${storeEgressDirectory(stack)}:${Path.storeEgressRun}:ro`] : []),
          ...(opPath === undefined ? [] : [`${opPath}:${opInside}:ro`]),
        ],
        networks: [],
        healthcheck: ownHealthcheck,
      }),
      "running",
      [],
      { parent: this },
    );
    this.agentsDirectory = pulumi.output(`${runDirectory(stack)}/agents`);
    this.registerOutputs({ agentsDirectory: this.agentsDirectory });
  }
}

/** What the store's process reads: how to get at values, and no value. */
function settingsOf(secrets: SecretsArgs, opPath: string | undefined): string {
  const { provider, via, connectUrl, connectCa, pollSeconds, development } = secrets;
  const connect = provider === "onepassword" && via === "connect" ? { connectUrl, connectCa } : {};
  return JSON.stringify({
    provider,
    via,
    ...connect,
    ...(opPath === undefined ? {} : { opPath: opInside }),
    pollSeconds,
    development,
  });
}

/** Everything that the store sends goes to its own loopback, where it forwards it to the gateway's socket. */
const outwards = `http://127.0.0.1:${Port.egressProxy}`;
const direct = "127.0.0.1,localhost";
const proxyEnvironment = {
  HTTP_PROXY: outwards,
  HTTPS_PROXY: outwards,
  http_proxy: outwards,
  https_proxy: outwards,
  NO_PROXY: direct,
  no_proxy: direct,
  // Node's own fetch and http then read the variables above.
  NODE_USE_ENV_PROXY: "1",
};
