import * as pulumi from "@pulumi/pulumi";
import { serviceContainer } from "../spec/container.ts";
import { Path, runDirectory, Service } from "../spec/names.ts";
import { serviceLimits } from "../spec/presets.ts";
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
}

/** Resolves secret references; keeps values in memory and in each consumer's own file in RAM. */
export class SecretStore extends pulumi.ComponentResource {
  /** Host directory with every agent's own directory, where its secret files appear. */
  readonly agentsDirectory: pulumi.Output<string>;

  constructor(name: string, args: SecretStoreArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:index:SecretStore", name, {}, opts);
    const { stack, secretsDirectory } = args;
    createContainer(
      name,
      serviceContainer({
        stack,
        service: Service.secretStore,
        image: args.image,
        limits: serviceLimits,
        // Hands each file to the agent's uid, and can do nothing else that its owner could not.
        user: "0:0",
        capabilities: ["CAP_CHOWN"],
        env: {
          BERTH_STACK: stack,
          ...(secretsDirectory ? { BERTH_SECRETS_DIRECTORY: secretsDirectory } : {}),
        },
        binds: [
          `${runDirectory(stack)}/agents:${Path.agentsRun}`,
          `${runDirectory(stack)}/secret-store:${Path.secretStoreRun}`,
          `${proxyDirectory(stack, Service.secretStore)}:${Path.proxyRun}:ro`,
          ...(secretsDirectory ? [`${secretsDirectory}:${secretsDirectory}:ro`] : []),
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
