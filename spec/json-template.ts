import type { Json } from "./canonical.ts";
import { parseReference, problemOfReference } from "./references.ts";

/**
 * Templates of JSON files: a value with secret references in its strings. A file is rendered by replacing strings of the value
 * and writing the value anew, so no secret, whatever is in it, can change the structure; nothing else is special in a template,
 * and what was filled in is not looked at again.
 */

/** A string of a template and where it stands: `.bots[0].token`; of the template itself: nothing. */
export interface Leaf {
  readonly path: string;
  readonly text: string;
}

/** Deepest nesting of a template. */
export const maxTemplateDepth = 32;
/** Largest template, in bytes of JSON. */
export const maxTemplateBytes = 12 * 1024;

type Part = { readonly literal: string } | { readonly reference: string };

/**
 * The references of a text, without braces, in their order: the whole text where it begins with `op://`, else what stands in
 * each `{{ … }}`. @throws Error where the text is no template; it shows nothing of it but references
 */
export function referencesInText(text: string): readonly string[] {
  return partsOf(text).flatMap((part) => ("reference" in part ? [part.reference] : []));
}

/** The text with a value in the place of each reference. @throws Error like {@link referencesInText} */
export function fillText(text: string, value: (reference: string) => string): string {
  return partsOf(text)
    .map((part) => ("reference" in part ? value(part.reference) : part.literal))
    .join("");
}

/** The template with every string filled; keys are as written. @throws Error like {@link referencesInText} */
export function fillJson(template: Json, value: (reference: string) => string): Json {
  if (typeof template === "string") return fillText(template, value);
  if (Array.isArray(template)) return template.map((item: Json) => fillJson(item, value));
  if (template === null || typeof template !== "object") return template;
  return Object.fromEntries(
    membersOf(template).map(([key, member]) => [key, fillJson(member, value)]),
  );
}

/** Every string of a template that {@link problemsOfTemplate} finds nothing wrong with, in its order. */
export function leavesOf(template: Json, path = ""): Leaf[] {
  if (typeof template === "string") return [{ path, text: template }];
  if (Array.isArray(template))
    return template.flatMap((item: Json, i) => leavesOf(item, `${path}[${i}]`));
  if (template === null || typeof template !== "object") return [];
  return membersOf(template).flatMap(([key, member]) => leavesOf(member, path + step(key)));
}

/** What is wrong with a value that should be a template, each with its path; nothing of a text that may be a value is shown. */
export function problemsOfTemplate(template: unknown): string[] {
  const problems = problemsAt(template, "", []);
  if (problems.length > 0) return problems;
  const size = Buffer.byteLength(JSON.stringify(template));
  return size > maxTemplateBytes
    ? [`: has ${size} bytes as JSON; at most ${maxTemplateBytes} are allowed`]
    : [];
}

/** What is wrong with one text of a template; undefined: nothing. */
export function problemOfText(text: string): string | undefined {
  try {
    partsOf(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function problemsAt(value: unknown, path: string, above: readonly object[]): string[] {
  if (value === null || typeof value === "boolean") return [];
  if (typeof value === "number")
    return Number.isFinite(value) ? [] : [`${path}: is a number that JSON does not have`];
  if (typeof value === "string") {
    const problem = problemOfText(value);
    return problem === undefined ? [] : [`${path}: ${problem}`];
  }
  if (typeof value !== "object")
    return [`${path}: is of type ${typeof value}, which JSON does not have`];
  if (above.includes(value)) return [`${path}: holds itself, so it has no end`];
  if (above.length >= maxTemplateDepth)
    return [`${path}: lies deeper than ${maxTemplateDepth} levels`];
  const within = [...above, value];
  if (Array.isArray(value)) {
    // Array.from: a hole is undefined, which flatMap would pass over.
    return Array.from(value as unknown[]).flatMap((item, i) =>
      problemsAt(item, `${path}[${i}]`, within),
    );
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    return [`${path}: is an object of a class, and not JSON; write a plain object`];
  return membersOf(value).flatMap(([key, member]) => [
    ...(/\{\{|\}\}|op:\/\//.test(key)
      ? [`${path}${step(key)}: a key may hold no reference; only values do`]
      : []),
    ...problemsAt(member, path + step(key), within),
  ]);
}

/** Members that JSON has: those that are undefined are not written. */
function membersOf(value: object): [string, Json][] {
  return Object.entries(value).filter((entry): entry is [string, Json] => entry[1] !== undefined);
}

/** A key as a step of a path, made visible where it is no plain word. */
function step(key: string): string {
  if (/^[A-Za-z0-9_$.-]{1,64}$/.test(key)) return `.${key}`;
  return `[${JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key)}]`;
}

/** Takes a text apart. No part of it is looked at twice. */
function partsOf(text: string): readonly Part[] {
  if (text.startsWith("op://")) {
    parseReference(text);
    return [{ reference: text }];
  }
  const parts: Part[] = [];
  let at = 0;
  for (;;) {
    const open = text.indexOf("{{", at);
    const literal = text.slice(at, open === -1 ? undefined : open);
    if (literal.includes("}}")) throw new Error("has }} without {{ before it");
    if (literal.includes("op://"))
      throw new Error("has op:// within a longer text; write {{ op://vault/item/field }} there");
    if (literal !== "") parts.push({ literal });
    if (open === -1) return parts;
    const close = text.indexOf("}}", open);
    if (close === -1) throw new Error("has {{ without }} after it");
    const reference = text.slice(open + 2, close).trim();
    const problem = problemOfReference(reference);
    if (problem !== undefined)
      throw new Error(
        `has {{ … }} which ${problem.startsWith("is ") ? problem : `holds ${problem}`}`,
      );
    parts.push({ reference });
    at = close + 2;
  }
}
