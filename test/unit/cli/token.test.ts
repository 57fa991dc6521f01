import { spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CliError } from "../../../cli/console.ts";
import { NoTokenError, type Places, tokenFinder } from "../../../cli/secrets/finder.ts";
import { askToken, type Keyboard } from "../../../cli/secrets/prompt.ts";
import { checkShape, maxTokenBytes, readToken, tokenIn } from "../../../cli/secrets/token.ts";

const serviceAccount = `ops_${Buffer.from(JSON.stringify({ email: "x@example.com", key: "k".repeat(200) })).toString("base64")}`;
const jwt = ["eyJhbGciOiJFUzI1NiJ9", "eyJpc3MiOiJjb20uMXBhc3N3b3JkLmI1In0", "c2lnbmF0dXJl-_"].join(
  ".",
);
const messageOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(CliError);
    return (error as Error).message;
  }
  return "";
};

describe("a token", () => {
  it.each([
    ["of a service account", serviceAccount],
    ["of a Connect server", jwt],
  ])("%s is taken, with white space around it", (_, value) => {
    const token = tokenIn(`  ${value}\r\n`);
    checkShape(token);
    expect(token.reveal()).toBe(value);
  });

  it("anything else is refused, and no piece of it is shown", () => {
    const texts = fc.oneof(
      fc.string({ minLength: 9 }).map((text) => `x${text}`),
      fc.string({ minLength: 9 }).map((text) => `ops_ ${text}`),
      fc.string({ minLength: 9 }).map((text) => `eyJ.${text}.${text}.${text}`),
      fc.constantFrom(`${serviceAccount} ${serviceAccount}`, `OPS_${"A".repeat(20)}`, "ops_short"),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const message = messageOf(() => checkShape(tokenIn(text)));
        expect(message).toMatch(/no 1Password token/);
        expect(message).not.toContain(text.trim());
      }),
    );
  });

  it("is shown by nothing but reveal", () => {
    const token = tokenIn(serviceAccount);
    const shown = [String(token), `${token}`, inspect(token), JSON.stringify({ token })].join();
    expect(shown).not.toContain(serviceAccount.slice(4, 20));
  });

  it.each([
    ["nothing", "", /empty/],
    ["white space", " \n", /empty/],
    ["too much", "a".repeat(maxTokenBytes + 1), /longer than/],
    ["far too much", "a".repeat(3 * maxTokenBytes), /more than/],
  ])("%s on standard input is an error", async (_, text, wanted) => {
    await expect(
      readToken(
        (async function* () {
          yield text;
        })(),
      ),
    ).rejects.toThrow(wanted);
  });

  it("is read whole, wherever its bytes are cut", async () => {
    const bytes = Buffer.from(`${serviceAccount}\n`);
    const parts = async function* () {
      for (const byte of bytes) yield Buffer.from([byte]);
    };
    expect((await readToken(parts())).reveal()).toBe(serviceAccount);
  });
});

/** A keyboard whose keys the test presses. */
class Keys extends EventEmitter implements Keyboard {
  readonly modes: boolean[] = [];
  setRawMode(isRaw: boolean) {
    this.modes.push(isRaw);
  }
  setEncoding() {}
  resume() {}
  pause() {}
}

describe("the prompt", () => {
  let keys: Keys;
  let shown: string;
  beforeEach(() => {
    keys = new Keys();
    shown = "";
  });
  const ask = () => askToken(keys, (text) => (shown += text), "token: ");

  it.each([
    ["typed key by key", [..."ops_abc", "\r"], "ops_abc"],
    ["pasted with its end of line", ["ops_abc\n"], "ops_abc"],
    ["mended by backspace", ["opx", "\u007f", "s_", "\b", "_abc", "\r"], "ops_abc"],
    ["ended by Ctrl-D", ["ops_abc", "\u0004"], "ops_abc"],
  ])("takes a token %s, and shows only the question", async (_, pressed, wanted) => {
    const token = ask();
    for (const key of pressed) keys.emit("data", key);
    expect((await token).reveal()).toBe(wanted);
    expect(shown).toBe("token: \n");
  });

  it.each([
    ["Ctrl-C", "ops_abc\u0003", 130],
    ["Ctrl-D at once", "\u0004", 130],
    ["Enter at once", "\r", 1],
  ])(
    "%s ends it by an error without a token, and the terminal is as before",
    async (_, pressed, exitCode) => {
      const token = ask().catch((error: unknown) => error);
      keys.emit("data", pressed);
      const error = await token;
      expect(error).toBeInstanceOf(CliError);
      expect(error).toMatchObject({ exitCode });
      expect(String(error)).not.toContain("ops_abc");
      expect(keys.modes).toEqual([true, false]);
      expect(keys.listenerCount("data")).toBe(0);
    },
  );

  it("a terminal that goes away ends it", async () => {
    const token = ask();
    keys.emit("close");
    await expect(token).rejects.toThrow("no token was given");
  });

  const script = "/usr/bin/script";
  it.each(existsSync(script) ? [script] : [])(
    "on a real terminal (%s) nothing of the token comes back",
    async (program) => {
      const source = join(import.meta.dirname, "../../../cli/secrets/prompt.ts");
      const code = `import { askToken } from ${JSON.stringify(source)};
        const token = await askToken(process.stdin, (text) => process.stdout.write(text), "token: ");
        console.log("got " + token.reveal().length);`;
      const folder = mkdtempSync(join(tmpdir(), "berth-tty-"));
      try {
        const file = join(folder, "ask.ts");
        writeFileSync(file, code);
        const child = spawn(program, ["-qec", `"${process.execPath}" "${file}"`, "/dev/null"], {
          stdio: ["pipe", "pipe", "pipe"],
        });
        let output = "";
        child.stdout.on("data", (part: Buffer) => {
          if (!output.includes("token: ") && `${output}${part}`.includes("token: ")) {
            child.stdin.write(`${serviceAccount}\r`);
          }
          output += part.toString();
        });
        await new Promise((resolve) => child.on("close", resolve));
        expect(output).toContain(`got ${serviceAccount.length}`);
        expect(output).not.toContain(serviceAccount.slice(0, 8));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});

describe("where the token is looked for", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-creds-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  let asked: number;
  let unsealed: number;
  /** Every place has a token that tells its name. */
  function places(without: readonly string[] = []): Places {
    asked = 0;
    unsealed = 0;
    if (without.includes("unit")) rmSync(join(folder, "op-token"), { force: true });
    else writeFileSync(join(folder, "op-token"), "ops_unit\n");
    return {
      ...(without.includes("stdin")
        ? {}
        : {
            input: (async function* () {
              yield "ops_stdin";
            })(),
          }),
      credentials: folder,
      sealer: {
        name: "systemd-creds",
        unseal: async () => {
          unsealed += 1;
          return without.includes("sealed") ? undefined : tokenIn(`ops_sealed${unsealed}`);
        },
      },
      ask: without.includes("terminal")
        ? undefined
        : async () => {
            asked += 1;
            return tokenIn(`ops_typed${asked}`);
          },
    };
  }
  const found = async (find: ReturnType<typeof tokenFinder>) => (await find()).token.reveal();

  it.each([
    [[], "ops_stdin"],
    [["stdin"], "ops_unit"],
    [["stdin", "unit"], "ops_sealed1"],
    [["stdin", "unit", "sealed"], "ops_typed1"],
  ])("without %j it is %s", async (without, wanted) =>
    expect(await found(tokenFinder(places(without)))).toBe(wanted),
  );

  it("nowhere: an error that names the two commands", async () => {
    const find = tokenFinder(places(["stdin", "unit", "sealed", "terminal"]));
    const error = await find().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NoTokenError);
    expect(String(error)).toMatch(/secrets seal.*secrets unlock --from-stdin/);
  });

  it("what can be read once only is kept for the next attempt; a seal and a credential are read anew", async () => {
    const stdin = tokenFinder(places());
    expect([await found(stdin), await found(stdin)]).toEqual(["ops_stdin", "ops_stdin"]);
    const terminal = tokenFinder(places(["stdin", "unit", "sealed"]));
    expect([await found(terminal), await found(terminal)]).toEqual(["ops_typed1", "ops_typed1"]);
    const sealed = tokenFinder(places(["stdin", "unit"]));
    expect([await found(sealed), await found(sealed)]).toEqual(["ops_sealed1", "ops_sealed2"]);
    const unit = tokenFinder(places(["stdin"]));
    expect(await found(unit)).toBe("ops_unit");
    writeFileSync(join(folder, "op-token"), "ops_unit2");
    expect(await found(unit)).toBe("ops_unit2");
  });

  it("what can be read once only and is no token ends it: the next attempt would find no other", async () => {
    const refusing = async () => {
      throw new CliError("no token was given", 130);
    };
    const find = tokenFinder({ ...places(["stdin", "unit", "sealed"]), ask: refusing });
    const error = await find().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NoTokenError);
    expect(error).toMatchObject({ message: "no token was given", exitCode: 130 });
  });

  it("a credential that is there and cannot be read is no reason to go on to the next place", async () => {
    const find = tokenFinder({ ...places(["stdin", "unit"]), credentials: join(folder, "x") });
    writeFileSync(join(folder, "x"), "a file, not a directory");
    await expect(find()).rejects.toThrow(/cannot be read \(ENOTDIR\)/);
    expect(unsealed).toBe(0);
  });
});
