import type { Command } from "../command.ts";
import { CliError, terminal } from "../console.ts";
import { isGreen, lastLine, runVitest } from "../tests.ts";

/** Runs the chat server's contract suite against a server that is there already. */
export const testContract: Command = {
  usage: "test-contract",
  summary: "run the chat server's contract suite against MATTERMOST_URL",
  async run(args) {
    if (!process.env.MATTERMOST_URL) {
      throw new CliError(
        "MATTERMOST_URL is not set: make test-contract MATTERMOST_URL=http://127.0.0.1:8065",
        2,
      );
    }
    const tally = await runVitest({
      name: "contract",
      args: ["test/contract", ...args],
      env: process.env,
    });
    terminal.print(lastLine(tally));
    return isGreen(tally) ? 0 : 1;
  },
};
