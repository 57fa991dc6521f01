import { reasonOf } from "../../services/common/log.ts";
import { type StackStatus, statusOf } from "../admin-api.ts";
import { type Command, readArguments } from "../command.ts";
import { CliError, table, withoutControls } from "../console.ts";
import { liveOutputs } from "../live-stack.ts";
import { openSession } from "../session.ts";

/** Prints what the admin bridge knows of each agent. */
export const status: Command = {
  usage: "status [--json]",
  summary: "what each agent does",
  async run(args) {
    const { values } = readArguments(
      args,
      { json: { type: "boolean", default: false } },
      { least: 0, most: 0, usage: status.usage },
    );
    const session = openSession({ quiet: true });
    const { adminUrl } = await liveOutputs(session);
    const answer = await statusOf(adminUrl).catch((error: unknown) => {
      throw new CliError(
        `the admin bridge does not answer at ${adminUrl}: ${reasonOf(error)}. Look at "berth logs admin-bridge"`,
      );
    });
    const lines = values.json ? [JSON.stringify(answer, null, 2)] : statusTable(answer);
    for (const line of lines) session.console.print(line);
    return 0;
  },
};

/** A status as lines for people. */
export function statusTable(answer: StackStatus): string[] {
  const rows = answer.agents.map((agent) => [
    agent.name,
    agent.activation,
    agent.state,
    agent.answered ? "yes" : "no",
    withoutControls(agent.lastError ?? "").replaceAll("\n", " "),
  ]);
  return [
    `stack ${answer.stack}: ${answer.ready ? "ready" : "not ready"}`,
    ...table([["agent", "activation", "state", "answered", "last error"], ...rows]),
  ];
}
