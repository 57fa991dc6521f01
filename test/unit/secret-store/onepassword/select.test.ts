import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Redacted } from "../../../../services/common/redacted.ts";
import type { Field, Item } from "../../../../services/secret-store/onepassword/backend.ts";
import { fieldToWrite, selectValue } from "../../../../services/secret-store/onepassword/select.ts";
import { parseReference } from "../../../../spec/references.ts";

const made = (letter: string) => letter.repeat(26);

function field(
  id: string,
  label: string,
  value: string | undefined,
  more: Partial<Field> = {},
): Field {
  const held = value === undefined ? undefined : new Redacted(Buffer.from(value));
  return { id, label, kind: "concealed", value: held, ...more };
}

const item: Item = {
  id: made("i"),
  title: "Lal",
  version: "7",
  sections: [
    { id: made("s"), label: "AWS" },
    { id: "add more", label: "" },
    { id: made("t"), label: "Twin" },
    { id: made("u"), label: "twin" },
  ],
  fields: [
    field("username", "username", "lal"),
    field("password", "password", "built-in"),
    field("notesPlain", "notesPlain", undefined, { kind: "string" }),
    field(made("a"), "Key", "of aws", { sectionId: made("s") }),
    field(made("b"), "key", "of none"),
    field(made("c"), "single", "unlisted", { sectionId: "not-listed" }),
    field(made("d"), "in-one-twin", "twin", { sectionId: made("u") }),
    field(made("e"), made("f"), "a label like an id"),
    field(made("f"), "other", "an id"),
    field(made("g"), "empty", ""),
    field("TOTP_1", "code", "otpauth://totp/x", { kind: "otp", otp: new Redacted("123456") }),
    field("TOTP_2", "broken", "no uri", { kind: "otp" }),
    field("private_key", "ssh", "-----BEGIN PRIVATE KEY-----", {
      kind: "sshkey",
      openssh: new Redacted("-----BEGIN OPENSSH PRIVATE KEY-----"),
    }),
    field("other_key", "ssh-only", "-----BEGIN PRIVATE KEY-----", { kind: "sshkey" }),
    field(made("h"), "both.txt", "a field"),
  ],
  files: [
    { id: made("p"), name: "key.pem", size: 12 },
    { id: made("q"), name: "Both.txt", size: 3 },
    { id: made("r"), name: "nothing", size: 0 },
    { id: made("v"), name: "aws.pem", size: 4, sectionId: made("s") },
  ],
};

function select(path: string) {
  const reference = parseReference(`op://agents/lal/${path}`);
  if (reference.scheme !== "op") throw new Error(`${path} is no reference to 1Password`);
  const selected = selectValue(item, reference);
  return selected.kind === "value" ? selected.value.reveal().toString() : selected;
}

describe("what a reference means in an item", () => {
  it.each([
    ["password", "built-in"],
    ["PassWord", "built-in"],
    ["username", "lal"],
    ["AWS/key", "of aws"],
    [`aws/${made("a")}`, "of aws"],
    [`${made("s")}/KEY`, "of aws"],
    [made("b"), "of none"],
    ["single", "unlisted"],
    ["not-listed/single", "unlisted"],
    ["twin/in-one-twin", "twin"],
    [made("f"), "an id"],
    ["code", "otpauth://totp/x"],
    ["code?attribute=otp", "123456"],
    ["code?attribute=type", "otp"],
    ["password?attribute=value", "built-in"],
    ["password?attribute=id", "password"],
    ["password?attribute=type", "concealed"],
    ["password?attribute=purpose", "password"],
    ["notesPlain?attribute=purpose", "notes"],
    ["ssh", "-----BEGIN PRIVATE KEY-----"],
    ["private_key?ssh-format=openssh", "-----BEGIN OPENSSH PRIVATE KEY-----"],
    ["key.pem?attribute=name", "key.pem"],
    ["KEY.PEM?attribute=size", "12"],
    ["key.pem?attribute=id", made("p")],
    ["key.pem?attribute=type", "file"],
  ])("%s is found", (path, value) => {
    expect(select(path)).toBe(value);
  });

  it.each([
    ["key.pem", made("p")],
    ["Key.Pem?attribute=content", made("p")],
    ["aws/aws.pem", made("v")],
    ["aws.pem", made("v")],
    [made("q"), made("q")],
  ])("%s is a file", (path, fileId) => {
    expect(select(path)).toEqual({ kind: "file", fileId });
  });

  it.each([
    ["key", /^too many matches: 2 .*name its section, write its id instead/],
    ["both.txt", /^too many matches: 2 /],
    ["nobody", /no field or file "nobody"/],
    ["azure/key", /no section "azure"/],
    ["aws/password", /section "aws" has no field or file "password"/],
    ["aws/key.pem", /section "aws" has no field/],
    ["empty", /^"empty" is empty/],
    ["notesPlain", /^"notesPlain" is empty/],
    ["nothing", /empty file/],
    ["password?attribute=otp", /no field of one-time passwords: its type is concealed/],
    ["broken?attribute=otp", /no one-time password/],
    ["key.pem?attribute=otp", /a file has no attribute "otp"/],
    ["password?attribute=name", /a field has no attribute "name"/],
    ["ssh?attribute=purpose", /no built-in field/],
    ["password?ssh-format=openssh", /no private key: its type is concealed/],
    ["key.pem?ssh-format=openssh", /is a file/],
    ["ssh-only?ssh-format=openssh", /no OpenSSH format: .*PKCS#8, or use the SDK or op/],
  ])("%s is a problem that says what to do", (path, reason) => {
    expect(select(path)).toMatchObject({ kind: "problem", reason: expect.stringMatching(reason) });
  });

  it("is never a guess: two fields that a name means are a problem, whatever else there is", () => {
    const name = fc.constantFrom("Token", "token", "TOKEN");
    const others = fc.array(fc.string({ minLength: 1 }), { maxLength: 5 });
    fc.assert(
      fc.property(fc.tuple(name, name), others, fc.boolean(), (names, labels, swap) => {
        const fields = [...names, ...labels].map((label, at) =>
          field(String(at).padStart(26, "0"), label, `secret-${at}`),
        );
        const known = { ...item, fields: swap ? fields.toReversed() : fields, files: [] };
        const wanted = { scheme: "op", vault: "agents", item: "lal", field: "token" } as const;
        const selected = selectValue(known, wanted);
        expect(selected).toMatchObject({ kind: "problem" });
        expect(JSON.stringify(selected)).not.toContain("secret-");
      }),
    );
  });
});

describe("the field to write", () => {
  it("is the one there is, or none, and an error where it would be a guess", () => {
    expect(fieldToWrite(item, { field: "Password" })?.id).toBe("password");
    expect(fieldToWrite(item, { section: "aws", field: "key" })?.id).toBe(made("a"));
    expect(fieldToWrite(item, { field: "nobody" })).toBeUndefined();
    expect(fieldToWrite(item, { section: "azure", field: "key" })).toBeUndefined();
    expect(() => fieldToWrite(item, { field: "key" })).toThrow("too many matches");
    expect(() => fieldToWrite(item, { field: "key.pem" })).toThrow("a file of the item, no field");
  });
});
