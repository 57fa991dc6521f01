import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { CliError } from "./console.ts";
import { configFile, root } from "./paths.ts";
import { type RunResult, run, tail } from "./run.ts";
import { withoutForeignSalt } from "./toolchain/state.ts";

/** Pulumi on one stack of this project. */
export interface StackContext {
  readonly cli: string;
  readonly stack: string;
  /** Environment with PATH, state and `DOCKER_HOST`. */
  readonly env: NodeJS.ProcessEnv;
}

/** Longest time of an operation on the stack. */
const operationMs = 60 * 60_000;

/** Selects the stack and makes it where it is missing. @throws CliError with Pulumi's own last lines */
export async function selectStack(context: StackContext): Promise<void> {
  const select = () =>
    run(context.cli, ["stack", "select", "--create", context.stack, "--non-interactive"], {
      cwd: root,
      env: context.env,
      timeoutMs: 120_000,
    });
  let result = await select();
  if (result.code !== 0 && /incorrect passphrase/i.test(result.output)) {
    const file = configFile(context.stack);
    const changed = withoutForeignSalt(
      existsSync(file) ? readFileSync(file, "utf8") : "",
      `Pulumi.${context.stack}.yaml`,
    );
    if (changed !== undefined) {
      writeFileSync(file, changed);
      result = await select();
    }
  }
  if (result.code !== 0) {
    throw new CliError(
      `pulumi cannot select the stack "${context.stack}":\n${tail(result.output)}`,
    );
  }
}

/** Whether the backend has the stack. */
export async function stackExists(context: StackContext): Promise<boolean> {
  const stacks = (await jsonFrom(context, ["stack", "ls", "--json"])) as { name: string }[];
  return stacks.some(({ name }) => name === context.stack || name.endsWith(`/${context.stack}`));
}

/** Runs an operation and shows its lines. */
export function operate(
  context: StackContext,
  args: readonly string[],
  say: (line: string) => void,
): Promise<RunResult> {
  return run(
    context.cli,
    [...args, "--non-interactive", "--color", "never", "--stack", context.stack],
    {
      cwd: root,
      env: context.env,
      timeoutMs: operationMs,
      onLine: (line) => {
        if (!isNoise(line)) say(`  ${line}`);
      },
    },
  );
}

/** Lines of Pulumi's output that tell nothing: empty ones, dots, bare names, and the begin of what its end is told of. */
export function isNoise(line: string): boolean {
  return (
    /^\s*(@ .*)?$/.test(line) ||
    /^\s+\w+:\w+:\w+ \S+( running)?\s*$/.test(line) ||
    /(ing|ing replacement|ing original) \(0s\)/.test(line)
  );
}

/** The same for an operation that must succeed. @throws CliError; its lines have said why */
export async function mustOperate(
  context: StackContext,
  args: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  mustHaveSucceeded(await operate(context, args, say), args);
}

/** @throws CliError where an operation has failed */
export function mustHaveSucceeded(result: RunResult, args: readonly string[]): void {
  if (result.code === 0) return;
  const why = result.timedOut ? "took longer than an hour" : "failed (above: why)";
  throw new CliError(
    `pulumi ${args[0]} ${why}. What was made stays recorded: mend the cause and run this again`,
  );
}

/** What is read of a stack's exported state. */
export interface StateExport {
  readonly deployment: { readonly resources?: readonly { readonly id?: string }[] };
}

/** The stack's state. */
export async function exportState(context: StackContext): Promise<StateExport> {
  return (await jsonFrom(context, ["stack", "export", "--stack", context.stack])) as StateExport;
}

async function jsonFrom(context: StackContext, args: readonly string[]): Promise<unknown> {
  const result = await run(context.cli, [...args, "--non-interactive"], {
    cwd: root,
    env: context.env,
    timeoutMs: 120_000,
    wholeOutput: true,
  });
  if (result.code !== 0) {
    throw new CliError(`pulumi ${args.slice(0, 2).join(" ")} failed:\n${tail(result.output)}`);
  }
  return JSON.parse(result.stdout);
}

/** Outputs of the stack that the commands read. */
export interface Outputs {
  readonly adminUrl: string;
  readonly mattermostUrl: string;
  /** Which chat server runs. */
  readonly mattermost: string;
}

/** The stack's outputs in one call of Pulumi; undefined: it is not up. */
export async function readOutputs(context: StackContext): Promise<Outputs | undefined> {
  const args = ["stack", "output", "--json", "--stack", context.stack, "--non-interactive"];
  const result = await run(context.cli, args, {
    cwd: root,
    env: context.env,
    timeoutMs: 120_000,
    wholeOutput: true,
  });
  if (result.code !== 0) {
    if (/no stack named/.test(result.output)) return undefined;
    throw new CliError(`pulumi stack output failed:\n${tail(result.output)}`);
  }
  const { adminUrl, mattermostUrl, mattermost } = JSON.parse(result.stdout) as Partial<Outputs>;
  if (!adminUrl || !mattermostUrl) return undefined;
  return { adminUrl, mattermostUrl, mattermost: mattermost ?? "unknown" };
}

/** The stack's outputs. @throws CliError where it is not up */
export async function outputsOf(context: StackContext): Promise<Outputs> {
  const outputs = await readOutputs(context);
  if (!outputs) throw new CliError(`the stack "${context.stack}" is not up: run "make up"`);
  return outputs;
}
