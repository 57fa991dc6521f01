import type { Command } from "../command.ts";
import { CliError, table } from "../console.ts";
import { check, create, lock, push, refresh, rotate, status } from "../secrets/store-commands.ts";
import { seal, unlock } from "../secrets/token-commands.ts";

/** What can be done with secrets, in the order in which an operator comes to it. */
export const subcommands: Readonly<Record<string, Command>> = {
  seal,
  unlock,
  lock,
  check,
  status,
  refresh,
  rotate,
  create,
  push,
};

/** Everything about the agents' secrets and the token that reads them. */
export const secrets: Command = {
  usage: `secrets ${Object.keys(subcommands).join("|")}`,
  summary: "the agents' secrets, and the token that reads them",
  async run([name = "", ...args]) {
    const command = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
    if (command) return command.run(args);
    const rows = Object.values(subcommands).map(({ usage, summary }) => [
      `  berth ${usage}`,
      summary,
    ]);
    throw new CliError(`usage:\n${table(rows).join("\n")}`, 2);
  },
};
