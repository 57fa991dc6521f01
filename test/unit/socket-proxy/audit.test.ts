import { execFileSync, spawn } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import {
  type AuditOptions,
  anchorDaily,
  createAudit,
} from "../../../services/socket-proxy/audit.ts";
import { AuditFile, type AuditFileOptions } from "../../../services/socket-proxy/audit-file.ts";
import { Denial } from "../../../services/socket-proxy/denial.ts";
import { type AuditRecord, linesOf, maxLineBytes } from "../../../spec/audit-chain.ts";
import { rotatedNumber } from "../../../spec/audit-files.ts";
import { verifyChain } from "../../../spec/audit-verify.ts";
import { leaks } from "../../support/leaks.ts";
import { eventually, startHarness } from "./harness.ts";

const record: AuditRecord = {
  phase: "decision",
  client: "admin-bridge",
  request: "0a1b2c3d-1",
  verb: "start",
  decision: "allow",
  object: "berth-dev-lal",
};
const services = join(import.meta.dirname, "../../../services/socket-proxy");

let directory: string;
let logged: Record<string, unknown>[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sp-audit-"));
  logged = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const log = createLog("test", (line) => logged.push(JSON.parse(line) as Record<string, unknown>));
const current = () => join(directory, "audit.jsonl");
/** An audit on the real file, as a start of the proxy makes it. */
const open = (file: AuditFileOptions = {}, options: AuditOptions = {}) =>
  createAudit(new AuditFile(directory, file), { log, ...options });
const bytesOf = (path = current()) => readFileSync(path);
const records = () =>
  [...linesOf(bytesOf())].map((line) => JSON.parse(line) as AuditRecord & { seq: number });
const verify = () => verifyChain(linesOf(bytesOf()));
const anchors = () =>
  logged
    .filter(({ event }) => event === "audit-anchor")
    .map(({ seq, hash, why }) => ({ seq: seq as number, hash: hash as string, why }));
const shell = (command: string) => execFileSync("sh", ["-c", command]);
const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
const refusal = (run: () => void) => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(Denial);
    const { status, rule, message } = error as Denial;
    return { status, rule, message };
  }
  throw new Error("it was not refused");
};

describe("the audit's file", () => {
  it("T12: holds a chain that goes on over starts; each start is on record and told to the log", () => {
    const first = open();
    first.require(record);
    first.note({ ...record, phase: "result", status: 204 });
    const second = open();
    second.require(record);
    expect(records().map(({ phase, seq }) => `${seq} ${phase}`)).toEqual([
      "1 open",
      "2 decision",
      "3 result",
      "4 open",
      "5 decision",
    ]);
    expect(anchors().map(({ seq, why }) => [seq, why])).toEqual([
      [1, "start"],
      [4, "start"],
    ]);
    const report = verifyChain(linesOf(bytesOf()), { head: second.head(), anchors: anchors() });
    expect(report).toMatchObject({ ok: true, records: 5, anchors: 2 });
    expect(statSync(current()).mode & 0o777).toBe(0o600);
  });

  it("a last line that a power cut has torn is cut at the next start, which says how long it was", () => {
    open().require(record);
    const whole = bytesOf();
    for (let length = whole.lastIndexOf(0x0a, -2) + 2; length < whole.length; length += 37) {
      writeFileSync(current(), whole.subarray(0, length));
      const torn = length - (whole.lastIndexOf(0x0a, -2) + 1);
      expect(verify().ok).toBe(false);
      open();
      expect(records()).toMatchObject([{ phase: "open" }, { phase: "open", torn, seq: 2 }]);
      expect(verify().ok).toBe(true);
    }
  });

  it("a file that is one torn line, or zeros without end, is emptied of it", () => {
    for (const bytes of [Buffer.from('{"agent'), Buffer.alloc(3 * maxLineBytes + 1)]) {
      writeFileSync(current(), bytes);
      open();
      expect(records()).toMatchObject([{ phase: "open", torn: bytes.length, seq: 1 }]);
      expect(verify().ok).toBe(true);
    }
  });

  it("a file that begins or ends with a line that is no record is left as it is: mutations are refused, reads go on", () => {
    open().require(record);
    const good = bytesOf();
    const forged = Buffer.from(good.toString().replace(/"seq":2/, '"seq":9'));
    for (const bytes of [
      forged,
      Buffer.concat([good, Buffer.from("\n")]),
      Buffer.concat([Buffer.from("\n"), good]),
    ]) {
      writeFileSync(current(), bytes);
      logged = [];
      const audit = open();
      expect(audit.writable).toBe(false);
      expect(refusal(() => audit.require(record))).toMatchObject({ status: 503, rule: "audit" });
      audit.note(record);
      expect(bytesOf()).toEqual(bytes);
      expect(logged.filter(({ event }) => event === "audit-unwritable")).toMatchObject([
        { reason: expect.stringMatching(/move the file out of the volume to begin a new one/) },
      ]);
    }
  });

  it("T11: kill −9 in the middle of writing leaves a chain that verifies, and that the next start goes on with", async () => {
    const script = `
      import { createAudit } from "${services}/audit.ts";
      import { AuditFile } from "${services}/audit-file.ts";
      const audit = createAudit(new AuditFile(process.argv[1]));
      const record = ${JSON.stringify({ ...record, fields: ["x".repeat(128), "y".repeat(128)] })};
      // Ends by itself, should nobody kill it.
      for (let i = 0; i < 200_000; i++) {
        audit.require(record);
        process.stdout.write(audit.head().seq + " " + audit.head().hash + "\\n");
      }`;
    for (let round = 1; round <= 3; round++) {
      const child = spawn(process.execPath, ["--input-type=module", "--eval", script, directory], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let told = "";
      child.stdout.on("data", (part) => {
        told += String(part);
      });
      const ended = new Promise((resolve) => child.on("close", resolve));
      try {
        for (let tries = 0; tries < 5_000 && told.length < 50_000; tries++) await pause();
        expect(told.length).toBeGreaterThanOrEqual(50_000);
      } finally {
        child.kill("SIGKILL");
      }
      await ended;
      // All that was acted on is there.
      const [seq, hash = ""] = told.trimEnd().split("\n").at(-1)?.split(" ") ?? [];
      const acted = { seq: Number(seq), hash };
      const whole = told.endsWith("\n") ? { anchors: [acted] } : {};
      expect(verifyChain(linesOf(bytesOf()), whole)).toMatchObject({ ok: true, problems: [] });
      open();
      expect(records().at(-1)).toMatchObject({ phase: "open" });
      expect(verify().ok).toBe(true);
    }
  });

  it("is closed before it grows too long; the chain goes on over the files, and the oldest of too many goes", () => {
    const audit = open({ maxBytes: 2_000, kept: 3 });
    for (let i = 0; i < 60; i++) audit.require(record);
    const closed = readdirSync(directory)
      .flatMap((name) => rotatedNumber(name) ?? [])
      .sort((a, b) => a - b);
    expect(closed).toHaveLength(3);
    for (const name of readdirSync(directory))
      expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(2_000);
    const files = [
      ...closed.map((seq) => bytesOf(join(directory, `audit.${seq}.jsonl`))),
      bytesOf(),
    ];
    const report = verifyChain(linesOf(Buffer.concat(files)), {
      head: audit.head(),
      anchors: anchors(),
    });
    expect(report).toMatchObject({ ok: true, firstSeq: closed[0], lastSeq: 61 });
    expect(report.notes).toEqual([{ line: 1, problem: expect.stringContaining("are not here") }]);
    // Each new file is told to the log, with the record that begins it.
    const begun = anchors().filter(({ why }) => why === "rotation");
    expect(begun.map(({ seq }) => seq)).toEqual(expect.arrayContaining(closed.slice(1)));
    // A start right after a rotation, before the new file was there, finds the head in the closed one.
    const newest = closed.at(-1);
    unlinkSync(current());
    const last = verifyChain(linesOf(bytesOf(join(directory, `audit.${newest}.jsonl`)))).head;
    expect(open().head()).toMatchObject({ seq: (last?.seq ?? 0) + 1 });
    expect(
      verifyChain(linesOf(bytesOf()), {
        first: { seq: (last?.seq ?? 0) + 1, prev: last?.hash ?? "" },
      }).ok,
    ).toBe(true);
  });

  it("never writes over a closed file", () => {
    const audit = open({ maxBytes: 2_000 });
    writeFileSync(join(directory, "audit.1.jsonl"), "kept");
    for (let i = 0; i < 20; i++) audit.note(record);
    expect(audit.writable).toBe(false);
    expect(refusal(() => audit.require(record)).status).toBe(503);
    expect(String(bytesOf(join(directory, "audit.1.jsonl")))).toBe("kept");
  });

  it("T12: a file that is shortened, replaced, moved or deleted under a running proxy is seen at the next record", () => {
    const attacks: Record<string, () => void> = {
      shortened: () => truncateSync(current(), bytesOf().lastIndexOf(0x0a, -2) + 1),
      emptied: () => truncateSync(current(), 0),
      lengthened: () =>
        appendFileSync(current(), bytesOf().subarray(0, bytesOf().indexOf(0x0a) + 1)),
      replaced: () => {
        const bytes = bytesOf();
        renameSync(current(), join(directory, "elsewhere"));
        writeFileSync(current(), bytes.subarray(0, bytes.indexOf(0x0a) + 1));
      },
      moved: () => renameSync(current(), join(directory, "elsewhere")),
      deleted: () => unlinkSync(current()),
    };
    for (const [attack, run] of Object.entries(attacks)) {
      rmSync(directory, { recursive: true });
      mkdirSync(directory);
      logged = [];
      const audit = open();
      for (let i = 0; i < 3; i++) audit.require(record);
      run();
      audit.require(record);
      expect(audit.head().seq, attack).toBe(7);
      expect(records().slice(-3), attack).toMatchObject([
        { phase: "open", seq: 5 },
        { phase: "alert", rule: "audit-changed", seq: 6 },
        { phase: "decision", seq: 7 },
      ]);
      expect(
        logged.map(({ event }) => event),
        attack,
      ).toContain("audit-changed");
      // The chain itself shows it, whoever has only the file and the log.
      expect(
        verifyChain(linesOf(bytesOf()), {
          first: { seq: 1, prev: "0".repeat(64) },
          anchors: anchors(),
        }).ok,
        attack,
      ).toBe(false);
    }
  });

  it("records go to the file that stands in its place, even if that is its very copy", () => {
    const audit = open();
    audit.require(record);
    const bytes = bytesOf();
    renameSync(current(), join(directory, "elsewhere"));
    writeFileSync(current(), bytes);
    audit.require(record);
    expect(bytesOf(join(directory, "elsewhere"))).toEqual(bytes);
    expect(verifyChain(linesOf(bytesOf()), { head: audit.head() })).toMatchObject({
      ok: true,
      lastSeq: 4,
    });
  });

  it("is no link, no directory and no pipe", () => {
    const places: (() => void)[] = [
      () => symlinkSync("elsewhere", current()),
      () => mkdirSync(current()),
      () => shell(`mkfifo ${current()}`),
    ];
    writeFileSync(join(directory, "elsewhere"), "");
    for (const place of places) {
      place();
      const audit = open();
      expect(audit.writable).toBe(false);
      expect(refusal(() => audit.require(record)).status).toBe(503);
      rmSync(current(), { recursive: true });
      audit.require(record);
      expect([audit.writable, audit.head().seq]).toEqual([true, 2]);
      rmSync(current());
    }
  });
});

describe("a sink that fails", () => {
  it("T11: a partial write is taken back, the mutation is refused, and the next record says how many are missing", () => {
    let room = Number.POSITIVE_INFINITY;
    const write = (fd: number, bytes: Uint8Array) => {
      if (room <= 0) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
      const part = bytes.subarray(0, Math.min(bytes.length, room));
      appendFileSync(fd, part);
      room -= part.length;
      return part.length;
    };
    const audit = open({ write });
    audit.require(record);
    const before = bytesOf();
    for (const left of [0, 1, 40, 200]) {
      room = left;
      expect(refusal(() => audit.require(record))).toEqual({
        status: 503,
        rule: "audit",
        message: "its audit record cannot be written (ENOSPC)",
      });
      audit.note(record);
      expect(audit.writable).toBe(false);
      expect(bytesOf()).toEqual(before);
    }
    room = Number.POSITIVE_INFINITY;
    audit.note({ ...record, verb: "inspect" });
    expect(records().at(-1)).toMatchObject({ verb: "inspect", seq: 3, lost: 8 });
    audit.require(record);
    expect(records().at(-1)).not.toHaveProperty("lost");
    expect([verify().ok, audit.writable]).toEqual([true, true]);
    expect(logged.map(({ event }) => event)).toEqual([
      "audit-anchor",
      "audit-unwritable",
      "audit-writable",
    ]);
  });

  it.runIf(process.getuid?.() === 0)(
    "T11: a disk that is really full refuses mutations, and takes records again once there is room",
    () => {
      shell(`mount -t tmpfs -o size=64k,mode=0700 tmpfs ${directory}`);
      const file = new AuditFile(directory);
      try {
        const audit = createAudit(file, { log });
        let written = 0;
        const fill = () => {
          for (;;) {
            audit.require({ ...record, request: `r${written}` });
            written += 1;
          }
        };
        expect(refusal(fill).message).toContain("ENOSPC");
        expect(written).toBeGreaterThan(50);
        audit.note(record);
        expect(verify()).toMatchObject({ ok: true, lastSeq: written + 1 });
        shell(`mount -o remount,size=256k ${directory}`);
        audit.require(record);
        expect(records().at(-1)).toMatchObject({ seq: written + 2, lost: 2 });
        expect(verify().ok).toBe(true);

        file.close();
        shell(`mount -o remount,ro ${directory}`);
        expect(refusal(() => audit.require(record)).message).toContain("EROFS");
      } finally {
        file.close();
        shell(`umount ${directory}`);
      }
    },
  );

  it("T11: without a free file descriptor mutations are refused; with one again the chain goes on, over a rotation too", () => {
    const script = `
      import fs from "node:fs";
      import { createAudit } from "${services}/audit.ts";
      import { AuditFile } from "${services}/audit-file.ts";
      const record = ${JSON.stringify(record)};
      const outcome = (run) => { try { run(); return "written"; } catch (error) { return error.message; } };
      const taken = [];
      const exhaust = () => { try { for (;;) taken.push(fs.openSync("/dev/null")); } catch {} };
      const free = () => { for (const fd of taken.splice(0)) fs.closeSync(fd); };
      const lines = [];
      const running = createAudit(new AuditFile(process.argv[1], { maxBytes: 1500 }));
      exhaust();
      // A file that is open needs no other, not even to begin a new one.
      for (let i = 0; i < 12; i++) lines.push(outcome(() => running.require(record)));
      free(); exhaust();
      const late = createAudit(new AuditFile(process.argv[1]));
      const refused = outcome(() => late.require(record));
      free();
      console.log(JSON.stringify({ lines, refused, after: outcome(() => late.require(record)) }));`;
    const output = execFileSync(
      "sh",
      [
        "-c",
        'ulimit -n 64; exec "$0" --input-type=module --eval "$1" "$2"',
        process.execPath,
        script,
        directory,
      ],
      { encoding: "utf8" },
    );
    const result = JSON.parse(output) as { lines: string[]; refused: string; after: string };
    expect(new Set(result.lines)).toEqual(new Set(["written"]));
    expect(result.refused).toBe("its audit record cannot be written (EMFILE)");
    expect(result.after).toBe("written");
    const closed = readdirSync(directory).flatMap((name) => rotatedNumber(name) ?? []);
    expect(closed.length).toBeGreaterThan(1);
    const files = [
      ...closed.sort((a, b) => a - b).map((seq) => `audit.${seq}.jsonl`),
      "audit.jsonl",
    ];
    const all = Buffer.concat(files.map((name) => bytesOf(join(directory, name))));
    expect(verifyChain(linesOf(all))).toMatchObject({ ok: true, firstSeq: 1, lastSeq: 15 });
  });

  it("a directory that is not there keeps reads going; the start is on record as soon as it is", () => {
    rmSync(directory, { recursive: true });
    const audit = open();
    audit.note(record);
    expect([audit.writable, audit.head().seq]).toEqual([false, 0]);
    expect(refusal(() => audit.require(record)).message).toContain("ENOENT");
    mkdirSync(directory);
    audit.require(record);
    expect(records()).toMatchObject([
      { phase: "open", lost: 2 },
      { phase: "decision", seq: 2 },
    ]);
    expect(audit.writable).toBe(true);
  });
});

describe("records", () => {
  it("are copied to the log with all that is in the file; a copy that fails changes nothing", () => {
    const copies: string[] = [];
    let fails = false;
    const audit = open(
      {},
      {
        copy: (line) => {
          if (fails) throw new Error("pipe closed");
          copies.push(line);
        },
      },
    );
    audit.require(record);
    fails = true;
    audit.require(record);
    expect(records()).toHaveLength(3);
    const parsed = copies.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(parsed).toEqual(
      records()
        .slice(0, 2)
        .map((line) => ({
          ...line,
          level: "info",
          service: "docker-socket-proxy",
          event: "audit",
        })),
    );
    expect(Object.keys(parsed[1] ?? {}).slice(0, 4)).toEqual(["time", "level", "service", "event"]);
  });

  it("T12: a record that breaks the schema refuses its mutation, and goes on record as a refusal", () => {
    const audit = open();
    const forged = { ...record, object: 'x\n{"seq":99}', template: "../x" };
    expect(refusal(() => audit.require(forged)).rule).toBe("audit");
    audit.note({ ...forged, decision: "deny" });
    expect(records().at(-1)).toMatchObject({
      decision: "deny",
      object: 'x?{"seq":99}',
      unfit: ["template"],
      lost: 1,
    });
    expect(verify().ok).toBe(true);
  });

  it("a day's mark is a record, and the head that is told to the log", async () => {
    const audit = open();
    const ending = new AbortController();
    anchorDaily(audit, ending.signal, 5);
    await eventually(() => anchors().length >= 3);
    ending.abort();
    expect(
      records()
        .slice(0, 3)
        .map(({ phase }) => phase),
    ).toEqual(["open", "anchor", "anchor"]);
    expect(
      anchors()
        .slice(0, 3)
        .map(({ why }) => why),
    ).toEqual(["start", "day", "day"]);
    const many = anchors().length;
    expect(
      verifyChain(linesOf(bytesOf()), { anchors: anchors(), head: audit.head() }),
    ).toMatchObject({
      ok: true,
      anchors: many,
    });
  });
});

describe("what requests leave in it", () => {
  it("T12: names that hold line ends, ANSI or right-to-left marks forge no record, and no value of a container is in it", async () => {
    const harness = await startHarness();
    try {
      const canary = "canary-7f3a-value";
      const { Config } = harness.agent().inspect as unknown as { Config: { Env: string[] } };
      Config.Env.push(`API_TOKEN=${canary}`);
      const hostile = [
        "/containers/%0a%7b%22seq%22:1%7d/start",
        "/containers/a%1b[31m/start",
        "/containers/%e2%80%ae/json",
        `/containers/x?token=${canary}`,
        "/containers/berth-dev-lal/exec",
      ];
      for (const path of hostile) await harness.ask(path, "POST");
      expect((await harness.ask("/containers/berth-dev-lal/json")).status).toBe(200);
      // Not as declared: the field is named, its value is not.
      expect((await harness.ask("/containers/berth-dev-lal/start", "POST")).status).toBe(403);
      const text = harness.audit.map((line) => JSON.stringify(line)).join("\n");
      const denied = harness.audit.filter(({ decision }) => decision === "deny");
      expect(denied).toHaveLength(hostile.length + 1);
      expect(denied.at(-1)).toMatchObject({ rule: "verify", fields: ["Config.Env"] });
      expect(text).toMatch(/^[\x20-\x7e\n]+$/);
      expect(leaks({ text, log: harness.logged.join("\n") }, [canary])).toEqual([]);
      const times = harness.audit.map(({ seq }) => seq);
      expect(times).toEqual(times.map((_, i) => i + 1));
    } finally {
      await harness.close();
    }
  });

  it("T11: with a sink that is full, mutations are refused and reads are answered; the gap is on record afterwards", async () => {
    const harness = await startHarness();
    try {
      harness.agent();
      harness.sink.fails = true;
      const start = await harness.ask("/containers/berth-dev-lal/start", "POST");
      expect([start.status, start.text]).toEqual([503, expect.stringContaining("[audit]")]);
      expect((await harness.ask("/containers/berth-dev-lal/json")).status).toBe(200);
      expect(harness.engine.asked().filter((call) => call.endsWith("/start"))).toEqual([]);
      harness.sink.fails = false;
      expect((await harness.ask("/containers/berth-dev-lal/start", "POST")).status).toBe(204);
      expect(harness.audit.find(({ lost }) => lost !== undefined)).toMatchObject({
        lost: expect.any(Number),
      });
    } finally {
      await harness.close();
    }
  });
});
