/** Where the operator reads: progress on standard error, results on standard output. */
export interface Console {
  /** One line of progress. */
  say(line: string): void;
  /** One line of the result. */
  print(line: string): void;
}

export const terminal: Console = {
  say: (line) => process.stderr.write(`${line}\n`),
  print: (line) => process.stdout.write(`${line}\n`),
};

/** What the operator did wrong or has to do; shown as it stands, without a stack trace. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Seconds of a command's stages, in the order of their ends. */
export class Stages {
  readonly #console: Console;
  readonly #quiet: boolean;
  readonly #started = performance.now();
  readonly #seconds: [name: string, seconds: number][] = [];

  /** @param quiet keeps the lines of the stages back; what a stage itself says comes through */
  constructor(console: Console, quiet = false) {
    this.#console = console;
    this.#quiet = quiet;
  }

  /** Runs a stage; one line with its name, what it says of itself and its seconds. */
  async step<T extends { readonly says: string }>(
    name: string,
    work: () => Promise<T>,
  ): Promise<T> {
    const begin = performance.now();
    const result = await work();
    const seconds = (performance.now() - begin) / 1000;
    this.#seconds.push([name, seconds]);
    if (!this.#quiet) this.#console.say(`${name}: ${result.says} (${seconds.toFixed(1)} s)`);
    return result;
  }

  /** All stages and the whole time in one line. */
  summary(): string {
    const total = (performance.now() - this.#started) / 1000;
    const parts = this.#seconds.map(([name, seconds]) => `${name} ${seconds.toFixed(1)}`);
    return `${total.toFixed(1)} s in all: ${parts.join(", ")}`;
  }
}

/** Drops control characters except line ends and tabs, so that a log line cannot steer the terminal. */
export function withoutControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
}

/** Columns padded to their widest cell. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) =>
    Math.max(...rows.map((row) => (row[i] ?? "").length)),
  );
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
