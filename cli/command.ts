import { type ParseArgsConfig, parseArgs } from "node:util";
import { CliError } from "./console.ts";

/** One command of `berth`. */
export interface Command {
  /** Arguments, as usage shows them. */
  readonly usage: string;
  readonly summary: string;
  /** @returns the exit code */
  run(args: readonly string[]): Promise<number>;
}

/** Parses a command's arguments. @throws CliError (exit code 2) for what the command does not know */
export function readArguments<const T extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: T,
  positionals: { readonly least: number; readonly most: number; readonly usage: string },
) {
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    const count = parsed.positionals.length;
    if (count < positionals.least || count > positionals.most) {
      throw new Error(count < positionals.least ? "an argument is missing" : "too many arguments");
    }
    return parsed;
  } catch (error) {
    throw new CliError(`${(error as Error).message}\nusage: berth ${positionals.usage}`, 2);
  }
}

/** A whole number from an option. @throws CliError (exit code 2) */
export function wholeNumber(text: string, what: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new CliError(`${what}: must be a whole number from ${least} to ${most}`, 2);
  }
  return value;
}
