import { Path, Port } from "../../spec/names.ts";
import { watchDeclarations } from "../common/declarations.ts";
import { forward } from "../common/forwarder.ts";
import { serveHealth } from "../common/health.ts";
import type { Log } from "../common/log.ts";
import { runService } from "../common/service.ts";
import { Alerts } from "./alerts.ts";
import { serveClients } from "./clients.ts";
import { systemClock } from "./clock.ts";
import { closeDirectory } from "./directory.ts";
import { makeBackend } from "./onepassword/make.ts";
import { Resolver } from "./onepassword/resolver.ts";
import { Operations } from "./operations.ts";
import { serveOperator } from "./operator.ts";
import { PushedValues } from "./pushed.ts";
import { openRounds } from "./rounds.ts";
import { openSeed } from "./seed.ts";
import { readSettings, type Settings } from "./settings.ts";
import type { Sources } from "./source.ts";
import { SecretStore } from "./store.ts";
import { runVerb } from "./verbs.ts";
import { Watch } from "./watch.ts";

/** How often the sources of the host and the files are looked at again. */
const refreshEveryMs = 10_000;

// `serve` without a word; verbs are run by exec in the same container and talk to the one that serves.
const words = process.argv.slice(2);
if (words.length === 0) serve();
else {
  const terminal = { input: process.stdin, print: console.log, complain: console.error };
  process.exitCode = await runVerb(terminal, words, Path.operatorSocket);
}

function serve(): void {
  runService("secret-store", async ({ log, env, signal }) => {
    const settings = readSettings(env.BERTH_SECRETS);
    await closeDirectory(Path.agentsRun, log);
    const alerts = new Alerts(systemClock.now);
    const watch = new Watch(alerts, systemClock);
    // The two know each other only through this: a look ends with the files being put right.
    const onRead = () => store.refresh();
    const resolver =
      settings.provider === "onepassword"
        ? await connect(settings, { log, watch, onRead })
        : undefined;
    const sources: Sources = {
      development: settings.development,
      directory: env.BERTH_SECRETS_DIRECTORY || undefined,
      pushed: new PushedValues(),
      seed: await openSeed(Path.secretStoreRun),
      rounds: await openRounds(Path.secretStoreRun),
      op: resolver,
    };
    const store = new SecretStore({
      directory: Path.agentsRun,
      stack: env.BERTH_STACK || undefined,
      sources,
      log,
      onStates: (outcomes) => watch.outcomes(outcomes),
    });
    const { provider, via } = settings;
    const since = new Date().toISOString();
    const operations = new Operations({ store, sources, resolver, provider, via, since });
    await serveHealth(() => store.health());
    const operator = await serveOperator(operations, Path.operatorSocket);
    const endClients = await serveClients(
      {
        status: () => operations.status(),
        alerts,
        endpoint: (agent, name) => store.endpoint(agent, name),
      },
      log,
    );
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
    // Files stay: agents go on with what they have.
    clearInterval(timer);
    watch.close();
    endClients();
    operator.close();
    resolver?.close();
  });
}

/** The way to 1Password: out by the gateway, and locked until somebody brings the token. */
async function connect(
  settings: Settings,
  parts: { readonly log: Log; readonly watch: Watch; readonly onRead: () => Promise<void> },
): Promise<Resolver> {
  const { log, watch, onRead } = parts;
  // Where the environment's proxy variables point: all of the container's connections go through it.
  await forward({
    port: Port.egressProxy,
    socketPath: Path.storeEgressSocket,
    far: "The secret store's way out",
    log,
  });
  const resolver = new Resolver({
    makeBackend: (token) => makeBackend(settings, token),
    pollMs: settings.pollSeconds * 1000,
    clock: systemClock,
    random: Math.random,
    log,
    onRead,
    onState: (status, failures) => watch.state(status, failures),
  });
  watch.state(resolver.status, 0);
  return resolver;
}
