import type { Json } from "../../../spec/canonical.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { fillText, leavesOf, referencesInText } from "../../../spec/json-template.ts";
import type { Delivered } from "./delivered.ts";
import { maxLine } from "./lines.ts";

/** Shorter texts are no secrets, and blotting them out would make the log unreadable. */
const shortest = 4;
/** The same for a line of a value of several lines, like a key in PEM. */
const shortestLine = 8;
/** Lines of a value that are known. */
const maxLines = 200;
/** Texts that are known at a time; the oldest are forgotten. */
const maxKnown = 4_000;
/** Stands in a filled template where a value stands in the rendered one; no text of a template holds it. */
const mark = "\u0000";

/**
 * Blots secret values out of what the program writes before it goes to the log. It knows those that were ever delivered
 * while the agent runs: a program may still write the one before.
 */
export class Redaction {
  /** Name by text, the newest last. */
  readonly #names = new Map<string, string>();
  /** The longest first, so that no value ends in the rest of a longer one. */
  #ordered: readonly (readonly [string, string])[] = [];

  /** Takes what was delivered, and of the config files what came from references. */
  learn(declaration: Pick<Declaration, "configFiles">, delivered: Delivered): void {
    for (const [name, value] of Object.entries({ ...delivered.env, ...delivered.files }))
      this.#add(name, value);
    for (const [name, { template }] of Object.entries(declaration.configFiles ?? {})) {
      const rendered = delivered.config[name];
      if (rendered === undefined) continue;
      for (const { place, value } of valuesIn(template, rendered)) this.#add(name + place, value);
    }
    while (this.#names.size > maxKnown) {
      const [oldest] = this.#names.keys();
      if (oldest !== undefined) this.#names.delete(oldest);
    }
    this.#ordered = [...this.#names].sort(([a], [b]) => b.length - a.length);
  }

  /** The line with every known value replaced by its name, and without one that begins where a long line was cut off. */
  clean(line: string): string {
    let clean = line.length < maxLine ? line : line.slice(0, this.#begun(line));
    for (const [form, name] of this.#ordered) clean = clean.replaceAll(form, `[${name}]`);
    return clean;
  }

  /** Where a known value begins of which the text has no more than the beginning; its length where there is none. */
  #begun(text: string): number {
    let begun = text.length;
    for (const [form] of this.#ordered) {
      const first = form.slice(0, shortest);
      let at = text.indexOf(first, Math.max(0, text.length - form.length + 1));
      while (at >= 0 && at < begun) {
        if (form.startsWith(text.slice(at))) begun = at;
        else at = text.indexOf(first, at + 1);
      }
    }
    return begun;
  }

  #add(name: string, value: string): void {
    for (const form of formsOf(value)) {
      const known = this.#names.get(form);
      this.#names.delete(form);
      this.#names.set(form, known ?? name);
    }
  }
}

/** A value as it may stand in a line: whole, without the white space around it, each of its lines, as JSON writes it. */
function formsOf(value: string): readonly string[] {
  // Bytes that are no text stand in no line.
  if (value.includes("\ufffd")) return [];
  const whole = value.trim();
  const lines = whole
    .split(/\r?\n/)
    .slice(0, maxLines)
    .map((line) => line.trim());
  const forms = [value, whole, ...(lines.length > 1 ? lines : [])];
  return [...forms, ...forms.map((form) => JSON.stringify(form).slice(1, -1))].filter(
    (form) => form.trim().length >= (form === value || form === whole ? shortest : shortestLine),
  );
}

/** What stands in a rendered file in the place of references. A file that does not fit its template has nothing. */
function valuesIn(template: Json, rendered: string): { place: string; value: string }[] {
  let filled: ReturnType<typeof leavesOf>;
  try {
    filled = leavesOf(JSON.parse(rendered) as Json);
  } catch {
    return [];
  }
  return leavesOf(template).flatMap(({ path, text }, i) => {
    const leaf = filled[i];
    if (leaf?.path !== path || referencesInText(text).length === 0) return [];
    return [leaf.text, ...between(text, leaf.text)].map((value) => ({ place: path, value }));
  });
}

/** The parts of a rendered text between the literal parts of its template. */
function between(template: string, rendered: string): string[] {
  const [first = "", ...literals] = fillText(template, () => mark).split(mark);
  if (!rendered.startsWith(first)) return [];
  const values: string[] = [];
  let at = first.length;
  for (const [i, literal] of literals.entries()) {
    const isLast = i === literals.length - 1;
    const end = isLast ? rendered.length - literal.length : rendered.indexOf(literal, at);
    if (end < at || !rendered.startsWith(literal, end)) return [];
    values.push(rendered.slice(at, end));
    at = end + literal.length;
  }
  return values;
}
