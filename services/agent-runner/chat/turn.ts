import { type Log, reasonOf } from "../../common/log.ts";
import type { MattermostRest } from "../mattermost/rest.ts";
import type { StopReason, Update } from "../program/acp.ts";
import type { AcpProgram, Life } from "../program/acp-program.ts";
import { NotRunning, ProgramError } from "../program/errors.ts";
import type { Timing } from "../settings.ts";
import type { State } from "../state.ts";
import { within } from "../wait.ts";
import { Answer } from "./answer.ts";
import { noteFor, phrases } from "./phrases.ts";
import { ToolStatus } from "./status.ts";

/** One message to answer. */
export interface Question {
  readonly postId: string;
  readonly channelId: string;
  /** Thread to answer in; empty for a direct message outside of a thread. */
  readonly rootId: string;
  readonly thread: string;
  readonly direct: boolean;
  readonly text: string;
}

export interface TurnTools {
  readonly program: AcpProgram;
  readonly rest: MattermostRest;
  readonly state: State;
  readonly log: Log;
  readonly timing: Timing;
  readonly workspace: string;
}

/** JSON-RPC code of "authentication required". */
const loginCode = -32_000;

/** One prompt to the program and the answer that grows from it. */
export class Turn {
  readonly question: Question;
  readonly #tools: TurnTools;
  readonly #answer: Answer;
  readonly #tool = new ToolStatus();
  #toolsBefore = 0;
  #messageId: string | undefined;
  #life: Life | undefined;
  #sessionId: string | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #cut: string | undefined;
  #patienceMs: number;

  constructor(question: Question, tools: TurnTools) {
    this.question = question;
    this.#tools = tools;
    this.#patienceMs = tools.timing.finalEditPatience;
    const { channelId, rootId, direct, postId } = question;
    this.#answer = new Answer({
      ...tools,
      channelId,
      rootId,
      onFirstPost: (answerId) =>
        tools.state.take(postId, { channelId, rootId, direct, started: true, answerId }),
      onRefused: () => void this.#cancel(phrases.failed),
    });
  }

  /** Runs to the end; never throws, and the message is done afterwards whatever happened. */
  async run(): Promise<void> {
    const { log, rest, state, timing } = this.#tools;
    const { postId, channelId, rootId, direct } = this.question;
    const startedAt = Date.now();
    state.take(postId, { channelId, rootId, direct, started: true });
    const typing = () => void rest.typing(channelId, rootId).catch(() => {});
    const typist = setInterval(typing, timing.typingEvery);
    let outcome = "failed";
    try {
      typing();
      const stop = await this.#prompt();
      outcome = this.#cut ? "cut" : stop;
      await this.#finish(this.#cut ?? noteFor(stop));
    } catch (error) {
      log.warn("turn-failed", { postId, reason: logReason(error) });
      outcome = error instanceof NotRunning ? "not-running" : "failed";
      await this.#finish(this.#cut ?? this.#sentence(error));
    } finally {
      clearInterval(typist);
      clearTimeout(this.#idleTimer);
      state.finish(postId);
    }
    log.info("turn", {
      postId,
      channelId,
      outcome,
      posts: this.#answer.posts,
      tools: this.#tool.count,
      tookMs: Date.now() - startedAt,
    });
  }

  /** Ends the turn early, because the runner stops: what there is stays, with a note. */
  stop(patienceMs: number): void {
    this.#patienceMs = patienceMs;
    void this.#cancel(phrases.stopped);
  }

  async #prompt(): Promise<StopReason> {
    const { life, sessionId } = await this.#open();
    this.#life = life;
    this.#sessionId = sessionId;
    if (this.#cut) return "cancelled";
    this.#alive();
    return await life.connection.prompt(sessionId, this.question.text, (update) => {
      this.#alive();
      this.#show(update);
    });
  }

  /** A running program and the thread's session in it. Nothing is begun yet, so one that just ended may be replaced once. */
  async #open(): Promise<{ readonly life: Life; readonly sessionId: string }> {
    const { program } = this.#tools;
    for (let attempt = 1; ; attempt++) {
      const life = await program.life();
      try {
        return { life, sessionId: await openSession(life, this.question.thread, this.#tools) };
      } catch (error) {
        if (!life.connection.closed || attempt === 2) throw error;
        await life.child.exited;
      }
    }
  }

  #show(update: Update): void {
    if (update.sessionUpdate === "agent_message_chunk") {
      if (update.content.type === "text") this.#write(update.content.text, update.messageId);
    } else if (update.sessionUpdate === "notice") {
      const notice = [update.title, update.description].filter(Boolean).join(": ");
      this.#answer.append(`\n\n_${notice.replace(/\s+/g, " ")}_\n\n`);
    } else {
      this.#tool.note(update);
      this.#answer.status(this.#tool.line());
    }
  }

  /** Adds text; what comes after a tool call, or as another message of the program, begins a paragraph. */
  #write(text: string, messageId: string | null | undefined): void {
    const begins =
      this.#tool.count !== this.#toolsBefore || (messageId ?? this.#messageId) !== this.#messageId;
    if (begins && !this.#answer.empty) this.#answer.append("\n\n");
    this.#toolsBefore = this.#tool.count;
    this.#messageId = messageId ?? undefined;
    this.#answer.append(text);
  }

  /** The program gave a sign of life: the idle limit begins again. */
  #alive(): void {
    clearTimeout(this.#idleTimer);
    const { idle } = this.#tools.timing;
    this.#idleTimer = setTimeout(() => {
      this.#tools.log.warn("turn-idle", { postId: this.question.postId, idleMs: idle });
      void this.#cancel(phrases.idle(Math.max(1, Math.round(idle / 60_000))));
    }, idle);
  }

  /** Asks the program to end the turn; one that does not is killed, and comes back. */
  async #cancel(note: string): Promise<void> {
    this.#cut ??= note;
    const [life, sessionId] = [this.#life, this.#sessionId];
    if (!life || !sessionId) return;
    clearTimeout(this.#idleTimer);
    await life.connection.cancel(sessionId).catch(() => {});
    this.#idleTimer = setTimeout(() => {
      this.#tools.log.error("program-hangs", { postId: this.question.postId });
      life.child.signal("SIGKILL");
    }, this.#tools.timing.cancelPatience);
  }

  async #finish(note: string | undefined): Promise<void> {
    clearTimeout(this.#idleTimer);
    const tools = this.#tool.count;
    const silence = tools > 0 ? phrases.toolsOnly(tools) : phrases.noAnswer;
    await this.#answer.finish(note ?? (this.#answer.empty ? silence : undefined), this.#patienceMs);
  }

  #sentence(error: unknown): string {
    if (error instanceof NotRunning) return error.message;
    if (error instanceof ProgramError) {
      return error.code === loginCode ? phrases.loginNeeded : phrases.programError(error.message);
    }
    // The exit is noticed a moment after the pipes break.
    return this.#life?.connection.closed ? phrases.cut : phrases.failed;
  }
}

/** A program's own message may quote what a person wrote: only its code goes to the log. */
function logReason(error: unknown): string {
  return error instanceof ProgramError ? `program error ${error.code}` : reasonOf(error);
}

/** Longest wait for a program to make or reopen a session, in milliseconds. */
const sessionPatience = 60_000;

/** The session of a thread: known to this life of the program, taken up again from an earlier one, or new. */
async function openSession(
  life: Life,
  thread: string,
  tools: Pick<TurnTools, "state" | "workspace" | "log">,
): Promise<string> {
  const { connection } = life;
  const known = tools.state.session(thread);
  if (known && life.sessions.has(known)) return known;
  if (known && (connection.canResume || connection.canLoad)) {
    try {
      await inTime(connection.reopenSession(known, tools.workspace));
      life.sessions.add(known);
      return known;
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error;
      tools.log.warn("session-lost", { thread, code: error.code });
    }
  }
  const fresh = await inTime(connection.newSession(tools.workspace));
  life.sessions.add(fresh);
  tools.state.setSession(thread, fresh);
  return fresh;
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const late = Symbol();
  const done = await within(sessionPatience, work, late);
  if (done === late) throw new ProgramError("it did not open a session in time", 0);
  return done as T;
}
