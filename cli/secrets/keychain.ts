import { CliError } from "../console.ts";
import { feed } from "./feed.ts";
import type { Sealer, SealerHost } from "./sealer.ts";
import { type Token, tokenIn } from "./token.ts";

const program = "security";
/** Name of the item in the Keychain; its account is the stack. */
const service = "sh.berth.op-token";
/**
 * Longest line that `security -i` reads, without its end: it cuts a longer one, runs the first part and takes the rest for
 * another command (SecurityTool/security.c, MAX_LINE_LEN).
 */
const maxLine = 4_000;
/** `errSecItemNotFound`, as it comes through as an exit code. */
const notFound = 44;

/**
 * Keeps the token in the login Keychain of macOS. `security add-generic-password -w`, with `-w` last, would ask for the token
 * itself, but on the terminal only, and it keeps no more than 128 characters of the answer; a token has some 850. So the whole command goes to
 * `security -i`, which reads commands from its standard input: the token is in no argument list and in no environment. Its
 * exit code does not tell whether a command of its input has failed, so what was kept is read back and compared.
 */
export function keychain({ env, stack }: Pick<SealerHost, "env" | "stack">): Sealer {
  const item = ["-a", stack, "-s", service];
  const find = async (): Promise<Token | undefined> => {
    const result = await feed(program, ["find-generic-password", ...item, "-w"], { env });
    if (result?.code === 0) return tokenIn(result.stdout.toString("utf8"));
    if (result?.code === notFound) return undefined;
    throw new CliError(
      `the Keychain does not give the token (${result ? `exit code ${result.code}` : "there is no security command"}): ` +
        'log in at the Mac\'s own screen, or unlock it with "security unlock-keychain"',
    );
  };
  return {
    name: "keychain",
    async available() {
      const result = await feed(program, ["help", "add-generic-password"], { env });
      return result === undefined
        ? "the command security is not on PATH: it comes with macOS and is nowhere else"
        : undefined;
    },
    async seal(token) {
      const value = token.reveal();
      const line = `add-generic-password -U ${item.join(" ")} -l "berth ${stack}: 1Password token" -w ${value}`;
      // The line is split at white space, quotes and backslashes.
      if (/[\s"'\\]/.test(value) || line.length > maxLine) {
        throw new CliError(
          `the Keychain's command takes tokens of one word and at most ${maxLine - (line.length - value.length)} characters, and this one is another: nothing was kept`,
        );
      }
      await feed(program, ["-i"], { env, stdin: `${line}\n` });
      if ((await find())?.reveal() !== value) {
        await feed(program, ["delete-generic-password", ...item], { env });
        throw new CliError(
          'the Keychain did not keep the token: unlock it (security unlock-keychain) and run "berth secrets seal" again',
        );
      }
      return `kept in the login Keychain as ${service}, account ${stack}: every program of yours can ask for it while you are logged in`;
    },
    unseal: find,
  };
}
