import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { filesOfContainer, verifyContainer } from "../../../cli/audit.ts";
import { tailContainer } from "../../../cli/commands/audit.ts";
import { connectEngine } from "../../../cli/engine-api.ts";
import { filesInTar } from "../../../cli/tar.ts";
import { entriesOfFolder, tarOf } from "../../../images/layer.ts";
import { createLog } from "../../../services/common/log.ts";
import { type Audit, createAudit } from "../../../services/socket-proxy/audit.ts";
import { AuditFile } from "../../../services/socket-proxy/audit-file.ts";
import type { AuditRecord } from "../../../spec/audit-chain.ts";

const container = "berth-dev-docker-socket-proxy";
const record: AuditRecord = {
  phase: "decision",
  client: "admin-bridge",
  request: "0a1b2c3d-1",
  verb: "start",
  decision: "allow",
  object: "berth-dev-lal",
};

/** A proxy's audit and log on an Engine of the test's own, which sends its archive as the real one does. */
let folder: string;
let audited: string;
let url: string;
let server: Server;
let log: string[];
let audit: Audit;
/** Answers that follow the log. */
let followers: ServerResponse[];
let onArchive: () => void;

function frame(text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = 1;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

const write = (line: string) => {
  log.push(line);
  for (const follower of followers) follower.write(frame(`${line}\n`));
};
const start = (options = {}) =>
  createAudit(new AuditFile(audited, options), {
    copy: write,
    log: createLog("socket-proxy", write),
  });

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-audit-"));
  audited = join(folder, "audit");
  mkdirSync(audited);
  url = `unix://${folder}/docker.sock`;
  log = [];
  followers = [];
  onArchive = () => {};
  server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://engine");
    if (pathname === `/containers/${container}/archive`) {
      const all = await entriesOfFolder(audited, "/audit");
      const path = searchParams.get("path");
      const wanted = all.filter((entry) => path === "/audit" || entry.path === path);
      response.end(await buffer(tarOf(wanted)));
      onArchive();
    } else if (pathname === `/containers/${container}/logs`) {
      response.writeHead(200);
      response.flushHeaders();
      if (searchParams.get("follow") === "1") followers.push(response);
      // Cut where no line ends.
      else {
        const text = log.map((line) => `${line}\n`).join("");
        const cut = Math.floor(text.length / 3);
        response.end(Buffer.concat([frame(text.slice(0, cut)), frame(text.slice(cut))]));
      }
    } else {
      response.writeHead(404).end(JSON.stringify({ message: `No such container: ${pathname}` }));
    }
  });
  await new Promise<void>((resolve) => server.listen(join(folder, "docker.sock"), () => resolve()));
  audit = start();
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const current = () => join(audited, "audit.jsonl");
const verify = () => verifyContainer(connectEngine(url), container);

describe("the audit of a running stack", () => {
  it("verifies against every record that the proxy's log knows", async () => {
    for (let i = 0; i < 5; i++) audit.require(record);
    expect(await verify()).toMatchObject({
      ok: true,
      files: 1,
      records: 6,
      lastSeq: 6,
      anchors: 6,
      head: audit.head(),
      problems: [],
      notes: [],
    });
  });

  it("T12: records that are gone from the end are missed, since the log knows them; so is a chain written anew", async () => {
    for (let i = 0; i < 5; i++) audit.require(record);
    const whole = readFileSync(current(), "utf8");
    writeFileSync(current(), `${whole.trimEnd().split("\n").slice(0, 4).join("\n")}\n`);
    expect((await verify()).problems).toEqual([
      "the end is missing: record 6 was written, record 4 is the last",
    ]);
    rmSync(current());
    const forged = createAudit(new AuditFile(audited));
    for (let i = 0; i < 5; i++) forged.require({ ...record, object: "berth-dev-data" });
    const { problems } = await verify();
    expect(problems[0]).toMatch(/^audit\.jsonl:1: record 1 is another than the one that was told/);
  });

  it("each problem is told with its file and line, over several files", async () => {
    rmSync(current());
    log = [];
    const many = start({ maxBytes: 1_500 });
    for (let i = 0; i < 20; i++) many.require(record);
    const files = await filesOfContainer(connectEngine(url), container);
    expect(files.length).toBeGreaterThan(3);
    expect(await verify()).toMatchObject({ ok: true, files: files.length, firstSeq: 1 });
    const second = files[1]?.name ?? "";
    const text = readFileSync(join(audited, second), "utf8");
    writeFileSync(join(audited, second), text.replace("berth-dev-lal", "berth-dev-lol"));
    expect((await verify()).problems).toEqual([`${second}:1: its hash is not that of its text`]);
    rmSync(join(audited, files[0]?.name ?? ""));
    writeFileSync(join(audited, second), text);
    expect((await verify()).problems).toEqual([
      expect.stringMatching(/^records 1 to 4 are missing/),
    ]);
  });

  it("a file that is written to while it is read is read again", async () => {
    for (let i = 0; i < 3; i++) audit.require(record);
    const whole = readFileSync(current());
    writeFileSync(current(), whole.subarray(0, -10));
    onArchive = () => writeFileSync(current(), whole);
    expect(await verify()).toMatchObject({ ok: true, records: 4 });
  });

  it("a container that is not there is one sentence with a cure", async () => {
    await expect(verifyContainer(connectEngine(url), "berth-dev-other")).rejects.toThrow(
      /^no log of the container berth-dev-other: No such container.*berth status/,
    );
    rmSync(current());
    await expect(verify()).rejects.toThrow(/has no audit\.jsonl yet/);
  });
});

describe("reading the audit", () => {
  const shown = async (options: { count?: number; json?: boolean; follow?: boolean } = {}) => {
    const printed: string[] = [];
    const said: string[] = [];
    await tailContainer(
      connectEngine(url),
      container,
      { count: 20, follow: false, json: false, ...options },
      { print: (line) => printed.push(line), say: (line) => said.push(line) },
    );
    return { printed, said };
  };

  it("shows the last records, one line each: time, client, verb, object, decision, rule", async () => {
    audit.require(record);
    audit.note({
      ...record,
      verb: "exec",
      decision: "deny",
      rule: "verb",
      status: 403,
      asked: "POST /exec",
    });
    const { printed } = await shown({ count: 2 });
    expect(printed).toEqual([
      expect.stringMatching(/^\S+Z +2 admin-bridge +start +berth-dev-lal +allow$/),
      expect.stringMatching(/^\S+Z +3 admin-bridge +exec +berth-dev-lal +deny 403 \[verb\]$/),
    ]);
    expect((await shown({ count: 0 })).printed).toEqual([]);
    expect((await shown({ count: 99, json: true })).printed.join("\n")).toBe(
      readFileSync(current(), "utf8").trimEnd(),
    );
  });

  it("reaches into closed files where the current one holds fewer than are asked for", async () => {
    rmSync(current());
    const many = start({ maxBytes: 1_500 });
    for (let i = 0; i < 20; i++) many.require(record);
    const { printed } = await shown({ count: 15, json: true });
    expect(printed.map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual(
      Array.from({ length: 15 }, (_, i) => i + 7),
    );
  });

  it("follows: each later record once, in the file's own bytes, until the proxy ends", async () => {
    audit.require(record);
    onArchive = () => {
      // What the file held already when it was read, and lines that are no records.
      for (const line of [log.at(-1) ?? "", "no JSON", '{"event":"audit","seq":"x"}']) write(line);
      audit.require({ ...record, verb: "stop" });
      audit.anchor();
      for (const follower of followers) follower.end();
    };
    const { printed, said } = await shown({ count: 1, json: true, follow: true });
    expect(`${printed.join("\n")}\n`).toBe(
      `${readFileSync(current(), "utf8").trimEnd().split("\n").slice(1).join("\n")}\n`,
    );
    expect(said).toEqual([]);
  });

  it("T12: a line that is no record is never shown as it stands", async () => {
    audit.require(record);
    const forged = readFileSync(current(), "utf8").replace("berth-dev-lal", "\u001b[2J\u202eevil");
    writeFileSync(current(), forged);
    for (const json of [true, false]) {
      const { printed, said } = await shown({ json });
      expect(printed).toHaveLength(1);
      expect(said).toEqual([expect.stringMatching(/^a line that is no record: /)]);
      expect([...printed, ...said].join("\n")).toMatch(/^[\x20-\x7e\n]+$/);
    }
  });
});

describe("berth audit, on files", () => {
  const berth = (args: readonly string[], input = "") => {
    const result = spawnSync(
      process.execPath,
      [join(import.meta.dirname, "../../../cli/berth.ts"), "audit", ...args],
      { input, encoding: "utf8", env: { ...process.env, BERTH_DEBUG: "" } },
    );
    return { code: result.status, out: result.stdout, err: result.stderr };
  };

  it("says how many records, from when to when, and the head; 1 with each problem where the chain does not hold", () => {
    for (let i = 0; i < 3; i++) audit.require(record);
    const { seq, hash } = audit.head();
    const good = berth(["verify", current(), "--head", `${seq}:${hash}`]);
    expect(good).toMatchObject({ code: 0, err: "" });
    expect(good.out).toMatch(
      /4 records, 1 to 4, 20\S+Z to 20\S+Z\nhead: 4:[0-9a-f]{64}\nthe chain holds\n$/,
    );

    const text = readFileSync(current(), "utf8");
    expect(berth(["verify", "-"], text).code).toBe(0);
    const [first = "", second = "", ...rest] = text.split("\n");
    const bad = berth(["verify", "-"], [second, first, ...rest].join("\n"));
    expect(bad.code).toBe(1);
    expect(bad.out).toMatch(/problem: standard input:2: .*\n.*THE CHAIN DOES NOT HOLD/s);

    const short = text.slice(0, text.trimEnd().lastIndexOf("\n") + 1);
    expect(berth(["verify", "-"], short).code).toBe(0);
    expect(berth(["verify", "-", "--head", `${seq}:${hash}`], short)).toMatchObject({
      code: 1,
      out: expect.stringContaining("problem: the end is missing: record 4 was written"),
    });
    expect(berth(["verify", "-"], "").code).toBe(1);
  });

  it("files may be named in any order: their records decide", () => {
    rmSync(current());
    const many = start({ maxBytes: 1_500 });
    for (let i = 0; i < 50; i++) many.require(record);
    const list = spawnSync("sh", ["-c", `ls ${audited}/*`], { encoding: "utf8" }).stdout;
    const files = list.trim().split("\n");
    expect(files.length).toBeGreaterThan(5);
    expect(berth(["verify", ...files])).toMatchObject({ code: 0 });
    expect(berth(["verify", ...files.toReversed()])).toMatchObject({ code: 0 });
    expect(berth(["verify", ...files.toSpliced(2, 1)]).code).toBe(1);
    expect(berth(["tail", ...files.toReversed(), "-n", "1"]).out).toMatch(/Z +51 admin-bridge/);
  });

  it("bad input is one sentence and an exit code, without a stack trace", () => {
    const cases: [string[], number, RegExp][] = [
      [["verify", join(folder, "none")], 1, /none: cannot be read \(ENOENT\)/],
      [["verify", folder], 1, /cannot be read \(EISDIR\)/],
      [["verify", "-", "-"], 2, /once only/],
      [["verify", "-", "--head", "7"], 2, /--head: must be/],
      [["verify", "-", "--follow"], 2, /usage: berth audit/],
      [["tail", "-", "-n", "x"], 2, /-n: must be a whole number/],
      [["tail", "-", "--follow"], 2, /running stack/],
      [["look"], 2, /usage: berth audit/],
      [[], 2, /an argument is missing/],
    ];
    for (const [args, code, words] of cases) {
      const result = berth(args);
      expect([result.code, result.out], args.join(" ")).toEqual([code, ""]);
      expect(result.err).toMatch(words);
      expect(result.err).not.toMatch(/^\s+at /m);
    }
  });
});

describe("a tar archive", () => {
  it("gives its ordinary files; bytes that are none, or break off anywhere, are an error", async () => {
    const archive = await buffer(
      tarOf([
        { path: "/audit", type: "directory", mode: 0o700 },
        { path: "/audit/a", type: "file", mode: 0o600, content: Buffer.from("x".repeat(1_000)) },
        { path: "/audit/l", type: "link", target: "a" },
        { path: "/audit/b", type: "file", mode: 0o600, content: Buffer.alloc(0) },
      ]),
    );
    expect(filesInTar(archive).map(({ name, bytes }) => [name, bytes.length])).toEqual([
      ["audit/a", 1_000],
      ["audit/b", 0],
    ]);
    for (let length = 0; length <= archive.indexOf("audit/b"); length += 100)
      expect(() => filesInTar(archive.subarray(0, length)), String(length)).toThrow(/archive/);
    expect(() => filesInTar(Buffer.alloc(600, 1))).toThrow("no tar archive");
  });
});
