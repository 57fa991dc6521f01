import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { catalogOf, imageNames, imageReference } from "../../../images/catalog.ts";
import { imagePattern } from "../../../spec/declaration-check.ts";

const project = resolve(import.meta.dirname, "../../..");
const copies: string[] = [];

afterEach(() => {
  for (const copy of copies.splice(0)) rmSync(copy, { recursive: true });
});

/** A working copy of what images are made of, to change. */
function workingCopy(): string {
  const copy = mkdtempSync(join(tmpdir(), "berth-catalog-"));
  copies.push(copy);
  const filter = (path: string) => basename(path) !== "node_modules";
  for (const part of ["spec", "services", "images", "package-lock.json"])
    cpSync(join(project, part), join(copy, part), { recursive: true, filter });
  return copy;
}

/** Names of the images whose reference a change moves. */
function movedBy(change: (copy: string) => void): string[] {
  const copy = workingCopy();
  const before = referencesOf(copy);
  change(copy);
  const after = referencesOf(copy);
  return imageNames.filter((name) => before[name] !== after[name]);
}

function referencesOf(root: string): Record<string, string> {
  const catalog = catalogOf(root);
  return Object.fromEntries(imageNames.map((name) => [name, catalog.reference(name)]));
}

function append(copy: string, file: string, text: string): void {
  writeFileSync(join(copy, file), readFileSync(join(copy, file), "utf8") + text);
}

function changeLock(copy: string, place: string): void {
  const file = join(copy, "package-lock.json");
  const lock = JSON.parse(readFileSync(file, "utf8")) as {
    packages: Record<string, { version: string }>;
  };
  const entry = lock.packages[place];
  if (!entry) throw new Error(`${place} is not in package-lock.json`);
  entry.version = "999.0.0";
  writeFileSync(file, JSON.stringify(lock));
}

describe("the catalog", () => {
  it("names every image so that a declaration accepts it", () => {
    expect(imageNames.length).toBeGreaterThan(8);
    for (const name of imageNames) {
      expect(imageReference(name)).toMatch(imagePattern);
      expect(imageReference(name)).toMatch(new RegExp(`^localhost/berth/${name}:[0-9a-f]{12}$`));
    }
  });

  it("gives equal sources equal names, wherever they lie", () => {
    expect(referencesOf(workingCopy())).toEqual(referencesOf(workingCopy()));
  });

  it("gives the same names in whatever order they are asked for", () => {
    const copy = workingCopy();
    const all = referencesOf(copy);
    fc.assert(
      fc.property(fc.shuffledSubarray([...imageNames], { minLength: 1 }), (names) => {
        const catalog = catalogOf(copy);
        for (const name of names) expect(catalog.reference(name)).toBe(all[name]);
      }),
      { numRuns: 20 },
    );
  });

  it("moves the image of a changed service and no other", () => {
    expect(movedBy((copy) => append(copy, "services/socket-proxy/main.ts", "\n"))).toEqual([
      "socket-proxy",
    ]);
  });

  it("moves what is built on a changed image with it", () => {
    const runner = "services/agent-runner/main.ts";
    expect(movedBy((copy) => append(copy, runner, "\n"))).toEqual(["agent-base", "agent-node"]);
  });

  it("moves every image of ours that runs a changed common part", () => {
    const moved = movedBy((copy) => append(copy, "services/common/service.ts", "\n"));
    expect(moved).toContain("socket-proxy");
    expect(moved).toContain("agent-base");
    expect(moved).not.toContain("postgres");
    expect(moved).not.toContain("node-runtime");
  });

  it("moves an image whose recipe's file changed", () => {
    expect(movedBy((copy) => append(copy, "images/postgres/pg_hba.conf", "\n"))).toEqual([
      "postgres",
    ]);
  });

  it("is not moved by tests, texts and code that no program imports", () => {
    const moved = movedBy((copy) => {
      writeFileSync(join(copy, "services/socket-proxy/main.test.ts"), "export {};\n");
      writeFileSync(join(copy, "services/socket-proxy/NOTES.md"), "notes\n");
      writeFileSync(join(copy, "services/common/unused.ts"), "export {};\n");
    });
    expect(moved).toEqual([]);
  });

  it("is moved by the packages that a program holds and by no others", () => {
    expect(movedBy((copy) => changeLock(copy, "node_modules/pg"))).toEqual(["mattermost-standin"]);
    expect(movedBy((copy) => changeLock(copy, "node_modules/pg-protocol"))).toEqual([
      "mattermost-standin",
    ]);
    expect(movedBy((copy) => changeLock(copy, "node_modules/vitest"))).toEqual([]);
  });

  it("is moved by a package that stands beside a program's bundle", () => {
    const place = "node_modules/@1password/sdk-core";
    expect(movedBy((copy) => changeLock(copy, place))).toEqual(["secret-store"]);
  });

  it("refuses a working copy whose package-lock.json lacks a package that an image holds", () => {
    const copy = workingCopy();
    writeFileSync(join(copy, "package-lock.json"), '{"packages":{}}');
    expect(() => catalogOf(copy).reference("secret-store")).toThrow(
      /@1password\/sdk-core is not in package-lock\.json|esbuild is not in package-lock\.json/,
    );
  });

  it("is moved by another bundler, where something is bundled", () => {
    const moved = movedBy((copy) => changeLock(copy, "node_modules/esbuild"));
    expect(moved).toContain("socket-proxy");
    expect(moved).not.toContain("postgres");
  });

  it("refuses an unknown name and lists the known ones", () => {
    expect(() => imageReference("agent-cobol")).toThrow(
      /no stack image "agent-cobol"; there are: .*agent-base, agent-node/,
    );
    expect(() => imageReference("constructor")).toThrow(/no stack image/);
  });

  it("names the file that is missing", () => {
    const copy = workingCopy();
    rmSync(join(copy, "images/postgres/pg_hba.conf"));
    expect(() => catalogOf(copy).reference("postgres")).toThrow(
      "images/postgres/pg_hba.conf is missing",
    );
  });
});
