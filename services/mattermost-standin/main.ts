import { serveHealth } from "../common/health.ts";
import { runService } from "../common/service.ts";
import { readConfig } from "./config.ts";
import { startServer } from "./server.ts";

runService("mattermost", async ({ log, env, signal }) => {
  const server = await startServer(readConfig(env), log);
  await serveHealth(() => server.check());
  const stop = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  // A schema that cannot be made is a fault that waiting does not mend: fail, and say why.
  await Promise.race([stop, server.ready.then(() => stop)]);
  await server.stop();
});
