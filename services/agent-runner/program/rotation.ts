import { readGeneration, readSecrets, type Secrets } from "./secrets.ts";

/** Notices that a secret has another value than the program was started with. */
export class Rotation {
  readonly #directory: string;
  #launched: Secrets | undefined;
  /** The secret store's generation for which the running program is known to have the values. */
  #generation: string | undefined;

  /** @param directory where the secret store delivers */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Says what the program is started with; nothing where it is being ended, to be started with what is there then. */
  started(secrets: Secrets | undefined): void {
    this.#launched = secrets;
  }

  /**
   * Looks once; while the generation stands still it reads one small file. A value that was withdrawn is no news: what
   * runs goes on with what it has.
   * @returns the names whose values are other ones than the program has
   */
  async changed(names: readonly string[]): Promise<readonly string[]> {
    const launched = this.#launched;
    if (names.length === 0 || !launched) return [];
    const generation = await readGeneration(this.#directory);
    if (generation === this.#generation) return [];
    const now = await readSecrets(this.#directory, names);
    // Started anew in between: the next look compares with that.
    if (!("values" in now) || launched !== this.#launched) return [];
    const changed = names.filter((name) => now.values[name] !== launched[name]);
    // Only a generation that agrees is done with: the values may have been read while the store wrote them.
    if (changed.length === 0) this.#generation = generation;
    return changed;
  }
}
