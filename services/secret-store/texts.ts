import type { Json } from "../../spec/canonical.ts";
import { fillJson, fillText, leavesOf, referencesInText } from "../../spec/json-template.ts";
import type { Endpoint } from "../../spec/secrets.ts";
import { type Resolution, wipe } from "./value.ts";

/** Largest rendered file, in bytes. */
export const maxRenderedBytes = 256 * 1024;
/** Longest rendered header value: servers take little more in all headers together. */
const maxHeaderBytes = 8 * 1024;

/** A text with values in it, or why it is not made: then nothing of it is. */
export type Filled<T> =
  | { readonly kind: "filled"; readonly of: T }
  | Extract<Resolution, { readonly kind: "gone" | "unavailable" }>;

/** Asks for the value of a reference. */
export type AskValue = (reference: string) => Promise<Resolution>;

/** The references of a template of a JSON file, in their order. @throws Error where it is none */
export function referencesInTemplate(template: Json): readonly string[] {
  return leavesOf(template).flatMap(({ text }) => referencesInText(text));
}

/** The references of an endpoint's headers. @throws Error where one is no template */
export function referencesInHeaders({ headers }: Endpoint): readonly string[] {
  return Object.values(headers).flatMap((text) => referencesInText(text));
}

/** Renders a JSON file: each string of the template filled, the rest as it is. */
export function renderFile(template: Json, ask: AskValue): Promise<Filled<Buffer>> {
  return fill(
    () => referencesInTemplate(template),
    ask,
    (value) => {
      let room = maxRenderedBytes;
      const filled = fillJson(template, (reference) => {
        const text = value(reference);
        room -= text.length;
        // One value in a thousand places must not become a text that no memory holds.
        if (room < 0) throw new Unfit(tooLarge);
        return text;
      });
      const bytes = Buffer.from(`${JSON.stringify(filled, null, 2)}\n`);
      if (bytes.length > maxRenderedBytes) throw new Unfit(tooLarge);
      return bytes;
    },
  );
}

const tooLarge = `the rendered file has more than ${maxRenderedBytes} bytes`;

/** Renders an endpoint's headers. A value that could end its header and begin another is refused. */
export function renderHeaders(
  endpoint: Endpoint,
  ask: AskValue,
): Promise<Filled<Readonly<Record<string, string>>>> {
  return fill(
    () => referencesInHeaders(endpoint),
    ask,
    (value) => {
      const headers = Object.entries(endpoint.headers).map(([name, text]) => {
        const filled = fillText(text, value);
        const problem = problemOfHeader(filled);
        if (problem !== undefined) throw new Unfit(`${name}: the rendered header ${problem}`);
        return [name, filled] as const;
      });
      return Object.fromEntries(headers);
    },
  );
}

/** What is wrong with the value of a header; it is not shown. */
function problemOfHeader(text: string): string | undefined {
  if (text.trim() === "") return "is empty";
  if (text.length > maxHeaderBytes) return `has more than ${maxHeaderBytes} bytes`;
  if (!/^[\x20-\x7e]*$/.test(text))
    return "holds a line break, another control character or one beyond ASCII, none of which a header can carry";
  return undefined;
}

/** A value that is there and fits into no such text. The message names its form only. */
class Unfit extends Error {}

/** Asks for every reference and makes the text of their values, which are overwritten afterwards. */
async function fill<T>(
  references: () => readonly string[],
  ask: AskValue,
  make: (value: (reference: string) => string) => T,
): Promise<Filled<T>> {
  const found = new Map<string, Resolution>();
  try {
    for (const reference of new Set(references())) found.set(reference, await ask(reference));
    const problem = problemOf(found);
    if (problem) return problem;
    const of = make((reference) => {
      const value = found.get(reference);
      // Nothing else comes here: problems and values that stand end before.
      if (value?.kind !== "value") throw new Unfit("a reference has no value");
      return value.value.reveal().toString("utf8");
    });
    return { kind: "filled", of };
  } catch (error) {
    if (error instanceof Unfit) return { kind: "gone", reason: error.message };
    // Of the template, which holds references only; what reads it shows nothing else.
    const reason = error instanceof Error ? error.message : "the template cannot be read";
    return { kind: "gone", reason };
  } finally {
    for (const one of found.values()) if (one.kind === "value") wipe(one.value);
  }
}

/** Every reference that has no value, in one reason. */
function problemOf(found: ReadonlyMap<string, Resolution>): Filled<never> | undefined {
  const problems = [...found].flatMap(([reference, one]) =>
    one.kind === "gone" || one.kind === "unavailable"
      ? [{ ...one, reason: `${reference}: ${one.reason}` }]
      : [],
  );
  if (problems.length === 0) return undefined;
  const reason = problems.map((problem) => problem.reason).join("; ");
  if (problems.some(({ kind }) => kind === "gone")) return { kind: "gone", reason };
  return problems.some((problem) => problem.kind === "unavailable" && problem.wrong)
    ? { kind: "unavailable", reason, wrong: true }
    : { kind: "unavailable", reason };
}
