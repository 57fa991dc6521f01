import type { Finding, Obstacle } from "./onepassword.ts";

/** What an answer of 1Password's plugin means. */
export type Verdict =
  | Finding["state"]
  | Extract<Obstacle, "refused" | "limited" | "program" | "away">;

/**
 * Words of the plugin, of Connect's client that it uses, and of the `op` program that it runs; the first that match. The first
 * two hold blanks, which no name of a reference has, so that a quoted name cannot be taken for them. What is not known counts
 * as "away": it never fails a preview.
 */
const words: readonly (readonly [RegExp, Verdict])[] = [
  [
    /Multiple vaults found with|Found (?!0 )\d+ item\(s\) in|More than one (item|vault) matches/,
    "several",
  ],
  [/No vault found with|Found 0 item\(s\) in|isn't an? (item|vault)\b|status 404: /, "missing"],
  [/executable file not found|failed to (get version of op CLI|execute command)/, "program"],
  [/status 429: |too many requests|rate limit/i, "limited"],
  [
    /status 40[13]: |unauthori[sz]ed|forbidden|not (currently )?signed in|invalid .*token/i,
    "refused",
  ],
];

/** Reads an error of the plugin. The text itself is never shown: it may quote what 1Password answered. */
export function verdictOf(error: string): Verdict {
  return words.find(([pattern]) => pattern.test(error))?.[1] ?? "away";
}
