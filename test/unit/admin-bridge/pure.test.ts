import { afterEach, describe, expect, it } from "vitest";
import { isAllowed } from "../../../services/admin-bridge/access.ts";
import { mayWake, shouldRun, stateOf } from "../../../services/admin-bridge/agent-state.ts";
import { withoutFrames } from "../../../services/admin-bridge/engine.ts";
import { Limiter } from "../../../services/admin-bridge/limiter.ts";
import {
  mentionsOf,
  withoutCode,
  wordsAfterMention,
} from "../../../services/admin-bridge/mentions.ts";
import { Metrics } from "../../../services/admin-bridge/metrics.ts";
import { agentMode, isDockerMode } from "../../../services/admin-bridge/mode.ts";
import { randomPassword } from "../../../services/admin-bridge/passwords.ts";
import { codeBlock, inline, plainText } from "../../../services/admin-bridge/sanitise.ts";
import { proxyEndpoint, readSettings } from "../../../services/admin-bridge/settings.ts";
import { EngineError, wordEngineFailure } from "../../../services/admin-bridge/words.ts";

describe("isDockerMode", () => {
  const before = process.env.AGENT_MODE;
  afterEach(() => {
    if (before === undefined) delete process.env.AGENT_MODE;
    else process.env.AGENT_MODE = before;
  });

  for (const [value, docker] of [
    [undefined, true],
    ["docker", true],
    ["", true],
    ["LOCAL", true],
    ["anything", true],
    ["local", false],
  ] as const) {
    it(`E1: AGENT_MODE ${value === undefined ? "unset" : `"${value}"`} means ${docker ? "docker" : "local"}`, () => {
      if (value === undefined) delete process.env.AGENT_MODE;
      else process.env.AGENT_MODE = value;
      expect(isDockerMode()).toBe(docker);
      expect(agentMode()).toBe(docker ? "docker" : "local");
    });
  }
});

describe("the socket proxy's address", () => {
  it("A10: DOCKER_HOST unset is refused, since it means the Engine's own socket", () => {
    expect(() => proxyEndpoint(undefined)).toThrow(/DOCKER_HOST is not set.*socket proxy/);
    expect(() => proxyEndpoint("")).toThrow(/DOCKER_HOST is not set/);
  });
  for (const host of [
    "unix:///var/run/docker.sock",
    "unix:///run/docker.sock",
    "unix:///run/user/1000/docker.sock",
    "/var/run/docker.sock",
    "npipe:////./pipe/docker_engine",
    "ssh://root@host",
    "fd://",
    "http://docker-socket-proxy:2375",
  ]) {
    it(`A10: DOCKER_HOST ${host} is refused with a cure`, () => {
      expect(() => proxyEndpoint(host)).toThrow(/never uses the Engine's own socket; set it to/);
    });
  }
  it("A10: the proxy's TCP address is taken", () => {
    expect(proxyEndpoint("tcp://docker-socket-proxy:2375")).toEqual({
      host: "docker-socket-proxy",
      port: 2375,
    });
    expect(() => proxyEndpoint("tcp://no-port")).toThrow(/no tcp:\/\/host:port/);
  });
  it("every missing setting is named at once", () => {
    expect(() => readSettings({ DOCKER_HOST: "tcp://p:1" })).toThrow(
      "missing in the environment: BERTH_STACK, MATTERMOST_URL, BERTH_TEAM, BERTH_DEFAULT_IMAGE",
    );
  });
});

describe("when an agent runs", () => {
  const rows = [
    // activation, desired, contained → should run, may wake
    ["always", "auto", true, true, true],
    ["always", "running", true, true, true],
    ["always", "stopped", true, false, false],
    ["on-demand", "auto", true, false, true],
    ["on-demand", "running", true, true, true],
    ["on-demand", "stopped", true, false, false],
    ["manual", "auto", true, false, false],
    ["manual", "running", true, true, false],
    ["manual", "stopped", true, false, false],
    ["always", "auto", false, false, false],
    ["on-demand", "auto", false, false, false],
  ] as const;
  for (const [activation, desired, contained, run, wake] of rows) {
    const who = contained ? activation : `local ${activation}`;
    it(`A23: ${who}, wanted ${desired}: ${run ? "runs" : "does not run"} by itself, ${wake ? "wakes" : "does not wake"} on a message`, () => {
      expect(shouldRun({ activation, desired, contained })).toBe(run);
      expect(mayWake({ activation, desired, contained })).toBe(wake);
    });
  }
  it("a state is one of five words", () => {
    const facts = { activation: "on-demand", desired: "auto", contained: true } as const;
    expect(stateOf({ ...facts, running: true, failed: true })).toBe("running");
    expect(stateOf({ ...facts, running: false, failed: true })).toBe("failed");
    expect(stateOf({ ...facts, running: false, failed: false })).toBe("asleep");
    expect(stateOf({ ...facts, desired: "stopped", running: false, failed: false })).toBe(
      "stopped",
    );
    expect(stateOf({ ...facts, activation: "manual", running: false, failed: false })).toBe(
      "stopped",
    );
    expect(stateOf({ ...facts, contained: false, running: false, failed: false })).toBe("local");
  });
});

describe("mentions", () => {
  for (const [message, names] of [
    ["@lal fix it", ["lal"]],
    ["hello @Lal!", ["lal"]],
    ["(@lal)", ["lal"]],
    ["@lal, @data: both", ["lal", "data:", "data"]],
    ["@lal.", ["lal.", "lal"]],
    ["@lal-", ["lal-", "lal"]],
    ["@lal-two", ["lal-two"]],
    [":@lal", ["lal"]],
    ["mail me at x@lal.example", []],
    ["lal", []],
    ["`@lal`", []],
    ["``a ` @lal``", []],
    ["`open @lal", ["lal"]],
    ["```\n@lal\n```", []],
    ["~~~sh\n@lal\n~~~\n@data", ["data"]],
    ["```\n@lal", []],
    ["text\n\n    @lal", []],
    ["text\n    @lal", ["lal"]],
    ["> @lal", ["lal"]],
    ["**@lal**", ["lal"]],
  ] as const) {
    it(`${JSON.stringify(message)} mentions ${names.join(" ") || "nobody"}`, () => {
      expect([...mentionsOf(message)]).toEqual(names);
    });
  }
  it("a command is what follows the mention", () => {
    expect(wordsAfterMention("@berth stop lal", "berth")).toEqual(["stop", "lal"]);
    expect(wordsAfterMention("hey @berth: stop  lal", "berth")).toEqual(["stop", "lal"]);
    expect(wordsAfterMention("status", "berth")).toEqual(["status"]);
    expect(wordsAfterMention("@berthold stop lal", "berth")).toEqual(["@berthold", "stop", "lal"]);
  });
  it("code is taken out of long lines in linear time", () => {
    const begin = Date.now();
    withoutCode("`".repeat(16_000));
    withoutCode("` ".repeat(8_000));
    withoutCode(Array.from({ length: 170 }, (_, i) => "`".repeat(i + 1)).join(" "));
    expect(Date.now() - begin).toBeLessThan(500);
  });
});

describe("access", () => {
  for (const [mode, users, name, allowed] of [
    ["open", undefined, "eve", true],
    ["allowlist", ["ada"], "ada", true],
    ["allowlist", ["Ada"], "ada", true],
    ["allowlist", ["ada"], "eve", false],
    ["allowlist", undefined, "ada", false],
    ["blocklist", ["eve"], "eve", false],
    ["blocklist", ["eve"], "ada", true],
  ] as const) {
    it(`${mode} ${users ?? "-"}: ${name} is ${allowed ? "allowed" : "refused"}`, () => {
      const person = { id: "id", username: name };
      const access = { mode, ...(users ? { users } : {}) };
      expect(isAllowed(access, person, () => undefined)).toBe(allowed);
    });
  }
  it("a block holds for the blocked account under a new name, a permission does not", () => {
    const renamed = { id: "id-of-eve", username: "innocent" };
    const holderOf = (name: string) => (name === "eve" ? "id-of-eve" : undefined);
    expect(isAllowed({ mode: "blocklist", users: ["eve"] }, renamed, holderOf)).toBe(false);
    expect(isAllowed({ mode: "allowlist", users: ["eve"] }, renamed, holderOf)).toBe(false);
  });
});

describe("foreign text in a post", () => {
  it("has no control characters, escape sequences or invisible characters", () => {
    expect(plainText("a\u001b[31mred\u001b[0m\u0007\u202eb\u200bc\r\nd\u001b]0;title\u0007e")).toBe(
      "aredbc\nde",
    );
  });
  it("mentions nobody", () => {
    for (const name of ["all", "here", "channel", "lal"]) {
      expect(inline(`@${name}`)).not.toContain(`@${name}`);
      expect(codeBlock(`@${name}`)).not.toContain(`@${name}`);
    }
  });
  it("cannot leave its code block", () => {
    const block = codeBlock("x\n```\n@all **free**");
    expect(block.split("\n").filter((line) => line.startsWith("```"))).toEqual(["```text", "```"]);
  });
  it("is cut at its beginning where it is long, since the end of a log matters", () => {
    const block = codeBlock(`${"a".repeat(20_000)}END`);
    expect(block.length).toBeLessThan(12_100);
    expect(block).toContain("END\n```");
  });
});

describe("failures in words", () => {
  it("E14: a missing image is said with its name and the cure", () => {
    const words = wordEngineFailure(new EngineError(404, "No such image: x"), "start lal", "x:1");
    expect(words).toBe(
      'I could not start lal: The image x:1 is not on this host ("No such image"). Cure: `pulumi up` builds or pulls it.',
    );
  });
  for (const code of ["ECONNREFUSED", "ENOENT", "ENOTFOUND", "ETIMEDOUT", "ECONNRESET"]) {
    it(`E14: ${code} on the way to the Engine is said without its jargon`, () => {
      const words = wordEngineFailure(new Error(`connect ${code} 10.0.0.1:2375`), "start lal");
      expect(words).toMatch(/the socket proxy does not answer.*Agents that run go on running/);
      expect(words).not.toContain(code);
    });
  }
  it("E14: the socket proxy's words for a missing image and for an Engine that is away are understood too", () => {
    const missing = "berth: start denied: the declared image is not on this Engine [image-missing]";
    expect(wordEngineFailure(new EngineError(409, missing), "start lal")).toMatch(
      /"No such image"/,
    );
    expect(wordEngineFailure(new EngineError(502, "berth: down"), "start lal")).toMatch(
      /or Docker behind it does not/,
    );
  });
  it("E14: a missing container and a refusal have their own sentences", () => {
    expect(wordEngineFailure(new EngineError(404, "No such container: x"), "start lal")).toMatch(
      /its container is not there/,
    );
    expect(wordEngineFailure(new EngineError(403, "differs"), "start lal")).toMatch(
      /the socket proxy refused it \(differs\)/,
    );
  });
});

describe("small parts", () => {
  it("a password has four classes, at least 20 characters, and is never the same", () => {
    const made = Array.from({ length: 200 }, () => randomPassword());
    for (const password of made) {
      expect(password.length).toBeGreaterThanOrEqual(20);
      for (const wanted of [/[a-z]/, /[A-Z]/, /[0-9]/, /[-_.+=]/, /^[a-z]\S+$/]) {
        expect(password).toMatch(wanted);
      }
    }
    expect(new Set(made).size).toBe(200);
  });
  it("a limiter lets its number through and then nothing until the window has passed", () => {
    const limiter = new Limiter(2, 1_000);
    expect([0, 1, 2, 999, 1_000].map((at) => limiter.allows("k", at))).toEqual([
      true,
      true,
      false,
      false,
      true,
    ]);
    expect(limiter.allows("other", 2)).toBe(true);
  });
  it("frames of a multiplexed log become its text, and a terminal's log stays as it is", () => {
    const frame = (stream: number, text: string) => {
      const head = Buffer.alloc(8);
      head[0] = stream;
      head.writeUInt32BE(Buffer.byteLength(text), 4);
      return Buffer.concat([head, Buffer.from(text)]);
    };
    const long = "é".repeat(300);
    expect(withoutFrames(Buffer.concat([frame(1, `${long}\n`), frame(2, "err\n")]))).toBe(
      `${long}\nerr\n`,
    );
    expect(withoutFrames(Buffer.from("plain text\n"))).toBe("plain text\n");
  });
  it("metrics are Prometheus text", () => {
    const metrics = new Metrics();
    metrics.counter("c_total", "A counter.", true);
    metrics.histogram("h_seconds", "A histogram.");
    metrics.add("c_total", { a: 'x"y\\z' });
    metrics.observe("h_seconds", 0.004);
    const text = metrics.render();
    expect(text).toContain('c_total{a="x\\"y\\\\z"} 1');
    expect(text).toContain('h_seconds_bucket{le="0.0025"} 0');
    expect(text).toContain('h_seconds_bucket{le="0.005"} 1');
    expect(text).toContain('h_seconds_bucket{le="+Inf"} 1');
  });
});
