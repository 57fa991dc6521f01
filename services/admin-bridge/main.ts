import { Path } from "../../spec/names.ts";
import { serveHealth } from "../common/health.ts";
import { runService } from "../common/service.ts";
import { Bridge } from "./bridge.ts";
import { checkAtStart } from "./docker-health.ts";
import { Engine } from "./engine.ts";
import { isDockerMode } from "./mode.ts";
import { userAdd } from "./operator.ts";
import { readSettings } from "./settings.ts";

if (process.argv[2] === "user-add") {
  process.exitCode = await userAdd(process.argv[3], {
    socketPath: process.env.BERTH_OPERATOR_SOCKET || Path.operatorSocket,
    out: (line) => console.log(line),
    error: (line) => console.error(line),
  });
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
