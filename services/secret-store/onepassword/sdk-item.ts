import type { ItemField, Item as SdkItem } from "@1password/sdk";
import { Redacted } from "../../common/redacted.ts";
import type { Field, Item } from "./backend.ts";

/** An item of the SDK with its fields, as all back ends give it. */
export function itemOf(item: SdkItem, fields: readonly Field[]): Item {
  const hasNotes = fields.some(({ id }) => id === "notesPlain");
  return {
    id: item.id,
    title: item.title,
    version: versionOf(item.updatedAt),
    sections: item.sections.map(({ id, title }) => ({ id, label: title })),
    // The SDK keeps the notes apart; to references they are the field of this name.
    fields: hasNotes ? fields : [...fields, notesOf(item.notes)],
    files: attributesOf(item).map(({ id, name, size }) => {
      const sectionId = item.files.find(({ attributes }) => attributes.id === id)?.sectionId;
      return { id, name, size, ...(sectionId ? { sectionId } : {}) };
    }),
  };
}

function notesOf(notes: string): Field {
  return { id: "notesPlain", label: "notesPlain", kind: "string", value: heldValue(notes) };
}

/** The attached files, and the one that a Document item is. */
export function attributesOf(item: SdkItem) {
  const attached = item.files.map(({ attributes }) => attributes);
  return item.document ? [...attached, item.document] : attached;
}

/** The SDK's words for types, where they differ from op's by more than their letters. */
const kinds: ReadonlyMap<string, string> = new Map([
  ["Text", "string"],
  ["Totp", "otp"],
  ["MonthYear", "month_year"],
  ["CreditCardType", "credit_card_type"],
  ["CreditCardNumber", "credit_card_number"],
]);

/** A field of the SDK, but for a key's OpenSSH format. */
export function fieldOf(field: ItemField): Field {
  const type = String(field.fieldType);
  const { details } = field;
  const code = details?.type === "Otp" ? details.content.code : undefined;
  return {
    id: field.id,
    label: field.title,
    ...(field.sectionId ? { sectionId: field.sectionId } : {}),
    kind: kinds.get(type) ?? type.toLowerCase(),
    value: heldValue(field.value),
    ...(code ? { otp: new Redacted(code) } : {}),
  };
}

function heldValue(value: string): Redacted<Buffer> | undefined {
  return value === "" ? undefined : new Redacted(Buffer.from(value));
}

/** The list of items has no version number, but the time of the last change, in both of which any change shows. */
export function versionOf(updatedAt: Date): string {
  return new Date(updatedAt).toISOString();
}
