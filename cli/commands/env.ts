import { type Command, readArguments } from "../command.ts";
import { shimFolder } from "../paths.ts";
import { readOutputs } from "../pulumi-stack.ts";
import { environmentOf, joinPath, openSession, prepareEngine, prepareTools } from "../session.ts";

/**
 * `eval "$(berth env)"`: the same tools in a person's shell, `berth` itself among them, and the stack's name and addresses where
 * it is up. Nothing but exports on standard output.
 */
export const env: Command = {
  usage: "env",
  summary: "print shell exports of the tools' variables",
  async run(args) {
    readArguments(args, {}, { least: 0, most: 0, usage: env.usage });
    const session = openSession({ quiet: true });
    const tools = await prepareTools(session);
    const engine = await prepareEngine(session);
    const outputs = await readOutputs({
      cli: tools.cli,
      stack: session.stack,
      env: environmentOf(session, tools, engine),
    });
    const variables = {
      ...tools.variables,
      PATH: joinPath([shimFolder], tools.variables.PATH),
      DOCKER_HOST: engine.url,
      // Both names of the stack: the commands read one, the guide the other.
      BERTH_STACK: session.stack,
      STACK: session.stack,
      // Not MATTERMOST_URL: the contract suite would then run against this stack.
      ...(outputs ? { ADMIN_URL: outputs.adminUrl, CHAT_URL: outputs.mattermostUrl } : {}),
    };
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
