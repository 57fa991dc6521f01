import type { Update } from "../program/acp.ts";

/** Longest description of a tool call, in characters. */
const maxShown = 120;

/** Follows the tool calls of a turn and puts the latest into one line. */
export class ToolStatus {
  readonly #open = new Map<string, string>();
  readonly #seen = new Set<string>();

  /** Tool calls so far. */
  get count(): number {
    return this.#seen.size;
  }

  /** Notes an update; others than tool calls change nothing. */
  note(update: Update): void {
    if (update.sessionUpdate !== "tool_call" && update.sessionUpdate !== "tool_call_update") return;
    this.#seen.add(update.toolCallId);
    if (update.status === "completed" || update.status === "failed") {
      this.#open.delete(update.toolCallId);
      return;
    }
    const shown = describeTool(update.rawInput, update.title, update.kind);
    if (shown) this.#open.set(update.toolCallId, shown);
    else if (!this.#open.has(update.toolCallId)) this.#open.set(update.toolCallId, "a tool");
  }

  /** The line to show now, or nothing when no tool runs. */
  line(): string | undefined {
    const latest = [...this.#open.values()].at(-1);
    if (latest === undefined) return undefined;
    const more = this.#open.size > 1 ? ` and ${this.#open.size - 1} more` : "";
    return `_Running ${latest}${more} …_`;
  }
}

/** The command itself where there is one: a title is the model's own wording of it. */
function describeTool(rawInput: unknown, title: unknown, kind: unknown): string | undefined {
  const command = (rawInput as { command?: unknown } | null | undefined)?.command;
  const words = Array.isArray(command) ? command.join(" ") : command;
  for (const text of [words, title, kind]) {
    if (typeof text === "string" && text.trim()) return `\`${shorten(text)}\``;
  }
  return undefined;
}

function shorten(text: string): string {
  const line = text.replace(/[`\s]+/g, " ").trim();
  return line.length > maxShown
    ? `${line.slice(0, maxShown - 1).replace(/[\ud800-\udbff]$/, "")}…`
    : line;
}
