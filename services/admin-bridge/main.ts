import { Path } from "../../spec/names.ts";
import { serveHealth } from "../common/health.ts";
import { runService } from "../common/service.ts";
import { Bridge } from "./bridge.ts";
import { checkAtStart } from "./docker-health.ts";
import { Engine } from "./engine.ts";
import { isDockerMode } from "./mode.ts";
import { rotateToken, userAdd } from "./operator.ts";
import { readSettings } from "./settings.ts";

/** Verbs that are run by exec in the same container and talk to the bridge that serves; without one: serve. */
const verbs = new Map([
  ["user-add", userAdd],
  ["rotate-token", rotateToken],
]);
const [word, argument] = process.argv.slice(2);
const verb = word === undefined ? undefined : verbs.get(word);

if (verb) {
  process.exitCode = await verb(argument, {
    socketPath: process.env.BERTH_OPERATOR_SOCKET || Path.operatorSocket,
    out: (line) => console.log(line),
    error: (line) => console.error(line),
  });
} else if (word !== undefined) {
  console.error(`unknown verb "${word}": ${[...verbs.keys()].join(", ")}, or none to serve`);
  process.exitCode = 2;
} else {
  runService("admin-bridge", async ({ log, env, signal }) => {
    const settings = readSettings(env);
    // Mattermost's client library writes frames and events to the console; the log above keeps its own way out.
    console.log = () => undefined;
    if (isDockerMode()) {
      const { stack, proxy, defaultImage: image } = settings;
      await checkAtStart(new Engine(proxy, stack), { stack, image, log, signal });
      if (signal.aborted) return;
    }
    const bridge = new Bridge(settings, log);
    await bridge.open();
    await serveHealth(async () => {
      if (!bridge.ready) throw new Error("Mattermost or the declarations are not there yet");
    });
    log.info("started", { stack: settings.stack, operators: settings.operators });
    await new Promise<void>((resolve) => {
      if (signal.aborted) return resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await bridge.close();
  });
}
