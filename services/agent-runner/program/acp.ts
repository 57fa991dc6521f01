import { Readable, Writable } from "node:stream";
import * as acp from "@agentclientprotocol/sdk";
import type { Child } from "./child.ts";
import { ProgramError } from "./errors.ts";

/** One change that the program reports while it works on a prompt. */
export type Update = acp.SessionUpdate;
export type StopReason = acp.StopReason;

/** A connection to one life of an Agent Client Protocol program. */
export interface AcpConnection {
  readonly canResume: boolean;
  readonly canLoad: boolean;
  /** Makes a session in the working directory. @returns its id */
  newSession(cwd: string): Promise<string>;
  /** Takes an earlier session up again, without its history being shown. */
  reopenSession(sessionId: string, cwd: string): Promise<void>;
  /** Sends one prompt; `onUpdate` gets every update in order, all of them before this resolves. */
  prompt(sessionId: string, text: string, onUpdate: (update: Update) => void): Promise<StopReason>;
  /** Asks the program to end the running prompt. */
  cancel(sessionId: string): Promise<void>;
  /** The program or its pipes are gone. */
  readonly closed: boolean;
  close(): void;
}

const methods = acp.methods;
const protocolVersion = 1;

/**
 * Speaks the protocol's version 1 with a child over its standard streams: `initialize`, and the connection.
 * It offers the program no files and no terminals of ours: the program has its own container.
 * @throws ProgramError where the program speaks another version or refuses
 */
export async function connectAcp(
  child: Child,
  onPermission: (kind: string) => void,
): Promise<AcpConnection> {
  const listeners = new Map<string, (update: Update) => void>();
  const cancelling = new Set<string>();
  const connection = acp
    .client({ name: "berth" })
    .onNotification(methods.client.session.update, ({ params }) => {
      // A loaded session's history comes as updates too; without a prompt running nobody listens.
      listeners.get(params.sessionId)?.(params.update);
    })
    .onRequest(methods.client.session.requestPermission, ({ params }) => {
      const option = cancelling.has(params.sessionId)
        ? undefined
        : params.options.find(({ kind }) => kind === "allow_once");
      onPermission(option ? option.kind : "cancelled");
      return option
        ? { outcome: { outcome: "selected", optionId: option.optionId } }
        : { outcome: { outcome: "cancelled" } };
    })
    .connect(
      acp.ndJsonStream(
        Writable.toWeb(child.stdin) as WritableStream<Uint8Array>,
        Readable.toWeb(child.stdout) as ReadableStream<Uint8Array>,
      ),
    );
  void child.exited.then(() => connection.close());

  const agent = connection.agent;
  const initialized = await spoken(
    agent.request(methods.agent.initialize, {
      protocolVersion,
      clientCapabilities: {},
      clientInfo: { name: "berth", version: "0.1.0" },
    }),
  );
  if (initialized.protocolVersion !== protocolVersion) {
    connection.close();
    throw new ProgramError(
      `it speaks version ${initialized.protocolVersion} of the Agent Client Protocol, not ${protocolVersion}`,
      0,
    );
  }
  const capabilities = initialized.agentCapabilities;
  const canResume = Boolean(capabilities?.sessionCapabilities?.resume);
  return {
    canResume,
    canLoad: capabilities?.loadSession === true,
    newSession: async (cwd) =>
      (await spoken(agent.request(methods.agent.session.new, { cwd, mcpServers: [] }))).sessionId,
    reopenSession: async (sessionId, cwd) => {
      const method = canResume ? methods.agent.session.resume : methods.agent.session.load;
      await spoken(agent.request(method, { sessionId, cwd, mcpServers: [] }));
    },
    prompt: async (sessionId, text, onUpdate) => {
      listeners.set(sessionId, onUpdate);
      try {
        const answer = await spoken(
          agent.request(methods.agent.session.prompt, {
            sessionId,
            prompt: [{ type: "text", text }],
          }),
        );
        // The last updates and the answer arrive together; the updates' handlers run a few microtasks later.
        await new Promise((resolve) => setImmediate(resolve));
        return answer.stopReason;
      } finally {
        listeners.delete(sessionId);
        cancelling.delete(sessionId);
      }
    },
    cancel: async (sessionId) => {
      cancelling.add(sessionId);
      await agent.notify(methods.agent.session.cancel, { sessionId });
    },
    get closed() {
      return connection.signal.aborted;
    },
    close: () => connection.close(),
  };
}

async function spoken<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof acp.RequestError) throw new ProgramError(error.message, error.code);
    throw error;
  }
}
