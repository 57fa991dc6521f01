import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Redacted } from "../../../../services/common/redacted.ts";
import type { BackendErrorKind } from "../../../../services/secret-store/onepassword/backend.ts";
import { selectValue } from "../../../../services/secret-store/onepassword/select.ts";
import { type ItemOf, token, vaults, type World, worlds } from "./worlds.ts";

const agents = vaults[0].id;
const archive = vaults[1].id;
const canary = "canary-9b1d-value&\"'$x";
const binary = randomBytes(4096);
const item: ItemOf = {
  id: "itemlal0000000000000000000",
  title: "Lal",
  vault: "agents",
  sections: [{ id: "sectionsaws000000000000000", label: "AWS" }],
  fields: [
    { id: "password", label: "password", type: "CONCEALED", value: canary },
    { id: "notesPlain", label: "notesPlain", value: "line one\nline two" },
    {
      id: "fieldawskey000000000000000",
      label: "Key",
      value: "aws-key",
      section: "sectionsaws000000000000000",
    },
    { id: "fieldempty0000000000000000", label: "empty" },
    {
      id: "fieldtotp00000000000000000",
      label: "code",
      type: "OTP",
      value: "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP",
      otp: "123456",
    },
  ],
  files: [{ id: "filepem0000000000000000000", name: "key.pem", content: binary }],
};

describe.each(Object.entries(worlds))("1Password via %s", (via, make) => {
  let world: World;
  const never = new AbortController().signal;
  const getItem = () => world.backend.item(agents, item.id, never);
  const text = async (field: string, more: object = {}) => {
    const selected = selectValue(await getItem(), {
      scheme: "op",
      vault: "agents",
      item: "Lal",
      field,
      ...more,
    });
    return selected.kind === "value" ? selected.value.reveal().toString() : selected;
  };
  /** Expects an error of a kind whose text, stack and inspection show neither the token nor a value. */
  const expectError = async (kind: BackendErrorKind, work: () => Promise<unknown>) => {
    const error = await work().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ name: "BackendError", kind });
    const shown = `${inspect(error, { depth: 9 })} ${JSON.stringify(error)} ${String(error)}`;
    for (const secret of [token, "canary", "otpauth", "aws-key"])
      expect(shown).not.toContain(secret);
    return error as Error & { retryAfterMs?: number };
  };

  beforeEach(async () => {
    world = await make();
    world.put(item);
  });
  afterEach(() => world.close());

  it("lists the vaults that the token opens", async () => {
    expect(world.backend.kind).toBe(via);
    expect(await world.backend.vaults(never)).toEqual(vaults.map(({ id, name }) => ({ id, name })));
  });

  it("lists the items in use with a version that every change moves, also a new title", async () => {
    world.put({ ...item, id: "itemold0000000000000000000", title: "Old", archived: true });
    const before = await world.backend.items(agents, never);
    expect(before.map(({ id, title }) => [id, title])).toEqual([[item.id, "Lal"]]);
    expect(before[0]?.version).toBe((await getItem()).version);
    world.put({ ...item, title: "Lal the second" });
    const after = await world.backend.items(agents, never);
    expect(after[0]).toMatchObject({ id: item.id, title: "Lal the second" });
    expect(after[0]?.version).not.toBe(before[0]?.version);
    expect(await world.backend.items(agents, never)).toEqual(after);
    expect(await world.backend.items(archive, never)).toEqual([]);
  });

  it("B8: gives values, notes, fields of sections and one-time passwords", async () => {
    expect(await text("password")).toBe(canary);
    expect(await text("PASSWORD", { section: undefined })).toBe(canary);
    expect(await text("notesPlain")).toBe("line one\nline two");
    expect(await text("key", { section: "aws" })).toBe("aws-key");
    expect(await text("code", { attribute: "otp" })).toMatch(/^\d{6}$/);
    expect(await text("code", { attribute: "type" })).toBe("otp");
    expect(await text("empty")).toMatchObject({
      kind: "problem",
      reason: '"empty" is empty in 1Password',
    });
  });

  it("gives the bytes of a file, whatever they are", async () => {
    const selected = await text("key.pem");
    expect(selected).toEqual({ kind: "file", fileId: item.files?.[0]?.id });
    const file = await world.backend.file(agents, item.id, item.files?.[0]?.id ?? "", never);
    expect(file.reveal().equals(binary)).toBe(true);
    expect(await text("key.pem", { attribute: "size" })).toBe("4096");
  });

  it("gives a field of 10 MB whole, control characters and all", async () => {
    const huge = `\u0000\u001b${"ä".repeat(5 * 1024 * 1024)}`;
    world.put({ ...item, fields: [{ id: "huge", label: "huge", value: huge }] });
    expect((await text("huge")) === huge).toBe(true);
  });

  it("shows no value when an item is shown", async () => {
    const shown = inspect(await getItem(), { depth: 9 }) + JSON.stringify(await getItem());
    expect(shown).toContain("[secret]");
    for (const { value } of item.fields) if (value) expect(shown).not.toContain(value);
  });

  it("calls two fields of one label too many, and takes the one whose id is written", async () => {
    const ids = ["field1st000000000000000000", "field2nd000000000000000000"];
    world.put({ ...item, fields: ids.map((id) => ({ id, label: "Token", value: `of ${id}` })) });
    expect(await text("token")).toMatchObject({
      kind: "problem",
      reason: expect.stringMatching(/^too many matches: 2 .*write its id/),
    });
    expect(await text(ids[1] ?? "")).toBe(`of ${ids[1]}`);
  });

  it("says not-found of what is not there", async () => {
    const nothing = "nothing0000000000000000000";
    await expectError("not-found", () => world.backend.item(agents, nothing, never));
    await expectError("not-found", () => world.backend.items(nothing, never));
    await expectError("not-found", () => world.backend.file(agents, item.id, nothing, never));
  });

  it("B14: says refused of a revoked token", async () => {
    await getItem();
    world.revoke();
    const error = await expectError("refused", getItem);
    expect(error.message).toContain("wrong, revoked or expired");
  });

  it("says limited of too many requests, and how long where it was told", async () => {
    world.limit();
    const { retryAfterMs } = await expectError("limited", getItem);
    expect(retryAfterMs).toBe({ connect: 90_000, op: 58 * 60_000, sdk: undefined }[via]);
  });

  it("says unreachable where nothing answers, and of what was given up", async () => {
    world.goAway();
    await expectError("unreachable", getItem);
  });

  it("ends at once with its signal, and with close", async () => {
    world.hang();
    const given = new AbortController();
    const pending = expectError("unreachable", () =>
      world.backend.item(agents, item.id, given.signal),
    );
    setTimeout(() => given.abort(), 50);
    await pending;
    await expectError("unreachable", () =>
      world.backend.item(agents, item.id, AbortSignal.abort()),
    );
    const other = expectError("unreachable", getItem);
    setTimeout(() => world.backend.close(), 50);
    await other;
  });

  it("counts its requests", async () => {
    const before = world.backend.requests;
    await world.backend.vaults(never);
    expect(world.backend.requests).toBeGreaterThan(before);
  });

  describe("writing", () => {
    const value = new Redacted("generated-canary");
    const place = { vaultId: agents, itemId: item.id, title: "Lal" };

    it("changes the field that is there, and nothing else", async () => {
      const before = await getItem();
      await world.backend.write({ ...place, field: "Password" }, value, never);
      expect(await text("password")).toBe("generated-canary");
      expect(await text("key", { section: "AWS" })).toBe("aws-key");
      expect(await text("notesPlain")).toBe("line one\nline two");
      const after = await getItem();
      expect(after.version).not.toBe(before.version);
      expect(after.fields.length).toBe(before.fields.length);
    });

    it("makes a missing field, in a section that is there and in one that is not", async () => {
      await world.backend.write({ ...place, field: "new" }, value, never);
      await world.backend.write({ ...place, section: "aws", field: "new-aws" }, value, never);
      await world.backend.write({ ...place, section: "fresh", field: "new-fresh" }, value, never);
      expect(await text("new")).toBe("generated-canary");
      expect(await text("new", { attribute: "type" })).toBe("concealed");
      expect(await text("new-aws", { section: "AWS" })).toBe("generated-canary");
      expect(await text("new-fresh", { section: "fresh" })).toBe("generated-canary");
      expect(await text("password")).toBe(canary);
    });

    it("makes a missing item", async () => {
      const wanted = { vaultId: agents, title: "Made", section: "keys", field: "hook" };
      await world.backend.write(wanted, value, never);
      const heads = await world.backend.items(agents, never);
      const made = heads.find(({ title }) => title === "Made");
      const got = await world.backend.item(agents, made?.id ?? "", never);
      const selected = selectValue(got, {
        scheme: "op",
        vault: "agents",
        item: "Made",
        section: "keys",
        field: "hook",
      });
      expect(selected).toMatchObject({ kind: "value" });
      expect(selected.kind === "value" && selected.value.reveal().toString()).toBe(
        "generated-canary",
      );
    });

    it("says forbidden where the token may only read", async () => {
      const wanted = { vaultId: archive, title: "Made", field: "hook" };
      await expectError("forbidden", () => world.backend.write(wanted, value, never));
    });

    it("writes nowhere where the place means two fields", async () => {
      const fields = ["a", "b"].map((id) => ({ id: id.repeat(26), label: "Token", value: id }));
      world.put({ ...item, fields });
      const wanted = { ...place, field: "token" };
      const { message } = await expectError("bad-answer", () =>
        world.backend.write(wanted, value, never),
      );
      expect(message).toContain("too many matches");
      expect(await text("a".repeat(26))).toBe("a");
    });
  });
});
