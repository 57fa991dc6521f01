import { type Command, readArguments, wholeNumber } from "../command.ts";
import { CliError, withoutControls } from "../console.ts";
import { messageOf } from "../engine-api.ts";
import { FrameReader } from "../frames.ts";
import { containerOf, openLive } from "../live-stack.ts";

/** Shows a part's log, read from the Engine. */
export const logs: Command = {
  usage: "logs <part> [--follow] [--tail N]",
  summary: "the log of a service or an agent",
  async run(args) {
    const { values, positionals } = readArguments(
      args,
      {
        follow: { type: "boolean", short: "f", default: false },
        tail: { type: "string", default: "200" },
      },
      { least: 1, most: 1, usage: logs.usage },
    );
    const lines = wholeNumber(values.tail, "--tail", 0, 1_000_000);
    const { session, engine } = await openLive();
    const container = containerOf(session, positionals[0] ?? "");
    const query = `stdout=1&stderr=1&tail=${lines}&follow=${values.follow ? 1 : 0}`;
    const answer = await engine.stream({
      method: "GET",
      path: `/containers/${encodeURIComponent(container)}/logs?${query}`,
    });
    if (answer.statusCode !== 200) {
      let text = "";
      for await (const part of answer) text += String(part);
      const why = messageOf({ status: answer.statusCode ?? 0, headers: answer.headers, text });
      throw new CliError(`no log of "${positionals[0]}" in the stack "${session.stack}": ${why}`);
    }
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    const frames = new FrameReader(({ stream, bytes }) => {
      process[stream].write(withoutControls(decoders[stream].decode(bytes, { stream: true })));
    });
    for await (const part of answer) frames.push(part as Buffer);
    return 0;
  },
};
