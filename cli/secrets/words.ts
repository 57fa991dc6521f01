import { table, withoutControls } from "../console.ts";
import type { StoreStatus } from "./store.ts";

/** One row of a check. */
export interface CheckRow {
  readonly place: string;
  readonly reference: string;
  readonly ok: boolean;
  readonly reason?: string;
}

/** How the secret store stands, for people. */
export function linesOfStatus(stack: string, status: StoreStatus): string[] {
  const { provider, via, state, since, reason, lastRead, nextRead, requests, secrets } = status;
  const from = provider === "onepassword" ? `1Password by ${via}` : "development";
  const reads = [
    ...(lastRead ? [`last read ${lastRead}`] : []),
    ...(nextRead ? [`next ${nextRead}`] : []),
    ...(provider === "onepassword" ? [`${requests} requests`] : []),
  ];
  const rows = secrets.map(({ agent, name, reference, state: of, reason: why }) => [
    agent,
    name,
    reference,
    of,
    oneLine(why),
  ]);
  return [
    `stack ${stack}: ${from}: ${state} since ${since}${reason ? `: ${oneLine(reason)}` : ""}`,
    ...(reads.length > 0 ? [reads.join(", ")] : []),
    ...(rows.length === 0
      ? ["no agent has secrets"]
      : table([["agent", "name", "reference", "state", "reason"], ...rows])),
  ];
}

/** The results of a check, for people: the failed ones first. */
export function linesOfCheck(rows: readonly CheckRow[]): string[] {
  const failed = rows.filter((row) => !row.ok);
  const told = [...failed, ...rows.filter((row) => row.ok)].map((row) => [
    row.place,
    row.reference,
    row.ok ? "ok" : "FAILED",
    oneLine(row.reason),
  ]);
  if (rows.length === 0) return ["no agent refers to a secret"];
  return [
    ...table([["place", "reference", "result", "reason"], ...told]),
    failed.length === 0
      ? `${rows.length} references, all good`
      : `${failed.length} of ${rows.length} references failed`,
  ];
}

function oneLine(text: string | undefined): string {
  return withoutControls(text ?? "").replaceAll(/\s+/g, " ");
}
