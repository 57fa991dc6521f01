import type { OpReference } from "../../../spec/references.ts";
import { Redacted } from "../../common/redacted.ts";
import type { Field, Item } from "./backend.ts";

/** What a reference means in an item: a value that stands in it, a file to read, or why it means nothing. */
export type Selection =
  | { readonly kind: "value"; readonly value: Redacted<Buffer> }
  | { readonly kind: "file"; readonly fileId: string }
  | { readonly kind: "problem"; readonly reason: string };

type ItemFile = Item["files"][number];

/** Where a field or file is looked for, in the words of a reference. */
interface Wanted {
  readonly section?: string;
  readonly field: string;
}

/** 1Password's designations of built-in fields, by the ids that it gives those. */
const purposes: ReadonlyMap<string, string> = new Map([
  ["username", "username"],
  ["password", "password"],
  ["notesPlain", "notes"],
]);

/** Ids that 1Password makes up, so that one of them means nothing else: https://developer.1password.com/docs/connect/api-reference */
const madeUpId = /^[\da-z]{26}$/;

/**
 * Finds what a reference means. Names are compared without regard to case, ids exactly; a reference without a section looks
 * in all of them. More than one hit is a problem, never the first of them, except that an id made up by 1Password wins over
 * equal labels. The reasons name what the reference names, and never a value.
 */
export function selectValue(item: Item, reference: OpReference): Selection {
  const { attribute, sshFormat } = reference;
  const found = find(item, reference);
  if ("reason" in found) return problem(found.reason);
  if ("file" in found) {
    if (sshFormat !== undefined) return problem(`${quoted(reference)} is a file, no private key`);
    return fromFile(found.file, reference);
  }
  if (sshFormat !== undefined) return opensshOf(found.field, reference);
  return fromField(found.field, attribute ?? "value", reference);
}

/**
 * The field that a place means, for writing. @returns undefined where the item has no such field yet
 * @throws Error, fit to be shown, where it means several or a file
 */
export function fieldToWrite(item: Item, wanted: Wanted): Field | undefined {
  const found = find(item, wanted);
  if ("field" in found) return found.field;
  if ("file" in found) throw new Error(`${quoted(wanted)} is a file of the item, no field`);
  if (found.hits > 1) throw new Error(found.reason);
  return undefined;
}

/** Ids of the sections that a name or id means. A field may stand in a section that the item does not list. */
export function sectionIds(item: Item, section: string): ReadonlySet<string> {
  const listed = item.sections.filter(({ id, label }) => id === section || same(label, section));
  return new Set([...listed.map(({ id }) => id), section]);
}

type Found =
  | { readonly field: Field }
  | { readonly file: ItemFile }
  | { readonly reason: string; readonly hits: number };

function find(item: Item, wanted: Wanted): Found {
  const { section, field: name } = wanted;
  const sections = section === undefined ? undefined : sectionIds(item, section);
  const inside = ({ sectionId }: { readonly sectionId?: string }) =>
    sections === undefined || (sectionId !== undefined && sections.has(sectionId));
  const fields = item.fields.filter(
    (field) => inside(field) && (field.id === name || same(field.label, name)),
  );
  const files = item.files.filter(
    (file) => inside(file) && (file.id === name || same(file.name, name)),
  );
  const hits: readonly Found[] = [
    ...fields.map((field) => ({ field })),
    ...files.map((file) => ({ file })),
  ];
  const byId = madeUpId.test(name) ? hits.filter((hit) => idOf(hit) === name) : [];
  const [only, ...others] = byId.length === 1 ? byId : hits;
  if (only === undefined) return { reason: missing(item, wanted), hits: 0 };
  if (others.length === 0) return only;
  return { reason: tooMany(hits.length, wanted), hits: hits.length };
}

function idOf(hit: Found): string | undefined {
  if ("field" in hit) return hit.field.id;
  return "file" in hit ? hit.file.id : undefined;
}

function missing(item: Item, wanted: Wanted): string {
  const { section, field } = wanted;
  if (section === undefined)
    return `the item has no field or file "${field}": write the field's label as 1Password shows it, or its id where the label has other characters`;
  const known =
    item.sections.some(({ id, label }) => id === section || same(label, section)) ||
    [...item.fields, ...item.files].some(({ sectionId }) => sectionId === section);
  return known
    ? `the item's section "${section}" has no field or file "${field}"`
    : `the item has no section "${section}"`;
}

function tooMany(count: number, { section, field }: Wanted): string {
  const where = section === undefined ? "the item" : `the item's section "${section}"`;
  const cure = section === undefined ? "name its section, write its id instead" : "write its id";
  return `too many matches: ${count} fields or files of ${where} are called "${field}"; ${cure}, or rename the others in 1Password`;
}

function fromField(field: Field, attribute: string, wanted: Wanted): Selection {
  switch (attribute) {
    case "value":
    case "content":
      return field.value === undefined || field.value.reveal().length === 0
        ? problem(`${quoted(wanted)} is empty in 1Password`)
        : { kind: "value", value: field.value };
    case "otp":
      if (field.otp !== undefined) return told(field.otp.reveal());
      return problem(
        field.kind === "otp"
          ? `1Password made no one-time password of ${quoted(wanted)}: its setup key is not good`
          : `${quoted(wanted)} is no field of one-time passwords: its type is ${field.kind}`,
      );
    case "type":
      return told(field.kind);
    case "id":
      return told(field.id);
    case "purpose": {
      const purpose = purposes.get(field.id);
      return purpose === undefined
        ? problem(`${quoted(wanted)} is no built-in field, so it has no purpose`)
        : told(purpose);
    }
    default:
      return problem(`${quoted(wanted)} is a field, and a field has no attribute "${attribute}"`);
  }
}

function fromFile(file: ItemFile, wanted: Wanted & Pick<OpReference, "attribute">): Selection {
  switch (wanted.attribute) {
    case undefined:
    case "content":
    case "value":
      return file.size === 0
        ? problem(`${quoted(wanted)} is an empty file in 1Password`)
        : { kind: "file", fileId: file.id };
    case "name":
      return told(file.name);
    case "id":
      return told(file.id);
    case "size":
      return told(String(file.size));
    case "type":
      return told("file");
    default:
      return problem(
        `${quoted(wanted)} is a file, and a file has no attribute "${wanted.attribute}"`,
      );
  }
}

function opensshOf(field: Field, wanted: Wanted): Selection {
  if (field.openssh !== undefined) return told(field.openssh.reveal());
  return problem(
    field.kind === "sshkey"
      ? `this way to 1Password gives ${quoted(wanted)} in no OpenSSH format: leave ssh-format away for PKCS#8, or use the SDK or op`
      : `${quoted(wanted)} is no private key: its type is ${field.kind}`,
  );
}

function told(text: string): Selection {
  return { kind: "value", value: new Redacted(Buffer.from(text)) };
}

function problem(reason: string): Selection {
  return { kind: "problem", reason };
}

function quoted({ section, field }: Wanted): string {
  return section === undefined ? `"${field}"` : `"${section}/${field}"`;
}

/** Whether two names are the same to 1Password. */
export function same(one: string, other: string): boolean {
  return (
    one === other || one.normalize("NFC").toLowerCase() === other.normalize("NFC").toLowerCase()
  );
}
