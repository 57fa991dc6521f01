import { type Log, reasonOf } from "../../common/log.ts";
import type { MattermostRest } from "../mattermost/rest.ts";
import type { Timing } from "../settings.ts";
import { pause } from "../wait.ts";
import { splitMessage } from "./split.ts";

/** Most posts of one answer; what a program writes beyond is dropped with a note. */
const maxPosts = 20;
const maxCharacters = 300_000;

export interface AnswerOptions {
  readonly rest: MattermostRest;
  readonly log: Log;
  readonly timing: Timing;
  readonly channelId: string;
  /** Thread in which to answer; empty for a direct message outside of a thread. */
  readonly rootId: string;
  /** The first post exists now. */
  readonly onFirstPost: (postId: string) => void;
  /** The answer cannot be written: the thread or the channel is gone. */
  readonly onRefused: () => void;
}

/**
 * An answer that grows in one post: made at the first text, then edited at most once a second, and at the end.
 * What does not fit goes on in a further post of the thread.
 */
export class Answer {
  readonly #options: AnswerOptions;
  readonly #posts: { readonly id: string; text: string }[] = [];
  #text = "";
  #status: string | undefined;
  #dropped = false;
  #refused = false;
  #finished = false;
  #patienceMs = 20_000;
  #nextAt = 0;
  #dirty = false;
  #loop: Promise<void> | undefined;
  #hurry = new AbortController();

  constructor(options: AnswerOptions) {
    this.#options = options;
  }

  /** Nothing to read has come yet. */
  get empty(): boolean {
    return this.#text.trim() === "";
  }

  get posts(): number {
    return this.#posts.length;
  }

  append(text: string): void {
    if (this.#text.length + text.length > maxCharacters) {
      this.#dropped = true;
      return;
    }
    this.#text += text;
    this.#change();
  }

  /** Shows a line under the text while something runs; nothing takes it away. */
  status(line: string | undefined): void {
    if (line === this.#status) return;
    this.#status = line;
    this.#change();
  }

  /**
   * Ends the answer: no status line, an optional last note, and the final edit, tried for as long as `patienceMs`.
   * Never throws: what could not be written is in the log.
   */
  async finish(note: string | undefined, patienceMs: number): Promise<void> {
    this.#status = undefined;
    if (this.#dropped) this.#text += "\n\n_The rest of this answer is too long for the chat._";
    if (note) this.#text = this.empty ? note : `${this.#text.trimEnd()}\n\n${note}`;
    this.#patienceMs = patienceMs;
    this.#finished = true;
    this.#hurry.abort();
    this.#change();
    await this.#loop;
  }

  #change(): void {
    this.#dirty = true;
    this.#loop ??= this.#write().finally(() => {
      this.#loop = undefined;
      if (this.#dirty && !this.#refused) this.#change();
    });
  }

  async #write(): Promise<void> {
    while (this.#dirty && !this.#refused) {
      await pause(this.#nextAt - Date.now(), this.#hurry.signal);
      this.#dirty = false;
      const before = this.#posts.length;
      const isLast = this.#finished;
      try {
        await this.#reconcile();
      } catch (error) {
        this.#failed(error, isLast);
      }
      const { firstEdit, editEvery } = this.#options.timing;
      this.#nextAt = Date.now() + (before === 0 ? firstEdit : editEvery);
    }
  }

  /** Makes the posts hold what the answer says now. */
  async #reconcile(): Promise<void> {
    const { rest, channelId, rootId, onFirstPost } = this.#options;
    const pieces = splitMessage(this.#text).slice(0, maxPosts);
    if (this.#status) pieces.push([pieces.pop() ?? "", this.#status].join("\n\n").trim());
    for (const [i, message] of pieces.entries()) {
      const post = this.#posts[i];
      if (post?.text === message) continue;
      // A lost edit in between is made good by the next; the first post and the last edit have to arrive.
      const patienceMs = this.#finished || !post ? this.#patienceMs : 0;
      if (post) {
        await rest.editPost(post.id, message, { patienceMs });
        post.text = message;
      } else {
        const made = await rest.createPost({ channelId, rootId, message }, { patienceMs });
        this.#posts.push({ id: made.id, text: message });
        if (this.#posts.length === 1) onFirstPost(made.id);
      }
    }
  }

  /** @param isLast it was tried as the last one: the answer may have been finished while an edit in between failed */
  #failed(error: unknown, isLast: boolean): void {
    const { log, channelId, onRefused } = this.#options;
    const final = (error as { final?: unknown }).final === true;
    if (!final && !isLast) {
      this.#dirty = true;
      return;
    }
    log.error("answer-not-written", { channelId, reason: reasonOf(error) });
    this.#refused = true;
    onRefused();
  }
}
