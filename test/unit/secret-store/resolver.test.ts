import { beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { Redacted } from "../../../services/common/redacted.ts";
import { requestMs } from "../../../services/secret-store/onepassword/asker.ts";
import { BackendError } from "../../../services/secret-store/onepassword/backend.ts";
import { Resolver } from "../../../services/secret-store/onepassword/resolver.ts";
import { maxValueBytes } from "../../../services/secret-store/value.ts";
import { type OpReference, parseReference } from "../../../spec/references.ts";
import { FakeClock, FakeOnePassword, settled } from "./fake-onepassword.ts";

const id = (digit: string) => digit.repeat(26);
const op = (written: string) => parseReference(`op://${written}`) as OpReference;
const token = new Redacted("good", "token");

let clock: FakeClock;
let onepassword: FakeOnePassword;
let resolver: Resolver;
/** What is done when the files should be put right. */
let onRead: () => Promise<void>;
let logged: string[];

beforeEach(() => {
  clock = new FakeClock();
  onepassword = new FakeOnePassword();
  onRead = async () => undefined;
  logged = [];
  resolver = new Resolver({
    makeBackend: (given) => onepassword.make(given),
    pollMs: 60_000,
    clock,
    random: () => 0.5,
    log: createLog("secret-store", (line) => logged.push(line)),
    onRead: () => onRead(),
    onState: () => undefined,
  });
});

/** What is known of a reference: its value, or the kind and reason of the answer. */
function known(written: string): string {
  const found = resolver.resolve(op(written));
  if (found.kind === "value") return found.value.reveal().toString();
  return "reason" in found ? `${found.kind}: ${found.reason}` : found.kind;
}
/** The requests since the last time. */
function calls(): string[] {
  return onepassword.calls.splice(0).sort();
}
async function unlock(...wanted: string[]): Promise<void> {
  resolver.want(wanted.map(op));
  await resolver.unlock(token);
}

describe("one look", () => {
  it("asks for the vaults once, for each vault's items once and for each item once, whatever number of references", async () => {
    onepassword.put("agents", "lal", { a: "1", b: "2", c: "3" });
    onepassword.put("agents", "data", { a: "4" });
    onepassword.put("other", "x", { a: "5" });
    await unlock("agents/lal/a", "agents/lal/b", "AGENTS/Lal/c", "agents/data/a", "other/x/a");
    // The first is the trial of the token.
    expect(calls()).toEqual([
      "item v-agents/i1",
      "item v-agents/i2",
      "item v-other/i3",
      "items v-agents",
      "items v-other",
      "vaults",
      "vaults",
    ]);
    expect(["agents/lal/a", "AGENTS/Lal/c", "other/x/a"].map(known)).toEqual(["1", "3", "5"]);
    expect(resolver.status.requests).toBe(7);
  });

  it("asks for no list of vaults where all are named by their ids", async () => {
    onepassword.vault("agents", id("v"));
    onepassword.put("agents", "unused", {});
    const vault = onepassword.vault("by-id", id("w"));
    vault.items.push({
      id: id("i"),
      title: "lal",
      version: 1,
      fields: [{ label: "a", value: "1" }],
      files: [],
    });
    await unlock(`${id("w")}/${id("i")}/a`, `${id("w")}/lal/a`);
    expect(known(`${id("w")}/${id("i")}/a`)).toBe("1");
    calls();
    await clock.pass(60_000);
    expect(calls()).toEqual([`items ${id("w")}`]);
  });

  it("has at most four requests under way at a time", async () => {
    const wanted = Array.from({ length: 30 }, (_, i) => `vault${i % 9}/item${i}/a`);
    for (const [i] of wanted.entries()) onepassword.put(`vault${i % 9}`, `item${i}`, { a: "1" });
    await unlock(...wanted);
    expect(wanted.map(known)).toEqual(wanted.map(() => "1"));
    expect(onepassword.most).toBe(4);
  });

  it("later asks only for items of another version, and has the new value within the poll interval", async () => {
    onepassword.put("agents", "lal", { a: "old" });
    onepassword.put("agents", "data", { a: "same" });
    await unlock("agents/lal/a", "agents/data/a");
    calls();
    await clock.pass(60_000);
    expect(calls()).toEqual(["items v-agents", "vaults"]);
    onepassword.put("agents", "lal", { a: "new" });
    await clock.pass(59_999);
    expect([known("agents/lal/a"), calls()]).toEqual(["old", []]);
    await clock.pass(1);
    expect(known("agents/lal/a")).toBe("new");
    expect(known("agents/data/a")).toBe("same");
    expect(calls()).toEqual(["item v-agents/i1", "items v-agents", "vaults"]);
  });

  it("a reference that is wanted later is looked up at once, and no item is read twice for it", async () => {
    onepassword.put("agents", "lal", { a: "1", b: "2" });
    await unlock("agents/lal/a");
    calls();
    resolver.want([op("agents/lal/a"), op("agents/lal/b")]);
    expect(known("agents/lal/b")).toMatch(/^unavailable: 1Password was not asked/);
    await settled();
    expect(known("agents/lal/b")).toBe("2");
    expect(calls()).toEqual(["item v-agents/i1", "items v-agents", "vaults"]);
    resolver.want([op("agents/lal/b")]);
    await settled();
    expect(calls()).toEqual([]);
  });

  it.each<[string, string, RegExp]>([
    ["no such vault", "nowhere/lal/a", /^unavailable: 1Password has no vault "nowhere"/],
    ["two vaults of one name", "twice/lal/a", /^unavailable: too many matches: 2 vaults .*id/],
    ["no such item", "agents/nobody/a", /^gone: the vault "agents" has no item "nobody"/],
    ["two items of one name", "agents/double/a", /^gone: too many matches: 2 items .*id/],
    ["no such field", "agents/lal/none", /^gone: .*no field or file "none"/],
    ["two fields of one label", "agents/lal/both", /^gone: too many matches: 2 fields/],
    ["an empty field", "agents/lal/empty", /^gone: .*empty/],
    ["a field of 10 MB", "agents/lal/huge", /^gone: "huge" has more than 65536 bytes/],
    ["a file over 64 KiB", "agents/lal/big.pem", /^gone: "big.pem" has more than 65536 bytes/],
    ["a field of exactly 64 KiB", "agents/lal/full", /^f{65536}$/],
    ["a binary file", "agents/lal/key.der", /^0.binary$/s],
    ["a field of a section", "agents/lal/prod/a", /^in prod$/],
  ])("%s", async (_what, written, wanted) => {
    onepassword.vault("twice", "v-1");
    onepassword.vault("twice", "v-2");
    const lal = onepassword.put("agents", "lal", {
      empty: "",
      huge: "x".repeat(10 * 1024 * 1024),
      full: "f".repeat(maxValueBytes),
    });
    lal.fields.push({ label: "both", value: "1" }, { label: "Both", id: "b2", value: "2" });
    lal.fields.push({ label: "a", id: "pa", section: "prod", value: "in prod" });
    lal.files.push({ id: "f1", name: "big.pem", content: Buffer.alloc(maxValueBytes + 1) });
    lal.files.push({ id: "f2", name: "key.der", content: Buffer.from("0\0binary") });
    onepassword.put("agents", "double", { a: "1" });
    const [, second] = onepassword.vault("agents").items;
    onepassword.vault("agents").items.push({ ...second, id: "i9" } as never);
    await unlock(written);
    expect(known(written)).toMatch(wanted);
    expect(resolver.status.state).toBe("ready");
    // What is wrong with one reference is asked for once, not at every look.
    calls();
    await clock.pass(60_000);
    expect(calls().filter((call) => /^(item|file) /.test(call))).toEqual([]);
  });

  it("an item that is renamed is gone by its old name, and found by its id", async () => {
    const vault = onepassword.vault("agents");
    const fields = [{ label: "a", value: "1" }];
    vault.items.push({ id: id("i"), title: "lal", version: 1, fields, files: [] });
    await unlock("agents/lal/a", `agents/${id("i")}/a`);
    Object.assign(vault.items[0] ?? {}, { title: "renamed", version: 2 });
    await clock.pass(60_000);
    expect(known("agents/lal/a")).toMatch(/^gone: the vault "agents" has no item "lal"/);
    expect(known(`agents/${id("i")}/a`)).toBe("1");
  });

  it("one vault or item that cannot be read does not keep back the others", async () => {
    onepassword.put("agents", "lal", { a: "1" });
    onepassword.put("agents", "data", { a: "2" });
    onepassword.put("closed", "x", { a: "3" });
    onepassword.before = (call) => {
      if (call === "items v-closed") return new BackendError("forbidden", "vault not in scope");
      if (call === "item v-agents/i2") return new BackendError("bad-answer", "no JSON");
      return undefined;
    };
    await unlock("agents/lal/a", "agents/data/a", "closed/x/a");
    expect(["agents/lal/a", "agents/data/a", "closed/x/a"].map(known)).toEqual([
      "1",
      "unavailable: no JSON",
      "unavailable: vault not in scope",
    ]);
    expect(resolver.status.state).toBe("ready");
    onepassword.fail();
    await clock.pass(60_000);
    expect(["agents/data/a", "closed/x/a"].map(known)).toEqual(["2", "3"]);
  });

  it("an item that gets no answer keeps back none of the others', is named, and is had when it comes back", async () => {
    const names = Array.from({ length: 12 }, (_, i) => `n${i}`);
    for (const name of names) onepassword.put("agents", name, { a: name });
    onepassword.before = (call) =>
      call === "item v-agents/i1"
        ? new BackendError("unreachable", "item i1 failed on Connect's side (500)")
        : undefined;
    await unlock(...names.map((name) => `agents/${name}/a`));
    expect(names.slice(1).map((name) => known(`agents/${name}/a`))).toEqual(names.slice(1));
    expect(resolver.status).toMatchObject({
      state: "unreachable",
      reason: "item i1 failed on Connect's side (500)",
    });
    // Later, too: what changed is not behind it.
    onepassword.put("agents", "n11", { a: "new" });
    await clock.pass(5_000);
    expect(known("agents/n11/a")).toBe("new");
    onepassword.fail();
    await clock.pass(10_000);
    expect([resolver.status.state, known("agents/n0/a")]).toEqual(["ready", "n0"]);
  });

  it("where no item gets an answer, only a few are asked for", async () => {
    const names = Array.from({ length: 40 }, (_, i) => `n${i}`);
    for (const name of names) onepassword.put("agents", name, { a: name });
    onepassword.before = (call) =>
      call.startsWith("item ") ? new BackendError("unreachable", "no answer") : undefined;
    await unlock(...names.map((name) => `agents/${name}/a`));
    expect(resolver.status.state).toBe("unreachable");
    expect(calls().filter((call) => call.startsWith("item ")).length).toBeLessThan(9);
  });

  it("an item or file that is listed and cannot be had is asked for again at the next look, without a new version", async () => {
    onepassword.put("agents", "lal", { a: "1" });
    onepassword.put("agents", "data", {});
    const [, data] = onepassword.vault("agents").items;
    data?.files.push({ id: "f1", name: "key", content: Buffer.from("2") });
    onepassword.before = (call) =>
      /^(item v-agents.i1|file )/.test(call) ? new BackendError("not-found", "404") : undefined;
    await unlock("agents/lal/a", "agents/data/key");
    expect(["agents/lal/a", "agents/data/key"].map(known)).toEqual(["gone: 404", "gone: 404"]);
    onepassword.fail();
    await clock.pass(60_000);
    expect(["agents/lal/a", "agents/data/key"].map(known)).toEqual(["1", "2"]);
    calls();
    await clock.pass(60_000);
    expect(calls().filter((call) => /^(item|file) /.test(call))).toEqual([]);
  });

  it("an answer that does not come is given up after 30 s, also where the back end does not listen to the signal", async () => {
    onepassword.put("agents", "lal", { a: "1" });
    await unlock("agents/lal/a");
    onepassword.before = () => new Promise(() => undefined);
    await clock.pass(60_000);
    expect(resolver.status.state).toBe("ready");
    await clock.pass(requestMs);
    expect(resolver.status).toMatchObject({
      state: "unreachable",
      reason: "no answer within 30 s",
    });
    expect(known("agents/lal/a")).toBe("1");
  });

  it("an error that no back end should throw is shown by its class only", async () => {
    onepassword.before = () => {
      throw new TypeError("canary in the answer");
    };
    await resolver.unlock(token);
    expect(resolver.status).toMatchObject({
      state: "unreachable",
      reason: "the way to 1Password failed (TypeError)",
    });
    expect(logged.join()).not.toContain("canary");
  });
});

describe("one-time passwords", () => {
  beforeEach(() => {
    onepassword.put("agents", "lal", {});
    onepassword
      .vault("agents")
      .items[0]?.fields.push({ label: "code", kind: "otp", otp: "111111" });
  });
  const reference = "agents/lal/code?attribute=otp";
  const identity = "one-time v-agents/i1 1";

  it("are read at every look, told while the files are written and not kept after that", async () => {
    const told: unknown[] = [];
    onRead = async () => {
      const found = resolver.resolve(op(reference));
      told.push(found.kind === "value" ? [String(found.value.reveal()), found.identity] : found);
    };
    await unlock(reference);
    expect(told).toEqual([["111111", identity]]);
    expect(resolver.resolve(op(reference))).toEqual({ kind: "stands", identity });
    Object.assign(onepassword.vault("agents").items[0]?.fields[0] ?? {}, { otp: "222222" });
    calls();
    await clock.pass(60_000);
    expect(told.at(-1)).toEqual(["222222", identity]);
    expect(calls()).toContain("item v-agents/i1");
  });

  it.each([
    [20_000, "stands"],
    [-20_000, "stands"],
    [20_001, "unavailable: this machine's clock is 20 s ahead of 1Password's"],
    [-90_000, "unavailable: this machine's clock is 90 s behind 1Password's"],
  ])("a clock that differs by %i ms: %s", async (skewMs, wanted) => {
    onepassword.clockSkewMs = skewMs;
    await unlock(reference);
    expect(known(reference).startsWith(wanted)).toBe(true);
  });
});
