import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pulumiState, withoutForeignSalt } from "../../../cli/toolchain/state.ts";

let folder: string;
let folders: { own: string; cache: string };
/** An environment in which nobody has logged in. */
let nobody: NodeJS.ProcessEnv;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-state-"));
  folders = { own: join(folder, ".berth"), cache: join(folder, "cache") };
  nobody = { PULUMI_CREDENTIALS_PATH: join(folder, "nowhere") };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const modeOf = (path: string) => statSync(path).mode & 0o777;

describe("where Pulumi's state is", () => {
  it("without a login: files in .berth, and a generated passphrase that only the owner reads", () => {
    const state = pulumiState(nobody, folders);
    const passphrase = join(folders.own, "passphrase");
    expect(state.own).toBe(true);
    expect(state.variables).toMatchObject({
      PULUMI_BACKEND_URL: `file://${folders.own}/state`,
      PULUMI_CONFIG_PASSPHRASE_FILE: passphrase,
      PULUMI_HOME: join(folders.cache, "pulumi"),
    });
    expect(modeOf(passphrase)).toBe(0o600);
    expect(modeOf(join(folders.own, "state"))).toBe(0o700);
    expect(readFileSync(passphrase, "utf8").trim().length).toBeGreaterThanOrEqual(40);
  });

  it("a second time: the same passphrase", () => {
    pulumiState(nobody, folders);
    const first = readFileSync(join(folders.own, "passphrase"), "utf8");
    expect(pulumiState(nobody, folders).says).toMatch(/^using/);
    expect(readFileSync(join(folders.own, "passphrase"), "utf8")).toBe(first);
  });

  it("two clones get different passphrases", () => {
    const other = { ...folders, own: join(folder, "other") };
    pulumiState(nobody, folders);
    pulumiState(nobody, other);
    expect(readFileSync(join(folders.own, "passphrase"), "utf8")).not.toBe(
      readFileSync(join(other.own, "passphrase"), "utf8"),
    );
  });

  it.each([
    ["PULUMI_BACKEND_URL", "s3://bucket"],
    ["PULUMI_ACCESS_TOKEN", "pul-0"],
  ])("%s of the user is respected: nothing of ours is made or set", (name, value) => {
    const state = pulumiState({ ...nobody, [name]: value }, folders);
    expect(state.own).toBe(false);
    expect(state.variables).not.toHaveProperty("PULUMI_BACKEND_URL");
    expect(state.variables).not.toHaveProperty("PULUMI_CONFIG_PASSPHRASE_FILE");
    expect(() => statSync(folders.own)).toThrow();
  });

  it("a login elsewhere is respected", () => {
    mkdirSync(join(folder, "nowhere"));
    writeFileSync(
      join(folder, "nowhere", "credentials.json"),
      JSON.stringify({ current: "https://api.example.com" }),
    );
    expect(pulumiState(nobody, folders)).toMatchObject({
      own: false,
      says: expect.stringContaining("https://api.example.com"),
    });
  });

  it("our own backend, left in the shell by `make env`, is still ours", () => {
    const { variables } = pulumiState(nobody, folders);
    expect(pulumiState({ ...nobody, ...variables }, folders).own).toBe(true);
  });
});

describe("a salt of another clone", () => {
  const salt = "encryptionsalt: v1:AAAA=:v1:BBBB:CCCC\n";

  it("is taken out, and nothing else", () => {
    expect(withoutForeignSalt(`${salt}config:\n  berth:team: berth\n`, "Pulumi.dev.yaml")).toBe(
      "config:\n  berth:team: berth\n",
    );
  });

  it("is kept where it opens encrypted values: the error names the file and the cure", () => {
    const text = `${salt}config:\n  berth:x:\n    secure: v1:abc\n`;
    expect(() => withoutForeignSalt(text, "Pulumi.dev.yaml")).toThrow(
      /Pulumi\.dev\.yaml.*\.berth\/passphrase/,
    );
  });

  it("a file without one is left alone", () => {
    expect(withoutForeignSalt("config: {}\n", "Pulumi.dev.yaml")).toBeUndefined();
  });
});
