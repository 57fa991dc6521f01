import type { Random } from "./random.ts";

/** Something that is fuzzed: what it is fed, and what must hold of every input. */
export interface Target {
  readonly name: string;
  /** Makes an input. All that decides an execution is in its bytes. */
  generate(random: Random): Uint8Array;
  /** @returns what is wrong; undefined: nothing */
  check(input: Uint8Array): string | undefined | Promise<string | undefined>;
  /** Inputs to try in any case, beside those that are kept. */
  known?(): readonly Uint8Array[];
  /** What happened so far, for a report that shows that the inputs reach what they are to reach. */
  seen?(): Readonly<Record<string, number>>;
}

/** Runs a check; whatever it throws is a finding, too. */
export async function checked(target: Target, input: Uint8Array): Promise<string | undefined> {
  try {
    return await target.check(input);
  } catch (error) {
    return `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
}

/** Largest number of checks that making an input smaller may take. */
const maxTries = 600;

/** The first words of what is wrong: the same for the same hole, whatever the values are. */
const kindOf = (problem: string | undefined) => problem?.split(/\s+/, 3).join(" ");

/** Makes an input smaller for as long as the same stays wrong with it: by pieces, then byte by byte. */
export async function shrink(
  target: Target,
  found: Uint8Array,
  problem: string,
): Promise<Uint8Array> {
  const kind = kindOf(problem);
  let best = found;
  let tries = 0;
  for (let size = Math.ceil(best.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < best.length && tries < maxTries; ) {
      const smaller = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      tries += 1;
      if (kindOf(await checked(target, smaller)) !== kind) at += size;
      else best = smaller;
    }
  }
  return best;
}
