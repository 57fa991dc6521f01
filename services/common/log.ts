/** One structured line a call on standard output: time, level, service, event, then the fields. */
export interface Log {
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
}

/** Plain values only; never a secret, never the text of a person's message. */
export type Fields = Readonly<
  Record<string, string | number | boolean | null | undefined | readonly string[]>
>;

/** A log whose lines name the service. JSON escapes control characters, so a field cannot forge a line. */
export function createLog(service: string, write: (line: string) => void = console.log): Log {
  const line =
    (level: string) =>
    (event: string, fields: Fields = {}) =>
      write(JSON.stringify({ time: new Date().toISOString(), level, service, event, ...fields }));
  return { info: line("info"), warn: line("warn"), error: line("error") };
}

/** What went wrong, in one line, without a stack trace. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (${reasonOf(error.cause)})` : "";
  return `${error.message || error.name}${cause}`;
}
