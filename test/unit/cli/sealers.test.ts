import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CliError } from "../../../cli/console.ts";
import { feed } from "../../../cli/secrets/feed.ts";
import {
  ownSealer,
  type Sealer,
  type SealerHost,
  type SealerName,
  sealedFile,
  sealerOf,
} from "../../../cli/secrets/sealer.ts";
import { type Token, tokenIn } from "../../../cli/secrets/token.ts";

/** As long as a service account's token. */
const canary = `ops_${Buffer.from("canary-7f2e".repeat(58)).toString("base64url")}`;
const other = `ops_${"B".repeat(40)}`;

let folder: string;
let bin: string;
/** Arguments and environment of every program that was run. */
let seen: string;

/** A program of the test's own that notes how it was called, then becomes another. */
function install(name: string, becomes: string): void {
  const script = [
    "#!/bin/sh",
    `{ tr '\\0' '\\n' </proc/$$/cmdline; tr '\\0' '\\n' </proc/$$/environ; } >>"${seen}"`,
    `exec ${becomes} "$@"`,
    "",
  ].join("\n");
  writeFileSync(join(bin, name), script);
  chmodSync(join(bin, name), 0o755);
}

/** A Node program for {@link install}. */
function program(name: string, source: string): string {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, source);
  return `"${process.execPath}" "${file}"`;
}

/** Seals by turning the text around, behind the name that it was sealed for. Its key is a file of the machine. */
const standInCreds = () => `
  import { existsSync, readFileSync } from "node:fs";
  const [verb, ...rest] = process.argv.slice(2);
  if (verb === "--version") { console.log("systemd 257 (257.1)"); process.exit(0); }
  if (verb === "has-tpm2") process.exit(11);
  const name = rest.find((arg) => arg.startsWith("--name="));
  const turn = (text) => [...text].reverse().join("");
  const [from, to] = rest.filter((arg) => !arg.startsWith("--"));
  const text = readFileSync(from === "-" ? 0 : from, "utf8");
  if (to !== "-" || name === undefined) process.exit(2);
  if (verb === "encrypt") process.stdout.write(name + "\\n" + turn(text));
  else if (verb === "decrypt" && text.startsWith(name + "\\n")) process.stdout.write(turn(text.slice(name.length + 1)));
  else { console.error("cannot: " + text); process.exit(1); }
`;

/**
 * The Keychain's command as far as it is used. Like the real one it reads 4,096 bytes a line with -i and tells nothing of
 * what fails there; -w without a value would ask on the terminal.
 */
const standInSecurity = (file: string) => `
  import { existsSync, readFileSync, writeFileSync } from "node:fs";
  const items = existsSync(${JSON.stringify(file)}) ? JSON.parse(readFileSync(${JSON.stringify(file)}, "utf8")) : {};
  const save = () => writeFileSync(${JSON.stringify(file)}, JSON.stringify(items));
  const key = (args) => args[args.indexOf("-a") + 1] + "/" + args[args.indexOf("-s") + 1];
  const run = ([verb, ...args]) => {
    if (verb === "help") return 0;
    if (verb === "add-generic-password") {
      const at = args.indexOf("-w");
      if (at < 0 || at === args.length - 1) return 2;
      if (items[key(args)] !== undefined && !args.includes("-U")) return 45;
      // Turned around, so that a search of the disk does not find what a Keychain would have encrypted.
      items[key(args)] = [...args[at + 1]].reverse().join("");
      save();
      return 0;
    }
    const value = items[key(args)];
    if (value === undefined) { console.error("could not be found in the keychain"); return 44; }
    if (verb === "delete-generic-password") { delete items[key(args)]; save(); }
    else if (verb === "find-generic-password" && args.at(-1) === "-w") console.log([...value].reverse().join(""));
    else return 2;
    return 0;
  };
  const args = process.argv.slice(2);
  if (args[0] !== "-i") process.exit(run(args));
  for (const line of readFileSync(0, "utf8").split("\\n").filter(Boolean)) {
    const words = [...line.slice(0, 4095).matchAll(/"([^"]*)"|(\\S+)/g)].map((m) => m[1] ?? m[2]);
    run(words);
    if (line.length > 4095) console.error("security: unknown command " + line.slice(4095));
  }
`;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-seal-"));
  bin = join(folder, "bin");
  seen = join(folder, "seen");
  mkdirSync(bin);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A machine whose programs are those of `bin` and the basic ones; with `typed` a person sits at a terminal. */
function host(change: Partial<SealerHost> & { typed?: string } = {}): SealerHost {
  const { typed, ...rest } = change;
  return {
    stack: "dev",
    platform: "linux",
    env: { PATH: `${bin}:/usr/bin:/bin`, HOME: folder, BERTH_CREDENTIALS: join(folder, "kept") },
    uid: process.getuid?.(),
    home: folder,
    ask: typed === undefined ? undefined : async () => tokenIn(typed),
    ...rest,
  };
}

const realCreds = "/usr/bin/systemd-creds";
/** Only root can seal with a systemd older than 256. */
const hasRealCreds = existsSync(realCreds) && process.getuid?.() === 0;

interface Way {
  readonly title: string;
  readonly name: SealerName;
  readonly install: () => void;
  readonly host: SealerHost | (() => SealerHost);
  readonly keeps: boolean;
}
const keychainFile = () => join(folder, "keychain.json");
const ways: readonly Way[] = [
  ...(hasRealCreds
    ? [
        {
          title: "systemd-creds of this machine",
          name: "systemd-creds" as const,
          install: () => install("systemd-creds", realCreds),
          host: () => host(),
          keeps: true,
        },
      ]
    : []),
  {
    title: "systemd-creds, a stand-in, for a person",
    name: "systemd-creds",
    install: () => install("systemd-creds", program("creds", standInCreds())),
    host: () => host({ uid: 1000 }),
    keeps: true,
  },
  {
    title: "the Keychain, a stand-in",
    name: "keychain",
    install: () => install("security", program("security", standInSecurity(keychainFile()))),
    host: () => host({ platform: "darwin" }),
    keeps: true,
  },
  {
    title: "the prompt",
    name: "prompt",
    install: () => {},
    host: () => host({ typed: canary }),
    keeps: false,
  },
];

/** Every file below a folder, with its text. */
function filesIn(where: string): string[] {
  return readdirSync(where, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"));
}

const text = async (found: Promise<Token | undefined>) => (await found)?.reveal();
const holds = (where: string, value: string) =>
  where.includes(value) || where.includes(Buffer.from(value).toString("base64").slice(0, -4));

describe.each(ways)("$title", ({ name, install: prepare, host: makeHost, keeps }) => {
  let sealer: Sealer;
  const here = (change: Partial<SealerHost> = {}) => {
    const made = typeof makeHost === "function" ? makeHost() : makeHost;
    return sealerOf(name, { ...made, ...change });
  };
  beforeEach(() => {
    prepare();
    sealer = here();
  });

  it("B7: can be used, keeps the token where it keeps anything, and gives the same one back", async () => {
    expect(await sealer.available()).toBeUndefined();
    expect(await sealer.seal(tokenIn(canary))).toMatch(keeps ? /kept in/ : /nothing is kept/);
    expect(await text(sealer.unseal())).toBe(canary);
  });

  it("B7: a second token takes the place of the first", async () => {
    await sealer.seal(tokenIn(other));
    await sealer.seal(tokenIn(canary));
    expect(await text(sealer.unseal())).toBe(canary);
  });

  it("B7: where nothing was kept there is nothing, and no error", async () => {
    expect(await text(here({ ask: undefined }).unseal())).toBeUndefined();
    if (keeps) await here({ stack: "prod", ask: undefined }).seal(tokenIn(canary));
    expect(await text(here({ ask: undefined }).unseal())).toBeUndefined();
  });

  it("B7 B16: the token is in no arguments, no environment and no file, whatever is done", async () => {
    const says = await sealer.seal(tokenIn(canary));
    await sealer.unseal();
    expect(says).not.toContain(canary);
    expect(filesIn(folder).filter((file) => holds(file, canary))).toEqual([]);
    if (keeps) expect(readFileSync(seen, "utf8")).toMatch(/encrypt|-i/);
  });
});

describe("the search of the test above", () => {
  it("finds a token in the arguments of a program", async () => {
    install("security", "true");
    const { env } = host();
    await feed("security", ["add-generic-password", "-w", canary], { env });
    expect(filesIn(folder).filter((file) => holds(file, canary))).toHaveLength(1);
  });

  it("finds a token in the environment of a program", async () => {
    install("security", "true");
    const { env } = host();
    await feed("security", [], { env: { ...env, USER: canary } });
    expect(filesIn(folder).filter((file) => holds(file, canary))).toHaveLength(1);
  });
});

describe("what a program gets of the environment", () => {
  it("is where programs and the person's things are, and no variable else", async () => {
    install("security", "true");
    await feed("security", [], { env: { ...host().env, OP_SERVICE_ACCOUNT_TOKEN: canary } });
    expect(readFileSync(seen, "utf8")).toContain(`HOME=${folder}`);
    expect(readFileSync(seen, "utf8")).not.toContain("OP_SERVICE");
  });
});

describe("systemd-creds", () => {
  const creds = (change: Partial<SealerHost> = {}) => sealerOf("systemd-creds", host(change));
  const file = () => sealedFile(host());

  it("the sealed file can be read by its owner only, and so can its folder", async () => {
    install("systemd-creds", program("creds", standInCreds()));
    await creds().seal(tokenIn(canary));
    chmodSync(dirname(file()), 0o755);
    await creds().seal(tokenIn(canary));
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(file())).mode & 0o777).toBe(0o700);
    expect(readdirSync(dirname(file()))).toEqual(["op-token.cred"]);
  });

  it.each([
    [{ BERTH_CREDENTIALS: "/keep" }, 0, "/keep/dev/op-token.cred"],
    [{ BERTH_CREDENTIALS: "/keep" }, 1000, "/keep/dev/op-token.cred"],
    [{}, 0, "/etc/berth/dev/op-token.cred"],
    [{}, 1000, "/home/ada/.config/berth/dev/op-token.cred"],
  ])("with %j user %i keeps it in %s", (env, uid, wanted) =>
    expect(sealedFile(host({ env, uid, home: "/home/ada" }))).toBe(wanted),
  );

  it.each([
    ["no systemd at all", undefined, 0, /not on PATH/],
    ["a systemd without sealing", "systemd 249 (249.11-0ubuntu3)", 0, /needs 250 or later/],
    ["a systemd that seals for root alone", "systemd 252 (252.38)", 1000, /run this as root/],
    ["the same, for root", "systemd 252 (252.38)", 0, undefined],
    ["a systemd that seals for everybody", "systemd 256", 1000, undefined],
  ])("%s: whether it can seal, and the cure", async (_, version, uid, wanted) => {
    const script = `#!/bin/sh\necho "${version}"\n`;
    if (version) writeFileSync(join(bin, "systemd-creds"), script, { mode: 0o755 });
    const found = await creds({ uid, env: { PATH: bin } }).available();
    if (wanted) expect(found).toMatch(wanted);
    else expect(found).toBeUndefined();
  });

  it("a person's token is sealed in the person's scope, root's in the machine's", async () => {
    install("systemd-creds", program("creds", standInCreds()));
    await creds({ uid: 0 }).seal(tokenIn(canary));
    expect(readFileSync(seen, "utf8")).not.toContain("--user");
    await creds({ uid: 1000 }).seal(tokenIn(canary));
    expect(readFileSync(seen, "utf8")).toMatch(/^--user$/m);
  });

  it("a file that cannot be opened is told of with the cure, and without what is in it", async () => {
    install("systemd-creds", program("creds", standInCreds()));
    await creds().seal(tokenIn(canary));
    writeFileSync(file(), canary);
    const error = await creds()
      .unseal()
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CliError);
    expect(String(error)).toMatch(/op-token\.cred.*berth secrets seal/s);
    expect(String(error)).not.toContain(canary.slice(0, 12));
  });

  it.each(hasRealCreds ? [realCreds] : [])(
    "%s opens no sealed file that was changed, and none that was sealed for another name",
    async (real) => {
      install("systemd-creds", real);
      await creds().seal(tokenIn(canary));
      const bytes = readFileSync(file(), "utf8");
      const at = Math.floor(bytes.length / 2);
      writeFileSync(
        file(),
        bytes.slice(0, at) + (bytes[at] === "A" ? "B" : "A") + bytes.slice(at + 1),
      );
      await expect(creds().unseal()).rejects.toThrow(/cannot open/);
      const foreign = spawnSync(real, ["encrypt", "--name=other", "-", "-"], { input: canary });
      writeFileSync(file(), foreign.stdout);
      await expect(creds().unseal()).rejects.toThrow(/cannot open/);
    },
  );

  it("a program that fails and repeats what it got: no word of it is shown, and nothing is kept", async () => {
    install("systemd-creds", `sh -c 'cat >&2; exit 1' --`);
    const error = await creds()
      .seal(tokenIn(canary))
      .catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/did not seal.*exit code 1/);
    expect(String(error)).not.toContain(canary.slice(0, 12));
    expect(existsSync(file())).toBe(false);
  });

  it("a folder that cannot be written is told of with the variable that names another", async () => {
    install("systemd-creds", program("creds", standInCreds()));
    writeFileSync(join(folder, "kept"), "a file");
    await expect(creds().seal(tokenIn(canary))).rejects.toThrow(/BERTH_CREDENTIALS/);
    expect(await text(creds().unseal())).toBeUndefined();
  });
});

describe("the Keychain", () => {
  const keychain = () => sealerOf("keychain", host({ platform: "darwin" }));

  it("a token that the command would cut is refused before it is run", async () => {
    install("security", program("security", standInSecurity(keychainFile())));
    const long = `ops_${"A".repeat(4_000)}`;
    const error = await keychain()
      .seal(tokenIn(long))
      .catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/at most \d+ characters.*nothing was kept/);
    expect(existsSync(seen)).toBe(false);
    const most = Number(/at most (\d+)/.exec(String(error))?.[1]);
    await keychain().seal(tokenIn("A".repeat(most)));
    expect(await text(keychain().unseal())).toBe("A".repeat(most));
  });

  it.each(["two words", 'a"quote', "a\\backslash", "a'quote"])(
    "a token that would be read as something else is refused: %s",
    async (written) => {
      install("security", program("security", standInSecurity(keychainFile())));
      await expect(keychain().seal(tokenIn(written))).rejects.toThrow(/one word/);
      expect(existsSync(seen)).toBe(false);
    },
  );

  it("what was kept is read back: a Keychain that keeps another text keeps none, and it is told", async () => {
    const broken = standInSecurity(keychainFile()).replace(
      "args[at + 1]",
      "args[at + 1].slice(0, 128)",
    );
    install("security", program("security", broken));
    const error = await keychain()
      .seal(tokenIn(canary))
      .catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/did not keep the token/);
    expect(String(error)).not.toContain(canary.slice(0, 12));
    expect(await text(keychain().unseal())).toBeUndefined();
  });

  it("a locked Keychain is an error with the cure, not a missing token", async () => {
    install("security", "sh -c 'exit 36' --");
    await expect(keychain().unseal()).rejects.toThrow(/unlock-keychain/);
  });

  it("where there is no such command it says so", async () => {
    const none = sealerOf("keychain", host({ env: { PATH: bin } }));
    expect(await none.available()).toMatch(/comes with macOS/);
    await expect(none.unseal()).rejects.toThrow(/no security command/);
  });
});

describe("the choice", () => {
  it.each([
    ["linux", "systemd-creds"],
    ["darwin", "keychain"],
    ["freebsd", "prompt"],
  ] as const)("on %s it is %s", (platform, wanted) =>
    expect(ownSealer(host({ platform })).name).toBe(wanted),
  );

  it("without a terminal the prompt cannot be used, and says what can", async () => {
    expect(await sealerOf("prompt", host()).available()).toMatch(/--from-stdin/);
  });
});
