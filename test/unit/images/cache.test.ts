import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cache } from "../../../images/cache.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-cache-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("the cache", () => {
  it("makes a file once, however many ask for it at the same time and later", async () => {
    let made = 0;
    const make = async (path: string) => {
      made += 1;
      writeFileSync(path, "content");
    };
    const cache = new Cache(join(folder, "new"));
    const [one, two] = await Promise.all([cache.file("key", make), cache.file("key", make)]);
    expect(one).toBe(two);
    expect(await new Cache(join(folder, "new")).file("key", make)).toBe(one);
    expect(made).toBe(1);
  });

  it("keeps nothing of a file whose making failed", async () => {
    const failing = new Cache(folder).file("key", async (path) => {
      writeFileSync(path, "half");
      throw new Error("no network");
    });
    await expect(failing).rejects.toThrow("no network");
    expect(readdirSync(folder)).toEqual([]);
  });

  it("removes a work folder after the work, also when that fails", async () => {
    const cache = new Cache(folder);
    let seen = "";
    const work = cache.withFolder(async (path) => {
      seen = path;
      writeFileSync(join(path, "file"), "");
      throw new Error("broken");
    });
    await expect(work).rejects.toThrow("broken");
    expect(existsSync(seen)).toBe(false);
  });

  it("removes what a killed run left behind a day ago, and nothing younger", async () => {
    const old = new Date(Date.now() - 2 * 24 * 3_600_000);
    for (const name of ["work-old", "work-new"]) mkdirSync(join(folder, name));
    utimesSync(join(folder, "work-old"), old, old);
    writeFileSync(join(folder, "tree.tar.gz"), "");
    utimesSync(join(folder, "tree.tar.gz"), old, old);
    await new Cache(folder).withFolder(async () => undefined);
    expect(readdirSync(folder).sort()).toEqual(["tree.tar.gz", "work-new"]);
  });
});
