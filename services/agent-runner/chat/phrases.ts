import type { Chat } from "../../../spec/declaration.ts";
import type { StopReason } from "../program/acp.ts";
import type { Missing } from "../program/delivered.ts";

/** Every sentence that the runner itself writes into the chat. */
export const phrases = {
  greeting: (name: string, trigger: Chat["trigger"]): string =>
    trigger === "all"
      ? `Hello, I am ${name}. I answer every message here; you can also write me a direct message.`
      : `Hello, I am ${name}. Mention me with @${name}, or write me a direct message.`,
  refusal: "Sorry, I may not work for you. Ask the operator to put you on my list.",
  busy: "I am still busy with earlier messages of this thread. Write again when I have answered them.",
  cut: "_Cut short: my program stopped in the middle of this answer. Write again and I go on._",
  cutByRestart:
    "_Cut short: I was restarted in the middle of this answer. Write again and I go on._",
  stopped: "_Cut short: I am being stopped. Write again when I am back._",
  noAnswer: "My program ended this turn without an answer.",
  toolsOnly: (count: number): string => `Done, in ${count} step${count === 1 ? "" : "s"}.`,
  idle: (minutes: number): string =>
    `_I stopped this: my program gave no sign of life for ${minutes} minute${minutes === 1 ? "" : "s"}._`,
  missingSecrets: (missing: readonly Missing[]): string =>
    missing
      .map(({ kind, name, reason }, i) => {
        const what = `${i === 0 ? "I cannot start: the" : "The"} ${kind} ${name} is not available`;
        return reason ? `${what}: ${reason}.` : `${what}.`;
      })
      .join(" "),
  programError: (message: string): string => {
    const line = message.replace(/\s+/g, " ").trim();
    return `My program reported an error: ${line.length > 300 ? `${line.slice(0, 299)}…` : line}`;
  },
  loginNeeded: "My program asks for a login: its key or token is missing or not valid.",
  failed: "Something went wrong while I worked on this. The operator finds more in my log.",
};

/** What to add to an answer that ended for a reason a person should know. */
export function noteFor(stop: StopReason): string | undefined {
  if (stop === "max_tokens")
    return "_The answer ends here: the model's limit of tokens is reached._";
  if (stop === "max_turn_requests")
    return "_I stopped here: the limit of steps for one turn is reached._";
  if (stop === "refusal") return "_The model refused to go on._";
  if (stop === "cancelled") return "_Cancelled._";
  return undefined;
}
