import { type Command, readArguments } from "../command.ts";
import { CliError } from "../console.ts";
import { openLive } from "../live-stack.ts";
import { addUser } from "../operator.ts";

/** Makes a person's account and prints its password once. */
export const user: Command = {
  usage: "user add <name>",
  summary: "make a person's account; prints its password once",
  async run(args) {
    const { positionals } = readArguments(args, {}, { least: 2, most: 2, usage: user.usage });
    const [verb, name = ""] = positionals;
    if (verb !== "add") throw new CliError(`usage: berth ${user.usage}`, 2);
    const { session, engine } = await openLive();
    const password = await addUser(session, engine, name);
    if (password === undefined) session.console.print(`${name} has an account already`);
    else session.console.print(`user: ${name}\npassword: ${password} (shown this once)`);
    return 0;
  },
};
