import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { defineAgent } from "../../agents/define.ts";
import type { Inquiry, Obstacle, VaultQuestion } from "../../components/internal/onepassword.ts";
import { type Ask, checkVaults } from "../../components/vault-check.ts";
import { readConfig } from "../../config.ts";
import type { Declaration } from "../../spec/declaration.ts";
import type { WithReferences } from "../../spec/secrets.ts";
import { graphWith } from "./run.ts";

// What the preview says of vaults and items; 1Password's answers are given here. `test/unit/components` asks by real processes.

const said: { readonly level: string; readonly text: string }[] = [];
const settings = (more: object = {}) =>
  readConfig({ "berth:secrets": { provider: "onepassword", ...more } }, "dev").secrets;
const agent = (name: string, members: Partial<WithReferences>) =>
  ({ name, secrets: {}, ...members }) as Declaration;
const answering = (inquiry: Inquiry) => vi.fn<Ask>(async () => inquiry);
const preview = (isPreview: boolean) =>
  pulumi.runtime.setMocks(
    {
      newResource: () => {
        throw new Error("the check makes no resource");
      },
      call: () => {
        throw new Error("the check asks nothing of Pulumi's engine");
      },
    },
    "berth",
    "dev",
    isPreview,
  );

const fleet = [
  agent("lal", {
    secrets: { A: "op://agents/lal/one", B: { from: "op://Agents/LAL/two", as: "file" } },
    configFiles: { "config.json": { template: { bot: "x {{ op://shared/bot/token }}" } } },
  }),
  agent("worf", {
    secrets: {
      C: "env:C",
      KEY: { from: "op://agents/worf/key", generate: 32 },
      ODD: { from: "op://agents/odd/key", generate: 32 },
    },
    endpoints: {
      model: {
        url: "https://model.example.com",
        headers: { authorization: "Bearer {{ op://agents/odd/model }}" },
      },
    },
  }),
];

beforeEach(async () => {
  said.length = 0;
  for (const level of ["info", "warn", "error"] as const)
    vi.spyOn(pulumi.log, level).mockImplementation(async (text) => {
      said.push({ level, text });
    });
  for (const name of Object.keys(process.env).filter((name) => name.startsWith("OP_")))
    vi.stubEnv(name, "");
  await preview(true);
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe("the preview's look at 1Password", () => {
  it.each([
    ["the provider is another", settings({ provider: "development" }), fleet, true],
    ["it is switched off", settings({ check: false }), fleet, true],
    ["nothing is of 1Password", settings(), [agent("lal", { secrets: { A: "env:A" } })], true],
    ["this is no preview", settings(), fleet, false],
  ])("nobody is asked where %s", async (_, secrets, declarations, isPreview) => {
    await preview(isPreview);
    const ask = answering({ findings: [], obstacle: "away" });
    await checkVaults(secrets, declarations, ask);
    expect(ask).not.toHaveBeenCalled();
    expect(said).toEqual([]);
  });

  it("asks once for each vault and item of secrets, config files and endpoints, whatever their case", async () => {
    const ask = answering({ findings: [] });
    await checkVaults(settings({ via: "connect", connectUrl: "http://10.0.0.5:8080" }), fleet, ask);
    expect(ask).toHaveBeenCalledTimes(1);
    expect(ask).toHaveBeenCalledWith(
      [
        { vault: "agents", items: ["lal", "worf", "odd"] },
        { vault: "shared", items: ["bot"] },
      ] satisfies VaultQuestion[],
      "connect",
    );
  });

  it("A4: says nothing where everything is there", async () => {
    const findings = [
      { vault: "agents", state: "found" },
      { vault: "agents", item: "lal", state: "found" },
    ] as const;
    await checkVaults(settings(), fleet, answering({ findings }));
    expect(said).toEqual([]);
  });

  it("fails with everything that is not there, each with its agents and places, and no stack trace", async () => {
    const checked = checkVaults(
      settings(),
      fleet,
      answering({
        findings: [
          { vault: "shared", state: "missing" },
          { vault: "agents", state: "found" },
          { vault: "agents", item: "lal", state: "several" },
          { vault: "agents", item: "odd", state: "missing" },
        ],
      }),
    );
    const error = await checked.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(pulumi.RunError.isInstance(error)).toBe(true);
    const { message, stack } = error as Error;
    expect(message.split("\n").filter((line) => line.startsWith("  - "))).toEqual([
      '  - item "lal" of vault "agents" is there more than once: lal (secrets.A, secrets.B)',
      '  - item "odd" of vault "agents" is not there: worf (secrets.ODD, endpoints.model.headers.authorization)',
      '  - vault "shared" is not there: lal (configFiles.config.json.bot)',
    ]);
    expect(message).toContain('"check": false');
    expect(stack).toBe("");
  });

  it("an item of generated secrets alone is no error: `berth secrets create` makes it", async () => {
    const findings = [{ vault: "agents", item: "worf", state: "missing" }] as const;
    await checkVaults(settings(), fleet, answering({ findings }));
    expect(said).toEqual([
      {
        level: "info",
        text: 'Items that 1Password has not yet and `berth secrets create` makes:\n  - item "worf" of vault "agents" is not there: worf (secrets.KEY)',
      },
    ]);
  });

  it.each([
    "credentials",
    "plugin",
    "start",
    "program",
    "refused",
    "limited",
    "away",
    "slow",
  ] satisfies Obstacle[])(
    "one line says that it could not be asked (%s), and the preview goes on",
    async (obstacle) => {
      vi.stubEnv("OP_CONNECT_TOKEN", "canary-token");
      await checkVaults(settings(), fleet, answering({ findings: [], obstacle }));
      expect(said).toHaveLength(1);
      expect(said[0]?.level).toBe("warn");
      expect(said[0]?.text).toMatch(/^1Password was not asked .+: .+\. The preview goes on\. .+$/);
      expect(said[0]?.text).not.toContain("canary-token");
    },
  );

  it("what is known to be missing still fails where the rest could not be asked", async () => {
    const checked = checkVaults(
      settings(),
      fleet,
      answering({ findings: [{ vault: "shared", state: "missing" }], obstacle: "limited" }),
    );
    await expect(checked).rejects.toThrow('vault "shared" is not there');
    expect(said.map(({ level }) => level)).toEqual(["warn"]);
  });

  it("a failure of its own is one line, too", async () => {
    await checkVaults(settings(), fleet, () => Promise.reject(new Error("canary-of-an-error")));
    expect(said.map(({ level }) => level)).toEqual(["warn"]);
    expect(said[0]?.text).not.toContain("canary-of-an-error");
  });
});

describe("the program with 1Password", () => {
  const lal = defineAgent({
    name: "lal",
    image: "node",
    program: { acp: ["demo-agent"] },
    activation: "on-demand",
    chat: {
      channels: ["town-square"],
      trigger: "mention",
      access: { mode: "allowlist", users: ["operator"] },
    },
    secrets: { TOKEN: "op://agents/lal/token" },
    vaults: ["agents/lal"],
  });
  const graph = (secrets: object, isPreview: boolean) =>
    graphWith([lal], { secrets: { provider: "onepassword", ...secrets } }, { preview: isPreview });

  it("looks at preview, once, and declares the same with and without it", async () => {
    const checked = await graph({}, true);
    expect(said.map(({ level, text }) => [level, text.includes("OP_CONNECT_HOST")])).toEqual([
      ["warn", true],
    ]);
    const unchecked = await graph({ check: false }, true);
    const update = await graph({}, false);
    expect(said).toHaveLength(1);
    expect(checked.resources).toEqual(unchecked.resources);
    expect(checked.outputs).toEqual(unchecked.outputs);
    const types = update.resources.map(({ type }) => type);
    expect(types.filter((type) => type.includes("onepassword"))).toEqual([]);
  });
});
