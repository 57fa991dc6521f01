import { randomBytes } from "node:crypto";
import { Redacted } from "../../common/redacted.ts";
import {
  BackendError,
  type Field,
  type Item,
  type ItemHead,
  type VaultHead,
  type WritePlace,
} from "./backend.ts";
import { fieldToWrite, same } from "./select.ts";

/**
 * The JSON that Connect and the `op` program tell of vaults and items, which is nearly the same: op gives private keys in
 * OpenSSH's format besides, and the labels of sections with their fields.
 * https://developer.1password.com/docs/connect/api-reference, https://developer.1password.com/docs/cli/item-template-json
 */
type JsonObject = Readonly<Record<string, unknown>>;

/** Ids go into paths and arguments, so that only these may be ones; no other is known of 1Password. */
const idPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
/** States of items that are not to be used any more. */
const withdrawn = new Set(["ARCHIVED", "DELETED"]);

/** An id on its way into a path or an argument. @throws BackendError for what could be more than an id there */
export function checkedId(value: string): string {
  if (idPattern.test(value)) return value;
  throw new BackendError("bad-answer", "an id is asked for that is none of 1Password's form");
}

/** @throws BackendError `bad-answer` that names the place, and nothing of what stands there; so do all functions here */
export function readVaults(json: unknown): readonly VaultHead[] {
  return list(json, "the list of vaults").map((vault, index) => ({
    id: id(vault.id, `vault ${index}`),
    name: text(vault.name, `vault ${index}`, "name"),
  }));
}

/** The items in use: archived and deleted ones are left out. */
export function readItemHeads(json: unknown): readonly ItemHead[] {
  return list(json, "the list of items")
    .filter((item) => item.trashed !== true && !withdrawn.has(String(item.state)))
    .map((item, index) => headOf(item, `item ${index}`));
}

export function readItem(json: unknown): Item {
  const item = object(json, "the item");
  const fields = optionalList(item.fields, "the item's fields");
  const files = optionalList(item.files, "the item's files");
  return {
    ...headOf(item, "the item"),
    sections: sectionsOf(item, [...fields, ...files]),
    fields: fields.map(fieldOf),
    files: files.map((file, index) => ({
      id: id(file.id, `file ${index}`),
      name: text(file.name, `file ${index}`, "name"),
      size: typeof file.size === "number" && file.size >= 0 ? file.size : 0,
      ...sectionOf(file),
    })),
  };
}

/** A whole item as JSON, with a value put into a field; the field and its section are made where missing. */
export function withField(json: unknown, place: WritePlace, value: Redacted<string>): JsonObject {
  const raw = object(json, "the item");
  const item = readItem(raw);
  const existing = fieldOfPlace(item, place);
  const fields = optionalList(raw.fields, "the item's fields");
  if (existing !== undefined) {
    const at = item.fields.indexOf(existing);
    return { ...raw, fields: fields.with(at, { ...fields[at], value: value.reveal() }) };
  }
  const sections = optionalList(raw.sections, "the item's sections");
  const section = sectionToWrite(sections, place.section);
  return {
    ...raw,
    ...(section?.isNew ? { sections: [...sections, section.json] } : {}),
    fields: [...fields, newField(place.field, section?.json.id, value)],
  };
}

/** A new item of a category that has no fields of its own which must be there. */
export function newItem(place: WritePlace, value: Redacted<string>): JsonObject {
  const section = sectionToWrite([], place.section);
  return {
    title: place.title,
    category: "API_CREDENTIAL",
    vault: { id: place.vaultId },
    ...(section ? { sections: [section.json] } : {}),
    fields: [newField(place.field, section?.json.id, value)],
  };
}

/** A new concealed field. It takes part in no autofill and has an id of 1Password's choice. */
export function newField(
  label: string,
  sectionId: string | undefined,
  value: Redacted<string>,
): JsonObject {
  return {
    label,
    type: "CONCEALED",
    value: value.reveal(),
    ...(sectionId === undefined ? {} : { section: { id: sectionId } }),
  };
}

/** {@link fieldToWrite} with its error as a back end's. */
export function fieldOfPlace(item: Item, place: WritePlace): Field | undefined {
  try {
    return fieldToWrite(item, place);
  } catch (error) {
    throw unwritable((error as Error).message);
  }
}

/** The section to write into, and whether it is yet to be made. @returns undefined where none is named */
export function sectionToWrite(
  sections: readonly { readonly id?: unknown; readonly label?: unknown }[],
  wanted: string | undefined,
): { readonly json: { readonly id: string; readonly label: string }; isNew: boolean } | undefined {
  if (wanted === undefined) return undefined;
  const hits = sections.filter(
    (section) => section.id === wanted || same(String(section.label ?? ""), wanted),
  );
  if (hits.length > 1)
    throw unwritable(`${hits.length} sections are called "${wanted}"; rename all but one`);
  const [hit] = hits;
  if (hit === undefined) return { json: { id: newId(), label: wanted }, isNew: true };
  return { json: { id: String(hit.id), label: String(hit.label ?? "") }, isNew: false };
}

/** An id of the form that 1Password gives. */
function newId(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz234567";
  return Array.from(randomBytes(26), (byte) => letters[byte % letters.length]).join("");
}

function headOf(item: JsonObject, where: string): ItemHead {
  const { version } = item;
  if (typeof version !== "number" && typeof version !== "string")
    throw bad(`${where} has no version`);
  return {
    id: id(item.id, where),
    title: text(item.title ?? "", where, "title"),
    version: String(version),
  };
}

function fieldOf(field: JsonObject, index: number): Field {
  const where = `field ${index}`;
  const kind = String(field.type ?? "string").toLowerCase();
  const openssh = opensshOf(field.ssh_formats);
  return {
    id: text(field.id ?? "", where, "id"),
    label: text(field.label ?? "", where, "label"),
    ...sectionOf(field),
    // Connect's older word.
    kind: kind === "totp" ? "otp" : /^[a-z_]{1,40}$/.test(kind) ? kind : "unknown",
    value: heldValue(field.value, where),
    ...(typeof field.totp === "string" && field.totp !== ""
      ? { otp: new Redacted(field.totp) }
      : {}),
    ...(openssh === undefined ? {} : { openssh: new Redacted(openssh) }),
  };
}

function heldValue(value: unknown, where: string): Redacted<Buffer> | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "number" || typeof value === "boolean")
    return new Redacted(Buffer.from(String(value)));
  if (typeof value !== "string") throw bad(`${where}'s value is no text`);
  if (!value.isWellFormed())
    throw bad(`${where}'s value is no Unicode text: keep other bytes in a file of the item`);
  return new Redacted(Buffer.from(value));
}

function opensshOf(formats: unknown): string | undefined {
  if (!isObject(formats) || !isObject(formats.openssh)) return undefined;
  const { value } = formats.openssh;
  return typeof value === "string" && value !== "" ? value : undefined;
}

function sectionOf(of: JsonObject): { readonly sectionId?: string } {
  if (!isObject(of.section) || typeof of.section.id !== "string" || of.section.id === "") return {};
  return { sectionId: of.section.id };
}

/** The sections that the item lists, and those that only stand with a field. */
function sectionsOf(item: JsonObject, holders: readonly JsonObject[]): Item["sections"] {
  const sections = new Map<string, string>();
  const named = holders.map(({ section }) => section).filter(isObject);
  for (const section of [...optionalList(item.sections, "the item's sections"), ...named]) {
    if (typeof section.id !== "string" || section.id === "") continue;
    const label = typeof section.label === "string" ? section.label : "";
    sections.set(section.id, sections.get(section.id) || label);
  }
  return [...sections].map(([key, label]) => ({ id: key, label }));
}

function list(json: unknown, what: string): readonly JsonObject[] {
  if (!Array.isArray(json)) throw bad(`${what} is no list`);
  return json.map((entry: unknown, index) => object(entry, `entry ${index} of ${what}`));
}

function optionalList(json: unknown, what: string): readonly JsonObject[] {
  return json === undefined || json === null ? [] : list(json, what);
}

function object(json: unknown, what: string): JsonObject {
  if (!isObject(json)) throw bad(`${what} is no object`);
  return json;
}

function isObject(json: unknown): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function id(value: unknown, where: string): string {
  if (typeof value === "string" && idPattern.test(value)) return value;
  throw bad(`${where} has no id of 1Password's form`);
}

function text(value: unknown, where: string, what: string): string {
  if (typeof value === "string") return value;
  throw bad(`${where} has a ${what} that is no text`);
}

function unwritable(problem: string): BackendError {
  return new BackendError("bad-answer", `the item cannot be written: ${problem}`);
}

function bad(problem: string): BackendError {
  return new BackendError("bad-answer", `1Password's answer is not understood: ${problem}`);
}
