#!/usr/bin/env node
import { reasonOf } from "../services/common/log.ts";
import type { Command } from "./command.ts";
import { CliError, table, terminal } from "./console.ts";
import { stopRunning } from "./run.ts";
import { catchSignals, interrupted } from "./signals.ts";

/** Every command, loaded when it is asked for. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import("./commands/up.ts")).up,
  down: async () => (await import("./commands/down.ts")).down,
  env: async () => (await import("./commands/env.ts")).env,
  doctor: async () => (await import("./commands/doctor.ts")).doctor,
  wait: async () => (await import("./commands/wait.ts")).wait,
  status: async () => (await import("./commands/status.ts")).status,
  logs: async () => (await import("./commands/logs.ts")).logs,
  audit: async () => (await import("./commands/audit.ts")).audit,
  proxy: async () => (await import("./commands/proxy.ts")).proxy,
  user: async () => (await import("./commands/user.ts")).user,
  secrets: async () => (await import("./commands/secrets.ts")).secrets,
  images: async () => (await import("./commands/images.ts")).images,
  engine: async () => (await import("./commands/engine.ts")).engine,
  check: async () => (await import("./commands/check.ts")).check,
  test: async () => (await import("./commands/test.ts")).test,
  "test-engines": async () => (await import("./commands/test-engines.ts")).testEngines,
  "test-contract": async () => (await import("./commands/test-contract.ts")).testContract,
  "test-mutants": async () => (await import("./commands/test-mutants.ts")).testMutants,
  fuzz: async () => (await import("./commands/fuzz.ts")).fuzz,
  bench: async () => (await import("./commands/bench.ts")).bench,
};

async function usage(): Promise<string> {
  const rows = await Promise.all(
    Object.values(commands).map(async (load) => {
      const command = await load();
      return [`  berth ${command.usage}`, command.summary];
    }),
  );
  return `usage:\n${table(rows).join("\n")}`;
}

async function main(): Promise<number> {
  const [name = "help", ...args] = process.argv.slice(2);
  if (name === "help" || name === "--help" || name === "-h") {
    terminal.print(await usage());
    return 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!load) throw new CliError(`there is no command "${name}"\n${await usage()}`, 2);
  return (await load()).run(args);
}

catchSignals();
// Whoever reads the output may stop reading (`berth logs lal | head`).
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? 0 : 1),
  );
}
try {
  const code = await main();
  process.exitCode = interrupted() ?? code;
} catch (error) {
  // A stage that runs beside the failed one must not go on alone.
  stopRunning("SIGTERM");
  terminal.say(`berth: ${reasonOf(error)}`);
  if (process.env.BERTH_DEBUG && error instanceof Error) terminal.say(String(error.stack));
  process.exit(interrupted() ?? (error instanceof CliError ? error.exitCode : 1));
}
