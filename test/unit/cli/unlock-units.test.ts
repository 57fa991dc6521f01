import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { subcommands } from "../../../cli/commands/secrets.ts";
import { sealedFile } from "../../../cli/secrets/sealer.ts";
import { tokenName } from "../../../cli/secrets/token.ts";

const root = join(import.meta.dirname, "../../..");
const unitName = "berth-unlock@.service";
const unit = readFileSync(join(root, "docs/secrets", unitName), "utf8");
const plist = readFileSync(join(root, "docs/secrets/sh.berth.unlock.plist"), "utf8");
/** Where both say that the project is. */
const place = "/opt/berth";

/** The settings of a unit's section, in their order. */
function settings(section: string): [key: string, value: string][] {
  const from = unit.slice(unit.indexOf(`\n[${section}]\n`) + section.length + 4);
  return from
    .slice(0, from.search(/^\[/m) < 0 ? undefined : from.search(/^\[/m))
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]);
}
const setting = (key: string) => settings("Service").find(([found]) => found === key)?.[1];

/** What stands in a property list, as plain values. Its nodes are few. */
function readPlist(text: string): unknown {
  const tokens = [...text.replace(/<!--.*?-->/gs, "").matchAll(/<(\/?)(\w+)[^>]*?(\/?)>([^<]*)/g)];
  let at = tokens.findIndex((token) => token[2] === "plist") + 1;
  const value = (): unknown => {
    const [, , tag = "", isEmpty, inner = ""] = tokens[at++] ?? [];
    if (isEmpty) return tag === "true";
    const isEnd = () => tokens[at]?.[1] === "/" && tokens[at]?.[2] === tag;
    if (tag === "dict") {
      const members: Record<string, unknown> = {};
      while (!isEnd()) {
        const key = String(value());
        members[key] = value();
      }
      at++;
      return members;
    }
    if (tag === "array") {
      const items: unknown[] = [];
      while (!isEnd()) items.push(value());
      at++;
      return items;
    }
    if (!isEnd()) throw new Error(`not closed: ${tag}`);
    at++;
    const plain = inner.replaceAll("&gt;", ">").replaceAll("&lt;", "<").replaceAll("&amp;", "&");
    return tag === "integer" ? Number(plain) : plain;
  };
  return value();
}

/** A command line as the operator's command reads it: the program, the command, a known subcommand and its known options. */
function expectCommand([program = "", ...args]: readonly string[]): void {
  expect(program.startsWith(`${place}/`)).toBe(true);
  expect(statSync(join(root, program.slice(place.length))).mode & 0o111).not.toBe(0);
  expect(args[0]).toBe("secrets");
  const command = subcommands[args[1] ?? ""];
  for (const option of args.slice(2)) expect(command?.usage).toContain(option);
  expect(args).toContain("--watch");
}

describe("the systemd unit", () => {
  it("runs a command that there is, for the stack of its name, after the Engine", () => {
    expectCommand((setting("ExecStart") ?? "").split(" "));
    expect(setting("Environment")).toContain("BERTH_STACK=%i");
    expect(settings("Unit")).toContainEqual(["After", "docker.service"]);
    expect(setting("SuccessExitStatus")).toBe("143");
  });

  it("B8: has the token by the name and from the file that `secrets seal` as root keeps", () => {
    const host = { platform: "linux" as const, env: {}, uid: 0, home: "/root", ask: undefined };
    const file = sealedFile({ ...host, stack: "%i" });
    expect(setting("LoadCredentialEncrypted")).toBe(`${tokenName}:${file}`);
    expect(settings("Unit")).toContainEqual(["ConditionPathExists", file]);
  });

  it("names no token, and no value for one", () =>
    expect(unit).not.toMatch(/ops_|eyJ|SetCredential/));

  const analyze = "/usr/bin/systemd-analyze";
  it.each(existsSync(analyze) ? [analyze] : [])(
    "%s finds nothing wrong with it, and little that it could do",
    (program) => {
      const folder = mkdtempSync(join(tmpdir(), "berth-unit-"));
      try {
        const file = join(folder, unitName);
        // The program must be there to be found executable.
        writeFileSync(file, unit.replaceAll(place, root));
        const verified = spawnSync(program, ["verify", "--man=no", "--recursive-errors=no", file], {
          encoding: "utf8",
        });
        expect([verified.status, verified.stderr]).toEqual([0, ""]);
        // In tenths of its points; 100 is a unit without any restriction.
        const secure = spawnSync(program, ["security", "--offline=yes", "--threshold=15", file], {
          encoding: "utf8",
          env: { ...process.env, SYSTEMD_PAGER: "" },
        });
        expect(secure.status, secure.stdout).toBe(0);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});

describe("the LaunchAgent", () => {
  const agent = readPlist(plist) as {
    Label: string;
    ProgramArguments: string[];
    EnvironmentVariables: Record<string, string>;
  };

  it("runs a command that there is, at every login and again whenever it ends", () => {
    const [shell, option, script, ...command] = agent.ProgramArguments;
    expect([shell, option]).toEqual(["/bin/sh", "-c"]);
    expect(script).toMatch(/^exec "\$0" "\$@" 2>>"\$HOME\//);
    expectCommand(command);
    expect(agent).toMatchObject({ Label: "sh.berth.unlock", RunAtLoad: true, KeepAlive: true });
    expect(agent.EnvironmentVariables.BERTH_STACK).toMatch(/^[a-z][a-z0-9-]*$/);
  });

  it("its shell starts the command with the words after the script, and keeps what it says", () => {
    const folder = mkdtempSync(join(tmpdir(), "berth-agent-"));
    try {
      const [shell = "", ...args] = agent.ProgramArguments;
      const own = args.map((arg) => (arg.startsWith(place) ? "/bin/echo" : arg));
      own[1] = (own[1] ?? "").replace("Library/Logs/", "");
      const ran = spawnSync(shell, own, { encoding: "utf8", env: { HOME: folder } });
      expect(ran.stdout).toBe("secrets unlock --watch\n");
      expect(existsSync(join(folder, "berth-unlock.log"))).toBe(true);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("names no token", () => expect(plist).not.toMatch(/ops_|eyJ/));
});
