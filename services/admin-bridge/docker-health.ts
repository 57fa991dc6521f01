import { Network, objectName } from "../../spec/names.ts";
import type { Log } from "../common/log.ts";
import { reasonOf } from "../common/log.ts";
import { type Engine, pause } from "./engine.ts";

/** What `/api/health` says of Docker (requirement E15). */
export interface DockerHealth {
  readonly socketConnected: boolean;
  readonly imageAvailable: boolean;
  readonly imageName: string;
  readonly networkExists: boolean;
}

/** Asks the socket proxy for the Engine, the default agent image and the stack's chat network. Never throws. */
export async function checkDockerHealth(
  engine: Engine,
  stack: string,
  imageName: string,
): Promise<DockerHealth> {
  const [socketConnected, imageAvailable, networkExists] = await Promise.all([
    engine.ping().then(
      () => true,
      () => false,
    ),
    engine.hasImage(imageName).catch(() => false),
    engine.hasNetwork(objectName(stack, Network.mattermost)).catch(() => false),
  ]);
  return { socketConnected, imageAvailable, imageName, networkExists };
}

/**
 * The check before work begins (requirement E13): socket, network, image, each with its own sentence.
 * The proxy gets `patienceMs` to come up, since both start together.
 * @throws Error that says what is wrong and its cure
 */
export async function checkAtStart(
  engine: Engine,
  options: {
    readonly stack: string;
    readonly image: string;
    readonly log: Log;
    readonly signal: AbortSignal;
    readonly patienceMs?: number;
  },
): Promise<void> {
  const end = Date.now() + (options.patienceMs ?? 60_000);
  for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 2_000)) {
    try {
      await engine.ping();
      break;
    } catch (error) {
      if (options.signal.aborted) return;
      if (Date.now() >= end) {
        throw new Error(
          `the socket proxy does not answer at DOCKER_HOST (${reasonOf(error)}): see that the container docker-socket-proxy runs and that this one is on ${Network.socketProxy}; \`pulumi up\` makes both so`,
        );
      }
      options.log.info("waiting-for-socket-proxy", { reason: reasonOf(error), retryMs: waitMs });
      await pause(waitMs, options.signal);
    }
  }
  const network = objectName(options.stack, Network.mattermost);
  if (!(await engine.hasNetwork(network))) {
    throw new Error(`the network ${network} does not exist: \`pulumi up\` makes it`);
  }
  if (await engine.hasImage(options.image)) return;
  if (await engine.isDeclaredImage(options.image)) {
    throw new Error(
      `the default agent image ${options.image} is not on this host ("No such image"): \`pulumi up\` builds it, or set BERTH_DEFAULT_IMAGE to one that is there`,
    );
  }
  // A stack without agents, or whose agents all bring other images, does not need it: that is no fault.
  options.log.info("default-image-not-declared", { image: options.image });
}
