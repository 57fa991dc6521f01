/** Names of the audit's files in its volume: the writer and the reader of `berth audit` must agree on them. */

/** The file that is written to. */
export const auditFile = "audit.jsonl";

/** Name of a closed file, by the number of its first record. */
export function rotatedFile(firstSeq: number): string {
  return `audit.${firstSeq}.jsonl`;
}

/** Number in the name of a closed file; undefined: it is none. */
export function rotatedNumber(name: string): number | undefined {
  const number = Number(/^audit\.([1-9][0-9]{0,15})\.jsonl$/.exec(name)?.[1] ?? 0);
  return number === 0 ? undefined : number;
}

/** Closed files that are kept beside the one that is written to; the oldest goes. */
export const keptFiles = 8;
