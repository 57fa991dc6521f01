import { execFile } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bundleProgram } from "../../../images/bundle.ts";
import { carriedPackages } from "../../../images/bundle-options.ts";
import { installedEntries } from "../../../images/installed.ts";
import { recipes } from "../../../images/recipes.ts";
import { SourceTree } from "../../../images/sources.ts";

const project = resolve(import.meta.dirname, "../../..");
const [carried] = recipes["secret-store"].ingredients.filter(
  (item) => item.kind === "installed-package",
);
if (!carried) throw new Error("the secret store's image carries no package");

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-installed-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("packages beside the bundles", () => {
  it("are in every image whose programs need them, and in no other", () => {
    const sources = new SourceTree(project);
    for (const [name, { ingredients }] of Object.entries(recipes)) {
      const reached = ingredients.flatMap((item) =>
        item.kind === "bundle" ? sources.sourcesOf(item.entry).packages : [],
      );
      const needed = carriedPackages.filter((one) => reached.includes(`node_modules/${one}`));
      const held = ingredients.flatMap((item) =>
        item.kind === "installed-package" ? [item.name] : [],
      );
      expect([name, held]).toEqual([name, needed]);
    }
  });

  it("stand in folders of their own, readable by all and writable by none", () => {
    const entries = installedEntries(project, carried);
    const base = "/opt/berth/node_modules";
    expect(entries.map(({ type, path }) => `${type} ${path}`)).toEqual([
      `directory ${base}`,
      `directory ${base}/@1password`,
      `directory ${base}/@1password/sdk-core`,
      `directory ${base}/@1password/sdk-core/nodejs`,
      `file ${base}/@1password/sdk-core/package.json`,
      `file ${base}/@1password/sdk-core/nodejs/core.js`,
      `file ${base}/@1password/sdk-core/nodejs/core_bg.wasm`,
    ]);
    for (const entry of entries)
      if (entry.type !== "link") expect(entry.mode).toBe(entry.type === "file" ? 0o444 : 0o755);
  });

  it("must be whole and of the locked version", () => {
    const place = `node_modules/${carried.name}`;
    expect(() => installedEntries(folder, carried)).toThrow(
      `${place} lacks package.json, nodejs/core.js, nodejs/core_bg.wasm`,
    );
    cpSync(join(project, place), join(folder, place), { recursive: true });
    cpSync(join(project, "package-lock.json"), join(folder, "package-lock.json"));
    expect(installedEntries(folder, carried).length).toBe(7);
    const file = join(folder, place, "package.json");
    const known = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...known, version: "9.9.9" }));
    expect(() => installedEntries(folder, carried)).toThrow(
      /is 9\.9\.9, package-lock\.json says [\d.]+: run npm ci/,
    );
  });
});

describe("1Password's SDK in a bundle", () => {
  const entry = "services/secret-store/onepassword/sdk.ts";
  /** What the image has under /opt/berth, in a folder of this machine. */
  const lay = async (withPackage: boolean) => {
    const root = join(folder, "opt/berth");
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, "sdk.mjs"), await bundleProgram(project, entry));
    if (!withPackage) return root;
    for (const item of installedEntries(project, carried)) {
      if (item.type !== "file" || Buffer.isBuffer(item.content)) continue;
      const path = join(folder, item.path);
      mkdirSync(dirname(path), { recursive: true });
      cpSync(item.content.file, path);
    }
    return root;
  };
  /** Asks for the vaults with a bad token, in plain Node somewhere else; says what was loaded before and what came of it. */
  const ask = async (root: string) => {
    const program = `
      import Module from "node:module";
      const loaded = () => Object.keys(Module._cache).filter((file) => file.includes("sdk-core")).length;
      const { sdkBackend } = await import(${JSON.stringify(join(root, "sdk.mjs"))});
      const backend = sdkBackend({ reveal: () => "no-token" });
      const before = loaded();
      const error = await backend.vaults(new AbortController().signal).catch((thrown) => thrown);
      console.log(JSON.stringify({ before, after: loaded(), kind: error.kind }));`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--input-type=module", "-e", program],
      { cwd: tmpdir(), env: {} },
    );
    return JSON.parse(stdout) as unknown;
  };

  it("finds its WebAssembly beside the bundle, and loads it at the first use only", async () => {
    const root = await lay(true);
    expect(await ask(root)).toEqual({ before: 0, after: 1, kind: "refused" });
    expect(statSync(join(root, "sdk.mjs")).size).toBeLessThan(1024 * 1024);
  });

  it("is an error of the back end where the image lacks it", async () => {
    expect(await ask(await lay(false))).toEqual({ before: 0, after: 0, kind: "bad-answer" });
  });
});
