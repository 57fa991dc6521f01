import { Readable, Writable } from "node:stream";
import * as acp from "@agentclientprotocol/sdk";
import { answer, type Conversation } from "./commands.ts";
import { SessionFiles, type StoredSession } from "./sessions.ts";

const methods = acp.methods;

/** The demo agent's side of the protocol; what it answers is in `commands.ts`. */
export class DemoAgent {
  readonly #env: NodeJS.ProcessEnv;
  readonly #files: SessionFiles;
  readonly #sessions = new Map<string, StoredSession>();
  readonly #running = new Map<string, AbortController>();
  #calls = 0;

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
    this.#files = new SessionFiles(env.HOME ?? "/tmp");
  }

  /** Speaks the protocol until the input ends. */
  async serve(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): Promise<void> {
    const app = acp
      .agent({ name: "demo-agent" })
      .onRequest(methods.agent.initialize, () => ({
        protocolVersion: acp.PROTOCOL_VERSION,
        agentInfo: { name: "demo-agent", title: "berth demo agent", version: "0.1.0" },
        agentCapabilities: {
          loadSession: true,
          sessionCapabilities: { resume: {}, close: {} },
        },
      }))
      .onRequest(methods.agent.session.new, ({ params }) => {
        const session = { id: newId(), cwd: params.cwd, count: 0, turns: [] };
        this.#sessions.set(session.id, session);
        return { sessionId: session.id };
      })
      .onRequest(methods.agent.session.load, async ({ params, client }) => {
        const session = await this.#reopen(params.sessionId, params.cwd);
        for (const { asked, answered } of session.turns) {
          await say(client, session.id, "user_message_chunk", asked);
          await say(client, session.id, "agent_message_chunk", answered);
        }
        return {};
      })
      .onRequest(methods.agent.session.resume, async ({ params }) => {
        await this.#reopen(params.sessionId, params.cwd);
        return {};
      })
      .onRequest(methods.agent.session.close, ({ params }) => {
        this.#running.get(params.sessionId)?.abort();
        this.#sessions.delete(params.sessionId);
        return {};
      })
      .onRequest(methods.agent.session.prompt, ({ params, client, signal }) =>
        this.#prompt(params, client, signal),
      )
      .onNotification(methods.agent.session.cancel, ({ params }) => {
        this.#running.get(params.sessionId)?.abort();
      });
    const connection = app.connect(
      acp.ndJsonStream(
        Writable.toWeb(output as Writable) as WritableStream<Uint8Array>,
        Readable.toWeb(input as Readable) as ReadableStream<Uint8Array>,
      ),
    );
    await connection.closed;
  }

  async #prompt(
    params: acp.PromptRequest,
    client: acp.AgentContext,
    closed: AbortSignal,
  ): Promise<acp.PromptResponse> {
    const session = this.#sessions.get(params.sessionId);
    if (!session) throw acp.RequestError.resourceNotFound(params.sessionId);
    if (this.#running.has(session.id)) {
      throw acp.RequestError.invalidRequest(undefined, "a prompt is running in this session");
    }
    const cancelling = new AbortController();
    this.#running.set(session.id, cancelling);
    const asked = params.prompt
      .map((block) => (block.type === "text" ? block.text : ""))
      .join("\n")
      .trim();
    let answered = "";
    try {
      await answer(asked, {
        session,
        env: this.#env,
        signal: AbortSignal.any([cancelling.signal, closed]),
        say: async (text) => {
          answered += text;
          await say(client, session.id, "agent_message_chunk", text);
        },
        tool: (tool) => this.#tool(client, session.id, tool),
      });
    } finally {
      this.#running.delete(session.id);
      await this.#files.append(session, { asked, answered });
    }
    return { stopReason: cancelling.signal.aborted ? "cancelled" : "end_turn" };
  }

  /** Asks for permission, runs, and reports the tool call from beginning to end. */
  async #tool(
    client: acp.AgentContext,
    sessionId: string,
    tool: Parameters<Conversation["tool"]>[0],
  ): Promise<string | undefined> {
    const toolCallId = `call-${++this.#calls}`;
    const call = { toolCallId, title: tool.title, kind: tool.kind, rawInput: tool.rawInput };
    await client.notify(methods.client.session.update, {
      sessionId,
      update: { sessionUpdate: "tool_call", status: "pending", ...call },
    });
    const request: acp.RequestPermissionRequest = {
      sessionId,
      toolCall: call,
      options: [
        { optionId: "once", name: "Allow once", kind: "allow_once" },
        { optionId: "never", name: "Reject", kind: "reject_once" },
      ],
    };
    const { outcome } = await client.request(methods.client.session.requestPermission, request);
    const allowed = outcome.outcome === "selected" && outcome.optionId === "once";
    const output = allowed ? await tool.work() : undefined;
    await client.notify(methods.client.session.update, {
      sessionId,
      update: {
        sessionUpdate: "tool_call_update",
        toolCallId,
        status: allowed ? "completed" : "failed",
      },
    });
    return output;
  }

  async #reopen(id: string, cwd: string): Promise<StoredSession> {
    const session = this.#sessions.get(id) ?? (await this.#files.read(id));
    if (!session) throw acp.RequestError.resourceNotFound(id);
    session.cwd = cwd;
    this.#sessions.set(id, session);
    return session;
  }
}

/** Unique among this agent's sessions. It is no secret, so no cryptography has to be loaded for it. */
function newId(): string {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
}

function say(
  client: acp.AgentContext,
  sessionId: string,
  sessionUpdate: "agent_message_chunk" | "user_message_chunk",
  text: string,
): Promise<void> {
  return client.notify(methods.client.session.update, {
    sessionId,
    update: { sessionUpdate, content: { type: "text", text } },
  });
}
