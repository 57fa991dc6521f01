import type { Declaration } from "../../../spec/declaration.ts";
import {
  type Delivered,
  type Directories,
  type Marks,
  readDelivered,
  readMarks,
} from "./delivered.ts";

/** What was found at a look. */
interface Found {
  readonly delivered: Delivered;
  /** What the program must be started anew for: environment variables, and config files that it does not reread. */
  readonly restartFor: readonly string[];
}

/** Notices that what was delivered is something else than the program was started with. */
export class Rotation {
  readonly #directories: Directories;
  #launched: { readonly delivered: Delivered; readonly marks: Marks } | undefined;
  /** The secret store's generations for which the running program is known to have what it needs. */
  #generations: string | undefined;

  /** @param directories where the secret store delivers */
  constructor(directories: Directories) {
    this.#directories = directories;
  }

  /** Says what the program is started with; nothing where it is being ended, to be started with what is there then. */
  started(launched: { readonly delivered: Delivered; readonly marks: Marks } | undefined): void {
    this.#launched = launched;
  }

  /**
   * Looks once; while the generations stand still it reads two small files. What was withdrawn is no news: what runs goes on
   * with what it has. @returns nothing where nothing is new
   */
  async look(declaration: Declaration): Promise<Found | undefined> {
    const launched = this.#launched;
    if (!launched) return undefined;
    const marks = await readMarks(this.#directories);
    if (marks.generations === this.#generations) return undefined;
    const { delivered, missing } = await readDelivered(this.#directories, declaration);
    // Started anew in between: the next look compares with that.
    if (launched !== this.#launched) return undefined;
    if (missing.length > 0) return { delivered, restartFor: [] };
    const { configFiles = {} } = declaration;
    const restartFor = [
      ...changed(delivered.env, launched.delivered.env, marks.secrets, launched.marks.secrets),
      ...changed(
        delivered.config,
        launched.delivered.config,
        marks.config,
        launched.marks.config,
      ).filter((name) => !configFiles[name]?.reread),
    ];
    // Only what agrees is done with: the values may have been read while the store wrote them.
    if (restartFor.length === 0) this.#generations = marks.generations;
    return { delivered, restartFor };
  }
}

/**
 * Names whose content is another one, and not only a newer one of the same: a one-time password changes all the time and its
 * fingerprint does not.
 */
function changed(
  now: Readonly<Record<string, string>>,
  before: Readonly<Record<string, string>>,
  prints: ReadonlyMap<string, string>,
  printsBefore: ReadonlyMap<string, string>,
): string[] {
  return Object.keys(now).filter((name) => {
    const print = prints.get(name);
    return now[name] !== before[name] && (print === undefined || print !== printsBefore.get(name));
  });
}
