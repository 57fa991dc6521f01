import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";

/**
 * An agent that speaks the bare protocol, without the SDK, and does what other programs do: no session/resume, only
 * session/load with a replay; a prompt is a list of steps in words. What it is told goes to the file named by `--record`.
 */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: {
    readonly sessionId?: string;
    readonly prompt?: readonly { readonly text: string }[];
  };
  readonly result?: unknown;
}

const flags = process.argv.slice(2);
const record = flags[flags.indexOf("--record") + 1];
const version = flags.includes("--version-2") ? 2 : 1;
const send = (message: object) =>
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const update = (sessionId: string, change: object) =>
  send({ method: "session/update", params: { sessionId, update: change } });
const say = (sessionId: string, text: string, messageId?: string) =>
  update(sessionId, {
    sessionUpdate: "agent_message_chunk",
    content: { type: "text", text },
    ...(messageId ? { messageId } : {}),
  });

const waiting = new Map<number, (result: unknown) => void>();
let calls = 0;
const options = {
  gemini: [
    { optionId: "proceed_always", name: "Always", kind: "allow_always" },
    { optionId: "proceed_once", name: "Once", kind: "allow_once" },
    { optionId: "cancel", name: "No", kind: "reject_once" },
  ],
  strict: [
    { optionId: "always", name: "Always", kind: "allow_always" },
    { optionId: "no", name: "No", kind: "reject_once" },
  ],
};

async function prompt(id: number, sessionId: string, text: string): Promise<void> {
  let stopReason = "end_turn";
  for (const step of text.split(" then ")) {
    const [word, ...rest] = step.trim().split(" ");
    if (word === "say") say(sessionId, rest.join(" "));
    if (word === "message") say(sessionId, rest.slice(1).join(" "), rest[0]);
    if (word === "hang") return;
    if (word === "stop") stopReason = rest[0] ?? "";
    if (word === "error")
      return void send({ id, error: { code: Number(rest[0]), message: "No." } });
    if (word === "tool") {
      const call = { toolCallId: `t${++calls}`, title: "My own wording", kind: "execute" };
      update(sessionId, { sessionUpdate: "tool_call", status: "pending", ...call });
      update(sessionId, { sessionUpdate: "tool_call_update", ...call, status: "completed" });
    }
    if (word === "ask") {
      const asked = 1_000 + ++calls;
      const answer = new Promise((resolve) => waiting.set(asked, resolve));
      send({
        id: asked,
        method: "session/request_permission",
        params: {
          sessionId,
          toolCall: { toolCallId: `t${calls}` },
          options: rest[0] === "strict" ? options.strict : options.gemini,
        },
      });
      say(sessionId, JSON.stringify(await answer));
    }
  }
  send({ id, result: { stopReason } });
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params, result } = JSON.parse(line) as Message;
  if (record && method) appendFileSync(record, `${method}\n`);
  if (id === undefined) return;
  const sessionId = params?.sessionId ?? "the-session";
  if (method === "initialize") {
    send({ id, result: { protocolVersion: version, agentCapabilities: { loadSession: true } } });
  } else if (method === "session/new") {
    send({ id, result: { sessionId } });
  } else if (method === "session/load") {
    say(sessionId, "an old answer that nobody may see again");
    send({ id, result: null });
  } else if (method === "session/prompt") {
    void prompt(id, sessionId, params?.prompt?.map(({ text }) => text).join("") ?? "");
  } else if (method === undefined) {
    waiting.get(id)?.(result);
  } else {
    send({ id, error: { code: -32_601, message: "Method not found" } });
  }
});
