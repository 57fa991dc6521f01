import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { CliError } from "../cli/console.ts";
import { root } from "../cli/paths.ts";
import { agents, layouts, secretsEach } from "./secrets-fleet.ts";
import { bareMemory, type Case, measureCase } from "./secrets-measure.ts";
import { unshare } from "./secrets-process.ts";
import { markdown, type Report } from "./secrets-report.ts";
import { prepare } from "./secrets-subjects.ts";

/** How long the double takes for each request: as near as can be, and as far as 1Password's own servers are. */
const delaysMs = [0, 50] as const;
const rounds = 3;
/** Set where the namespace is ours already. */
const insideVariable = "BERTH_BENCH_INSIDE";

const say = (line: string) => void process.stderr.write(`${line}\n`);

/**
 * Measures the secret store beside a client that asks for one reference after the other. The report goes to standard output
 * and to test-results/bench-secrets.json. Needs root on Linux: the store's paths and ports are fixed, so it runs in
 * namespaces of its own. @returns the exit code: 1 where something could not be measured
 * @throws CliError where it cannot run here
 */
export async function benchSecrets(): Promise<number> {
  if (process.env[insideVariable] === "1") {
    await measure();
    return 0;
  }
  if (process.platform !== "linux" || process.getuid?.() !== 0)
    throw new CliError("run it as root on Linux: the secret store gets namespaces of its own");
  return enter();
}

/** Runs this program once more, with a network of its own and a `/run` of its own in RAM; both go with it. */
function enter(): Promise<number> {
  const prepareNamespace =
    'ip link set lo up && mount -t tmpfs -o mode=0755 tmpfs /run && exec "$0" "$@"';
  const main = [process.execPath, join(root, "bench/main.ts"), "secrets"];
  const namespaces = ["--mount", "--net", "--propagation", "private"];
  return new Promise((resolve, reject) => {
    const inside = spawn(unshare, [...namespaces, "sh", "-euc", prepareNamespace, ...main], {
      cwd: root,
      env: { ...process.env, [insideVariable]: "1" },
      stdio: ["ignore", "inherit", "inherit"],
    });
    inside.once("error", (error) =>
      reject(new CliError(`unshare cannot be run (${error.message}): install util-linux`)),
    );
    inside.once("close", (code) => resolve(code ?? 1));
  });
}

async function measure(): Promise<void> {
  // What it has started is ended by the hook of its own exit.
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => process.exit(1));
  const load = () => loadavg()[0]?.toFixed(1) ?? "?";
  const machine = { cores: cpus().length, Node: process.version, "load before": load() };
  await prepare();
  const bare = await bareMemory();
  const cases: Case[] = [];
  for (const layout of layouts)
    for (const delayMs of delaysMs) {
      say(`measuring an item for each ${layout}, ${delayMs} ms a request`);
      cases.push(await measureCase(layout, delayMs, rounds));
    }
  const fleet = { agents, secretsEach };
  const after = { ...machine, "load after": load() };
  const report: Report = { machine: after, fleet, rounds, bare, cases };
  mkdirSync(join(root, "test-results"), { recursive: true });
  writeFileSync(
    join(root, "test-results/bench-secrets.json"),
    `${JSON.stringify(report, undefined, 2)}\n`,
  );
  console.log(markdown(report));
}
