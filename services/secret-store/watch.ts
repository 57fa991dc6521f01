import type { Outcome } from "./agent-delivery.ts";
import type { Alerts } from "./alerts.ts";
import type { Clock } from "./clock.ts";
import type { ResolverStatus } from "./onepassword/state.ts";

/** How long the store may be locked while agents need 1Password: an unlocker comes within seconds of its start. */
const lockedMs = 60_000;
/** Looks in a row that may fail before somebody hears of it. */
const quietFailures = 1;
/** References that one alert names; of the others it gives the number. */
const maxNamed = 10;
/** Characters of an alert on one of them: a template may name hundreds, and who reads the stream takes no endless line. */
const maxLineChars = 600;

/** Raises an alert at each change for the worse, once; what has become good again may become bad again. */
export class Watch {
  readonly #alerts: Alerts;
  readonly #clock: Clock;
  #status: ResolverStatus | undefined;
  /** What was raised of the present state. */
  #raised: string | undefined;
  #needed = false;
  #untime: (() => void) | undefined;
  #wrong = new Set<string>();

  constructor(alerts: Alerts, clock: Clock) {
    this.#alerts = alerts;
    this.#clock = clock;
  }

  /** Takes 1Password's state. @param failures failed looks in a row */
  state(status: ResolverStatus, failures: number): void {
    if (status.state !== this.#status?.state) this.#raised = undefined;
    this.#status = status;
    const { state, reason = "" } = status;
    if (state === "refused") this.#once(state, `1Password refuses the store's token: ${reason}`);
    if (state === "limited") this.#once(state, `1Password limits the store's requests: ${reason}`);
    if (state === "unreachable" && failures > quietFailures)
      this.#once(state, `1Password does not answer the store: ${reason}`);
    this.#locked();
  }

  /** Takes how everything stands after a pass. */
  outcomes(outcomes: readonly Outcome[]): void {
    this.#needed = outcomes.some(({ reference }) => reference.includes("op://"));
    const wrong = outcomes.filter((outcome) => outcome.wrong);
    const lines = wrong.map(({ agent, name, reference, reason = "" }) => {
      const shown =
        reference.length > maxLineChars / 4
          ? `${reference.slice(0, maxLineChars / 4)}…`
          : reference;
      const line = `${agent}: ${name}${shown === "" ? "" : ` (${shown})`}: ${reason}`;
      return line.length > maxLineChars ? `${line.slice(0, maxLineChars)}…` : line;
    });
    const fresh = lines.filter((line) => !this.#wrong.has(line));
    this.#wrong = new Set(lines);
    if (fresh.length > 0) {
      const more = fresh.length - maxNamed;
      const named = fresh.slice(0, maxNamed).join("; ");
      this.#alerts.raise("reference", more > 0 ? `${named}; and ${more} more` : named);
    }
    this.#locked();
  }

  close(): void {
    this.#untime?.();
  }

  #locked(): void {
    const locked = this.#status?.state === "locked" && this.#needed;
    if (!locked) {
      this.#untime?.();
      this.#untime = undefined;
    } else if (!this.#untime && this.#raised === undefined) {
      this.#untime = this.#clock.after(lockedMs, () => {
        this.#untime = undefined;
        const text = "agents need 1Password and the store has no token: run berth secrets unlock";
        this.#once("locked", text);
      });
    }
  }

  #once(kind: "locked" | "refused" | "limited" | "unreachable", text: string): void {
    if (this.#raised === kind) return;
    this.#raised = kind;
    const { nextRead } = this.#status ?? {};
    const next = kind === "locked" || !nextRead ? "" : `; next try ${nextRead}`;
    this.#alerts.raise(kind, `${text}${next}. What agents have they keep`);
  }
}
