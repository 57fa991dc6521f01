import { existsSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engine, engineAnswer, inspect, labelled, until } from "../support/engine.ts";
import { type Said, said, tinyDisk, WorkingCopy } from "../support/working-copy.ts";

let copy: WorkingCopy;
let first: Said;

beforeAll(async () => {
  copy = await WorkingCopy.create("make");
});
afterAll(() => copy.remove());

/** Passwords in what a command said. */
const passwords = ({ stdout, stderr }: Said) =>
  [...`${stdout}${stderr}`.matchAll(/^password: (\S+)/gm)].map((match) => match[1]);

/** @throws the command's words where it did not end well */
function mustBeDone(result: Said): Said {
  expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(0);
  return result;
}

describe("a machine that is not ready", () => {
  it("a port in use: `make up` ends with one message that names the port and the cure, before it makes anything", async () => {
    const server = createServer();
    await new Promise<void>((resolve) =>
      server.listen(copy.mattermostPort, "127.0.0.1", () => resolve()),
    );
    try {
      const [up, doctor] = await Promise.all([copy.make("up"), copy.make("doctor")]);
      expect(up.code).not.toBe(0);
      expect(up.stderr.match(new RegExp(`port ${copy.mattermostPort}\\b`, "g"))).toHaveLength(1);
      for (const text of [up.stderr, doctor.stdout]) {
        expect(text).toMatch(
          new RegExp(
            `FAIL {2}port ${copy.mattermostPort}: .*EADDRINUSE\\n +cure: .*berth:mattermostPort in Pulumi.${copy.stack}.yaml`,
          ),
        );
        expect(text).not.toMatch(/^\s+at /m);
      }
      expect(doctor.code).not.toBe(0);
      expect(await labelled(copy.stack)).toEqual([]);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("a full disk: `make doctor` names the place and the cure", async () => {
    const disk = tinyDisk();
    try {
      const { code, stdout } = await copy.make("doctor", { XDG_CACHE_HOME: disk.path });
      expect(code).not.toBe(0);
      expect(stdout).toMatch(
        new RegExp(`FAIL {2}disk of the cache: 0.0 GiB free at ${disk.path}.*\\n +cure: make room`),
      );
    } finally {
      disk.remove();
    }
  });

  it("an Engine that does not answer: one message with the cure", async () => {
    const away = { DOCKER_HOST: "unix:///run/berth-no-such-engine.sock" };
    const [up, doctor] = await Promise.all([copy.make("up", away), copy.make("doctor", away)]);
    for (const { code, text } of [
      { code: up.code, text: up.stderr },
      { code: doctor.code, text: doctor.stdout },
    ]) {
      expect(code).not.toBe(0);
      expect(text).toMatch(/FAIL {2}engine: no Engine answers at .*\n +cure: .*unset DOCKER_HOST/);
    }
  });
});

describe("make up", () => {
  it("goes on after a Pulumi that was killed half-way, and ends with all that a person needs", async () => {
    const cutOff = copy.start("make", ["-s", "up"]);
    const end = said(cutOff);
    await until("Pulumi to have made something", async () =>
      (await labelled(copy.stack)).some((object) => object.startsWith("container:")),
    );
    for (const pid of await copy.pulumis()) process.kill(pid, "SIGKILL");
    expect((await end).code).not.toBe(0);

    first = mustBeDone(await copy.make("up"));
    expect(first.stderr).toMatch(/removed the lock of a run that was killed/);
    for (const stage of [
      "doctor",
      "pulumi",
      "engine",
      "images",
      "pulumi up",
      "first person",
      "agents",
    ]) {
      expect(first.stderr).toMatch(new RegExp(`^${stage}: .* \\([0-9]+\\.[0-9] s\\)$`, "m"));
    }
    expect(first.stderr).toMatch(/^total: [0-9.]+ s in all: /m);
    expect(first.stdout).toMatch(/^data says: \S/m);
    expect(first.stdout).toMatch(/^chat server: berth's stand-in for Mattermost/m);
    expect(first.stdout).toContain(`chat: http://127.0.0.1:${copy.mattermostPort}\n`);
    expect(first.stdout).toMatch(/^user: operator$/m);
    expect(passwords(first)).toHaveLength(1);
  });

  it("gives the password and the address that people log in with", async () => {
    const answer = await fetch(`http://127.0.0.1:${copy.mattermostPort}/api/v4/users/login`, {
      method: "POST",
      body: JSON.stringify({ login_id: "operator", password: passwords(first)[0] }),
    });
    expect(answer.status).toBe(200);
  });

  it("keeps other users of the host out of the sockets' directory", () => {
    expect(statSync("/run/berth").mode & 0o777).toBe(0o700);
  });

  it("a second time: nothing changes, no password is shown, and what was down runs again", async () => {
    const store = `berth-${copy.stack}-secret-store`;
    await engine(`/containers/${store}/stop?t=1`, "POST");
    const second = mustBeDone(await copy.make("up"));
    expect(second.stderr).toMatch(/^pulumi up: nothing to change /m);
    expect(second.stderr).toMatch(/started what was down: secret-store$/m);
    expect(second.stderr).toMatch(/^first person: operator has an account already /m);
    expect(passwords(second)).toEqual([]);
    expect((await inspect(store)).State.Running).toBe(true);
  });
});

describe("a stack that is up", () => {
  it("wait, status and logs tell of its agents", async () => {
    const [wait, status, json, logs] = (
      await Promise.all([
        copy.berth("wait", "--timeout", "60"),
        copy.berth("status"),
        copy.berth("status", "--json"),
        copy.berth("logs", "data"),
      ])
    ).map(mustBeDone);
    expect(wait?.stdout).toMatch(/^data: \S/m);
    expect(status?.stdout).toMatch(/^data +always +running +yes/m);
    expect(JSON.parse(json?.stdout ?? "")).toMatchObject({ stack: copy.stack, ready: true });
    const lines = (logs?.stdout ?? "").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line) as { event: string })).toContainEqual(
      expect.objectContaining({ event: "agent", agent: "data" }),
    );
  });

  it("a part that is not there is one sentence", async () => {
    const { code, stderr } = await copy.berth("logs", "nobody");
    expect(code).toBe(1);
    expect(stderr.trim().split("\n")).toEqual([
      expect.stringMatching(/^berth: no log of "nobody" in the stack/),
    ]);
  });

  it("`user add` prints a new person's password once", async () => {
    expect(passwords(mustBeDone(await copy.berth("user", "add", "ada")))).toHaveLength(1);
    const again = mustBeDone(await copy.berth("user", "add", "ada"));
    expect(again.stdout).toBe("ada has an account already\n");
  });

  it("`make env` gives a shell Pulumi, berth and the stack's name and addresses, and prints nothing else", async () => {
    const script = `
      set -eu
      exports=$(make -s env)
      eval "$exports"
      ! grep -v '^export [A-Z_]*=' <<<"$exports"
      cd / && cd "$OLDPWD"
      pulumi stack output mattermostUrl
      echo "$STACK $ADMIN_URL $CHAT_URL"
      test -n "$NODE_COMPILE_CACHE"
      cd / && berth status`;
    const shell = mustBeDone(await copy.run("bash", ["-c", script]));
    const chat = `http://127.0.0.1:${copy.mattermostPort}`;
    const [url, names, ...status] = shell.stdout.trim().split("\n");
    expect(url).toBe(chat);
    expect(names).toBe(`${copy.stack} http://127.0.0.1:${copy.adminPort} ${chat}`);
    expect(status[0]).toBe(`stack ${copy.stack}: ready`);
    expect(shell.stderr).toBe("");
  });

  it("`make doctor` finds every precondition met", async () => {
    const { stdout } = mustBeDone(await copy.make("doctor"));
    expect(stdout).toContain(`ok    port ${copy.mattermostPort}: used by this stack`);
    expect(stdout).toContain("ok    mode of /run/berth: 0700");
    expect(stdout).not.toContain("FAIL");
  });
});

describe("make down", () => {
  it("leaves the retained workspaces and nothing else, and an Engine that others use alone", async () => {
    const down = mustBeDone(await copy.make("down"));
    const kept = ["data", "lal"].map((agent) => `berth-${copy.stack}-${agent}-workspace`);
    expect(down.stdout).toContain(`${kept.join(", ")}\n`);
    expect(await labelled(copy.stack)).toEqual(kept.map((name) => `volume:${name}`));
    expect(existsSync(`/run/berth/${copy.stack}`)).toBe(false);
    expect(down.stderr).toMatch(/^engine: left running/m);
    expect((await engineAnswer("/_ping")).status).toBe(200);
  });

  it("a second time: there is nothing to take away", async () => {
    const again = mustBeDone(await copy.make("down"));
    expect(again.stderr).not.toMatch(/removed what Pulumi did not know/);
  });
});
