import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { entriesOfFolder, type LayerEntry, tarOf } from "../../../images/layer.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-layer-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = (path: string, text: string, more: object = {}): LayerEntry => ({
  type: "file",
  path,
  mode: 0o644,
  content: Buffer.from(text),
  ...more,
});

describe("a layer's archive", () => {
  it("is read by tar with the same paths, owners, modes and bytes", async () => {
    const long = `/${"d".repeat(90)}/${"e".repeat(60)}/${"f".repeat(99)}`;
    writeFileSync(join(folder, "big"), "x".repeat(100_000));
    const archive = join(folder, "layer.tar");
    const entries: LayerEntry[] = [
      { type: "directory", path: "/data", mode: 0o700, owner: 2000 },
      file("/data/empty", ""),
      file("/data/exact", "y".repeat(512), { mode: 0o755 }),
      { type: "file", path: "/data/big", mode: 0o444, content: { file: join(folder, "big") } },
      { type: "link", path: "/data/link", target: "../etc/passwd" },
      file(long, "long"),
    ];
    writeFileSync(archive, await buffer(tarOf(entries)));
    const listing = execFileSync("tar", ["--numeric-owner", "-tvf", archive], { encoding: "utf8" });
    expect(listing).toMatch(/^drwx------ 2000\/2000 .* data\/$/m);
    expect(listing).toMatch(/^-rwxr-xr-x 0\/0 +512 .* data\/exact$/m);
    expect(listing).toMatch(/^-r--r--r-- 0\/0 +100000 .* data\/big$/m);
    expect(listing).toMatch(/^lrwxrwxrwx 0\/0 .* data\/link -> ..\/etc\/passwd$/m);
    const content = (path: string) =>
      execFileSync("tar", ["-xOf", archive, path], { encoding: "utf8" });
    expect(content(long.slice(1))).toBe("long");
    expect(content("data/big")).toBe("x".repeat(100_000));
  });

  it("is equal for equal entries", async () => {
    const entries = [file("/a", "1"), file("/b", "2")];
    expect((await buffer(tarOf(entries))).equals(await buffer(tarOf(entries)))).toBe(true);
  });

  it("refuses a path that it cannot hold", async () => {
    await expect(buffer(tarOf([file(`/${"n".repeat(101)}`, "")]))).rejects.toThrow(
      "too long a path",
    );
  });

  it("takes a folder as it is, sorted, owned by root", async () => {
    mkdirSync(join(folder, "bin"));
    writeFileSync(join(folder, "bin/run"), "#!/bin/sh\n", { mode: 0o700 });
    writeFileSync(join(folder, "a.txt"), "text", { mode: 0o600 });
    symlinkSync("bin/run", join(folder, "link"));
    const entries = await entriesOfFolder(folder, "/opt");
    expect(entries.map(({ path, type }) => [path, type])).toEqual([
      ["/opt/a.txt", "file"],
      ["/opt/bin", "directory"],
      ["/opt/bin/run", "file"],
      ["/opt/link", "link"],
    ]);
    expect(entries[0]).toMatchObject({ mode: 0o644 });
    expect(entries[2]).toMatchObject({ mode: 0o755 });
    expect(readFileSync(join(folder, "a.txt"), "utf8")).toBe("text");
  });
});
