import { createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { linesOf } from "../../../cli/commands/doctor.ts";
import {
  type Check,
  checkClient,
  checkClock,
  checkDisk,
  checkEngine,
  checkImages,
  checkPorts,
  checkRunDirectory,
} from "../../../cli/doctor.ts";
import type { EngineClient, EngineInfo } from "../../../cli/engine-api.ts";
import { hostConfigIn } from "../../../cli/stack-config.ts";
import { EngineError, findEngine, ownEngine } from "../../../cli/toolchain/engine.ts";

const now = Date.parse("2026-12-01T12:00:00Z");
const good: EngineInfo = {
  DockerRootDir: "/var/lib/docker",
  Driver: "overlay2",
  MemoryLimit: true,
  SwapLimit: true,
  PidsLimit: true,
  CpuCfsQuota: true,
  NCPU: 4,
  MemTotal: 8e9,
  SystemTime: new Date(now).toISOString(),
  OperatingSystem: "Debian GNU/Linux 13 (trixie)",
  CgroupVersion: "2",
};
const bad = (checks: readonly Check[]) => checks.filter((check) => check.state !== "ok");

describe("the Engine", () => {
  it("a good one passes every check", () =>
    expect(bad(checkEngine("29.5.1", good, now))).toEqual([]));

  it("known trouble of its version is named: what is bad with its cure, what cannot be reached in one line", () => {
    const checks = checkEngine("27.5.1", good, now);
    expect(bad(checks).map(({ name, state }) => [name, state])).toEqual([
      ["published ports", "note"],
      ["kernel", "note"],
    ]);
    expect(
      bad(checks)
        .map(({ says }) => says)
        .join(),
    ).toMatch(/moby#45610.*CVE-2026-31431/s);
    const others = checks.find(({ name }) => name === "engine advisories");
    expect(others?.says).toMatch(/CVE-2026-34040, CVE-2026-41567, CVE-2026-42306$/);
  });

  it.each([
    ["19.03.15", {}, "engine version", "failed"],
    ["20.9.0", {}, "engine version", "failed"],
    ["20.10.24+dfsg1", {}, "engine version", "note"],
    ["20.10.24+dfsg1", {}, "internal networks", "note"],
    ["23.0.10", {}, "internal networks", "note"],
    ["24.0.9", {}, "internal networks", "note"],
    ["25.0.4", {}, "internal networks", "note"],
    ["29.2.1", {}, "API", "note"],
    ["28.5.2", { MemoryLimit: false }, "cgroup limits", "failed"],
    ["28.5.2", { PidsLimit: false }, "cgroup limits", "failed"],
    ["28.5.2", { SwapLimit: false }, "cgroup limits", "note"],
    ["28.5.2", { NCPU: 1 }, "cpus", "failed"],
    ["28.5.2", { Driver: "vfs" }, "storage driver", "note"],
    ["28.5.2", { OperatingSystem: "Docker Desktop" }, "engine kind", "failed"],
    ["28.5.2", { SystemTime: "2026-12-01T12:01:00Z" }, "engine clock", "failed"],
  ] as const)("%s with %j: %s is %s, with a cure", (version, change, name, state) => {
    const found = bad(checkEngine(version, { ...good, ...change }, now));
    expect(found.find((check) => check.name === name)).toMatchObject({
      state,
      cure: expect.stringMatching(/\S/),
    });
  });

  it.each(["23.0.11", "25.0.5", "26.1.5+dfsg1", "28.5.2"])(
    "%s keeps DNS questions of internal networks inside",
    (version) =>
      expect(bad(checkEngine(version, good, now)).map((check) => check.name)).not.toContain(
        "internal networks",
      ),
  );
});

describe("the machine", () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  /** A port that something listens on. */
  async function takenPort(): Promise<number> {
    const taken = createServer();
    server = taken;
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", () => resolve()));
    const address = taken.address();
    return address && typeof address === "object" ? address.port : 0;
  }

  it("a port in use fails, and the cure names the command and the config key", async () => {
    const port = await takenPort();
    const config = hostConfigIn(`config:\n  berth:mattermostPort: ${port}\n  berth:adminPort: 1\n`);
    const [check] = await checkPorts({ ...config, adminPort: port }, "dev");
    expect(check).toMatchObject({ state: "failed", says: expect.stringContaining("EADDRINUSE") });
    expect(check?.cure).toContain("berth:mattermostPort");
    expect(check?.cure).toContain("Pulumi.dev.yaml");
  });

  it("a port that this stack itself publishes is no failure", async () => {
    const port = await takenPort();
    const engine: EngineClient = {
      endpoint: { socketPath: "/none" },
      request: async () => ({
        status: 200,
        headers: {},
        text: JSON.stringify([{ Ports: [{ PublicPort: port }, {}] }]),
      }),
      stream: () => Promise.reject(new Error("not asked")),
    };
    const config = { ...hostConfigIn(""), mattermostPort: port, adminPort: port };
    expect(bad(await checkPorts(config, "dev", engine))).toEqual([]);
  });

  it("a clock before the release fails; one after it passes", () => {
    expect(checkClock(0).state).toBe("failed");
    expect(checkClock(now).state).toBe("ok");
  });

  it("a folder that is not there yet is judged by the file system it will be on", async () => {
    expect((await checkDisk("disk", "/var/lib/berth-none/engine")).says).toContain("GiB free");
  });

  it("sockets on disk are noted, unless `up` will mount RAM", () => {
    const open = { mode: 0o700, isRoot: false };
    expect(bad(checkRunDirectory({ ...open, isRam: true, canMount: false }))).toEqual([]);
    expect(bad(checkRunDirectory({ ...open, isRam: false, canMount: true }))).toEqual([]);
    expect(bad(checkRunDirectory({ ...open, isRam: false, canMount: false }))).toMatchObject([
      { name: "/run/berth", state: "note", cure: expect.stringContaining("mount -t tmpfs") },
    ]);
  });

  it.each([undefined, 0o755, 0o711, 0o750])(
    "a directory of sockets with mode %o is noted with the cure, unless `up` will close it",
    (mode) => {
      const facts = { isRam: true, canMount: false, mode };
      expect(bad(checkRunDirectory({ ...facts, isRoot: true }))).toEqual([]);
      expect(bad(checkRunDirectory({ ...facts, isRoot: false }))).toMatchObject([
        { name: "mode of /run/berth", state: "note", cure: expect.stringContaining("-m 0700") },
      ]);
    },
  );

  it("images that are missing fail only where they cannot be built", () => {
    expect(checkImages([], false).state).toBe("ok");
    expect(checkImages(["postgres"], true).state).toBe("ok");
    expect(checkImages(["postgres"], false)).toMatchObject({
      state: "failed",
      says: expect.stringContaining("postgres"),
      cure: expect.stringContaining("as root"),
    });
  });

  it("a missing docker client is a note, never a failure", () =>
    expect(checkClient({ PATH: "/none" }).state).toBe("note"));

  it.each([
    ["unix:///nowhere/docker.sock", /unset DOCKER_HOST/],
    ["ssh://deploy@docker.example.com", /ssh -nNT -L/],
  ])(
    "an Engine at %s that cannot be worked with: what is wrong and the cure, apart",
    async (url, cure) => {
      const own = ownEngine("/nowhere");
      const error = await findEngine({ DOCKER_HOST: url }, own).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(EngineError);
      expect(error).toMatchObject({
        problem: expect.stringContaining(url),
        cure: expect.stringMatching(cure),
      });
    },
  );

  it("a failure's cure stands under it", () => {
    const lines = linesOf([{ name: "x", state: "failed", says: "bad", cure: "mend it" }]);
    expect(lines).toEqual(["FAIL  x: bad", "      cure: mend it"]);
  });
});

describe("what the command reads of a stack's config file", () => {
  it("nothing said: the defaults", () =>
    expect(hostConfigIn("config: {}\n")).toEqual({
      dockerHost: undefined,
      bindAddress: "127.0.0.1",
      mattermostPort: 8065,
      adminPort: 8066,
      operator: "operator",
      secrets: { provider: "development", via: "sdk", opPath: undefined },
    }));

  it.each([
    ['  berth:dockerHost: "unix:///x.sock"', { dockerHost: "unix:///x.sock" }],
    ['  berth:dockerHost: ""', { dockerHost: undefined }],
    ["  berth:mattermostPort: 9000 # mine", { mattermostPort: 9000 }],
    ['  berth:adminPort: "9001"', { adminPort: 9001 }],
    ["  berth:operators:\n    - ada\n    - bob", { operator: "ada" }],
    ['  berth:operators: ["ada"]', { operator: "ada" }],
    [
      '  berth:secrets: { "provider": "onepassword", "via": "op", "opPath": "/usr/bin/op" }',
      { secrets: { provider: "onepassword", via: "op", opPath: "/usr/bin/op" } },
    ],
    [
      '  berth:secrets: \'{"provider":"onepassword"}\'',
      { secrets: { provider: "onepassword", via: "sdk", opPath: undefined } },
    ],
    [
      "  berth:secrets:\n    # via: op\n    provider: onepassword\n\n    via: connect # mine\n  berth:x:\n    opPath: /x",
      { secrets: { provider: "onepassword", via: "connect", opPath: undefined } },
    ],
    [
      "  berth:x:\n    provider: onepassword",
      { secrets: { provider: "development", via: "sdk", opPath: undefined } },
    ],
  ])("%j is understood", (line, wanted) =>
    expect(hostConfigIn(`config:\n${line}\n`)).toMatchObject(wanted),
  );
});
