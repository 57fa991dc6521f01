import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { leaks, spellings } from "../../support/leaks.ts";
import { Finder } from "../../support/sweep/finder.ts";
import { mask } from "../../support/sweep/mask.ts";
import { memoryOf } from "../../support/sweep/memory.ts";
import {
  commandLines,
  dumping,
  environs,
  memories,
  type Process,
} from "../../support/sweep/processes.ts";
import { type Place, sweep } from "../../support/sweep/sweep.ts";

const value = () => `plant-${randomBytes(12).toString("hex")}`;

describe("the finder", () => {
  const wanted = fc.array(fc.string({ minLength: 16, maxLength: 60 }), {
    minLength: 1,
    maxLength: 6,
  });

  it("finds a value in every spelling, at any place, whatever stands around it", () =>
    fc.assert(
      fc.property(
        wanted,
        fc.nat(),
        fc.nat(),
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ maxLength: 300 }),
        (values, which, spelling, before, after) => {
          const named = values.map((text, i) => ({ name: `secret ${i}`, value: text }));
          const text = values[which % values.length] ?? "";
          const forms = [
            ...spellings(text).map((form) => Buffer.from(form)),
            Buffer.from(text, "utf16le"),
          ];
          const form = forms[spelling % forms.length] ?? Buffer.alloc(0);
          const found = new Finder(named).inBytes(Buffer.concat([before, form, after]));
          expect(found).toContain(`secret ${which % values.length}`);
        },
      ),
    ));

  it("says what a plain search says, for any bytes", () =>
    fc.assert(
      fc.property(wanted, fc.string({ maxLength: 400 }), (values, text) => {
        const named = values.map((one, i) => ({ name: String(i), value: one }));
        const plain = named.filter((one) => leaks({ text }, [one.value]).length > 0);
        expect(new Finder(named).inBytes(Buffer.from(text))).toEqual(
          plain.map(({ name }) => name).sort(),
        );
      }),
    ));

  it("finds it across the pieces of a stream, of any size", async () => {
    const secret = value();
    const whole = Buffer.from(`${"x".repeat(100)}${secret}${"y".repeat(100)}`);
    for (const size of [1, 2, 7, 16, 100, 111, 1000]) {
      async function* pieces() {
        for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
      }
      expect(await new Finder([{ name: "it", value: secret }]).in(pieces()), `${size}`).toEqual([
        "it",
      ]);
    }
  });

  it("takes no value that chance could write", () => {
    expect(() => new Finder([{ name: "word", value: "short" }])).toThrow(
      "too short to look for: word",
    );
  });
});

describe("a sweep", () => {
  const secret = { name: "token", value: value(), belongs: [/^memory of store/] };
  const plant = value();

  it("names every place of a secret, and keeps apart where it belongs", async () => {
    const search = function* (): Generator<Place> {
      yield { name: "memory of store: node (1)", content: `a ${secret.value}` };
      yield { name: "memory of agent: node (2)", content: Buffer.from(`b ${secret.value}`) };
      yield { name: "logs of agent", content: [Buffer.from(secret.value)] };
      yield { name: "logs of plant", content: plant };
      yield { name: "logs of store", content: "nothing" };
    };
    expect(await sweep(search, [secret], plant)).toMatchObject({
      leaks: ["token in logs of agent", "token in memory of agent: node (2)"],
      known: ["token in memory of store: node (1)"],
      planted: ["logs of plant"],
      places: { length: 5 },
    });
  });

  it("that does not find its plant fails, and says no value", async () => {
    const search = () => [{ name: "logs of agent", content: secret.value }];
    const failure = await sweep(search, [secret], plant).catch(String);
    expect(failure).toContain("does not find what was planted");
    expect(leaks({ failure: String(failure) }, [plant, secret.value])).toEqual([]);
  });
});

describe("the search of processes", () => {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });

  /** A process with a plant in its environment, one in its arguments, and one that only its heap has. */
  async function planted(
    inMemory: string,
    options: { inEnviron?: string; inArguments?: string } = {},
  ) {
    const program = `
      const kept = Buffer.from("${mask(inMemory)}", "hex").map((byte) => byte ^ 0x55);
      const text = kept.toString() + "";
      console.log("ready");
      setInterval(() => globalThis.kept = [kept, text], 100);`;
    const child = spawn(
      "/bin/sh",
      [
        "-c",
        'ulimit -c 0; exec "$0" "$@"',
        process.execPath,
        "-e",
        program,
        options.inArguments ?? "",
      ],
      {
        env: options.inEnviron ? { PLANT: options.inEnviron } : {},
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    children.push(child);
    await once(child.stdout, "data");
    const one: Process = { part: "plant", pid: child.pid ?? 0, program: "node" };
    return { child, one };
  }

  it("finds what only the memory holds, and nowhere else", async () => {
    const [inMemory, inEnviron, inArguments] = [value(), value(), value()];
    const { one } = await planted(inMemory, { inEnviron, inArguments });
    let bytes = 0;
    const count = (seen: number) => (bytes += seen);
    expect((await sweep(() => memories([one], count), [], inMemory)).planted).toHaveLength(1);
    expect((await sweep(() => environs([one]), [], inEnviron)).planted).toHaveLength(1);
    expect((await sweep(() => commandLines([one]), [], inArguments)).planted).toHaveLength(1);
    for (const search of [environs, commandLines]) {
      await expect(sweep(() => search([one]), [], inMemory)).rejects.toThrow("does not find");
    }
    expect(bytes).toBeGreaterThan(4 * 1024 * 1024);
    // Of what is mapped, much is only reserved.
    expect(bytes).toBeLessThan(1024 * 1024 * 1024);
  });

  it("says nothing of what a process never held", async () => {
    const { one } = await planted(value());
    await expect(sweep(() => memories([one]), [], value())).rejects.toThrow("does not find");
  });

  it("ends quietly with a process that ends", async () => {
    const { child, one } = await planted(value());
    const pieces = memoryOf(one.pid);
    expect(pieces.next().done).toBe(false);
    child.kill("SIGKILL");
    await once(child, "close");
    expect([...pieces].length).toBeLessThan(2);
    expect([...memoryOf(one.pid), ...environs([one]), ...commandLines([one])]).toEqual([]);
    expect(dumping([one])).toEqual([]);
  });

  it("tells a process that may dump its core from one that may not", async () => {
    const { one } = await planted(value());
    expect(dumping([one])).toEqual([]);
    const child = spawn("/bin/sh", ["-c", "ulimit -S -c 0; echo ready; exec sleep 60"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    await once(child.stdout, "data");
    // Without rights nobody gets back what this machine does not give.
    const hard = /^Max core file size +\S+ +(\S+)/m.exec(
      readFileSync("/proc/self/limits", "utf8"),
    )?.[1];
    const other = { part: "other", pid: child.pid ?? 0, program: "sleep" };
    expect(dumping([other])).toEqual(
      hard === "0" ? [] : [`core of other: sleep (${child.pid}): 0 ${hard}`],
    );
  });
});
