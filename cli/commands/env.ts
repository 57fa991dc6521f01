import { type Command, readArguments } from "../command.ts";
import { openSession, prepareEngine, prepareTools } from "../session.ts";

/** `eval "$(berth env)"`: the same tools in a person's shell. Nothing but exports on standard output. */
export const env: Command = {
  usage: "env",
  summary: "print shell exports of the tools' variables",
  async run(args) {
    readArguments(args, {}, { least: 0, most: 0, usage: env.usage });
    const session = openSession({ quiet: true });
    const tools = await prepareTools(session);
    const engine = await prepareEngine(session);
    const variables = { ...tools.variables, DOCKER_HOST: engine.url };
    for (const [name, value] of Object.entries(variables).sort()) {
      session.console.print(`export ${name}=${quoted(value)}`);
    }
    return 0;
  },
};

/** A text as one word of a POSIX shell, whatever is in it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
