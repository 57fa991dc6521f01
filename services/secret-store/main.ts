import { Path } from "../../spec/names.ts";
import { watchDeclarations } from "../common/declarations.ts";
import { serveHealth } from "../common/health.ts";
import { runService } from "../common/service.ts";
import { closeDirectory } from "./directory.ts";
import { push, serveOperator, status, type Terminal } from "./operator.ts";
import { PushedValues } from "./pushed.ts";
import { openSeed } from "./seed.ts";
import { SecretStore } from "./store.ts";

/** How often the sources and the files are looked at again. */
const refreshEveryMs = 10_000;

const terminal: Terminal = {
  input: process.stdin,
  print: console.log,
  complain: console.error,
};

// `serve` without a word; `push` and `status` are run by exec in the same container and talk to the one that serves.
const verb = process.argv[2];
if (verb === "push") process.exitCode = await push(terminal, Path.operatorSocket);
else if (verb === "status") process.exitCode = await status(terminal, Path.operatorSocket);
else if (verb !== undefined) {
  console.error(`unknown verb "${verb}": push, status, or none to serve`);
  process.exitCode = 2;
} else serve();

function serve(): void {
  runService("secret-store", async ({ log, env, signal }) => {
    await closeDirectory(Path.agentsRun, log);
    const store = new SecretStore({
      directory: Path.agentsRun,
      stack: env.BERTH_STACK || undefined,
      sources: {
        directory: env.BERTH_SECRETS_DIRECTORY || undefined,
        pushed: new PushedValues(),
        seed: await openSeed(Path.secretStoreRun),
      },
      log,
    });
    await serveHealth(() => store.health());
    const operator = await serveOperator(store, Path.operatorSocket);
    const timer = setInterval(() => store.refresh(), refreshEveryMs);
    const ended = new Promise<void>((resolve) =>
      signal.addEventListener("abort", () => resolve(), { once: true }),
    );
    await Promise.race([
      ended,
      watchDeclarations(
        { socketPath: Path.proxySocket },
        { log, signal, onChange: (declarations) => store.declare(declarations) },
      ),
    ]);
    clearInterval(timer);
    operator.close();
  });
}
