import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { CliError } from "./console.ts";
import { configFile, root } from "./paths.ts";
import { run, tail } from "./run.ts";
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
  const result = await run(context.cli, ["stack", "ls", "--json", "--non-interactive"], {
    cwd: root,
    env: context.env,
    timeoutMs: 120_000,
  });
  if (result.code !== 0) throw new CliError(`pulumi cannot list stacks:\n${tail(result.output)}`);
  const stacks = JSON.parse(jsonOf(result.output)) as { name: string }[];
  return stacks.some(({ name }) => name === context.stack || name.endsWith(`/${context.stack}`));
}

/** Runs an operation and shows its lines. @throws CliError where it fails; its lines have said why */
export async function operate(
  context: StackContext,
  args: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  const result = await run(
    context.cli,
    [...args, "--non-interactive", "--color", "never", "--stack", context.stack],
    {
      cwd: root,
      env: context.env,
      timeoutMs: operationMs,
      onLine: (line) => {
        if (line.trim() !== "") say(`  ${line}`);
      },
    },
  );
  if (result.code !== 0) {
    const why = result.timedOut ? "took longer than an hour" : "failed (above: why)";
    throw new CliError(
      `pulumi ${args[0]} ${why}. What was made stays recorded: mend the cause and run this again`,
    );
  }
}

/** Outputs of the stack that the commands read. */
export interface Outputs {
  readonly adminUrl: string;
  readonly mattermostUrl: string;
  /** Which chat server runs. */
  readonly mattermost: string;
}

/** The stack's outputs. @throws CliError where it is not up */
export async function outputsOf(context: StackContext): Promise<Outputs> {
  const result = await run(
    context.cli,
    ["stack", "output", "--json", "--stack", context.stack, "--non-interactive"],
    { cwd: root, env: context.env, timeoutMs: 60_000 },
  );
  const outputs = result.code === 0 ? (JSON.parse(jsonOf(result.output)) as Partial<Outputs>) : {};
  const { adminUrl, mattermostUrl, mattermost } = outputs;
  if (!adminUrl || !mattermostUrl) {
    throw new CliError(`the stack "${context.stack}" is not up: run "make up"`);
  }
  return { adminUrl, mattermostUrl, mattermost: mattermost ?? "unknown" };
}

/** JSON in an output that may begin with warnings. */
function jsonOf(output: string): string {
  return output.slice(Math.max(0, output.search(/^[{[]/m)));
}
