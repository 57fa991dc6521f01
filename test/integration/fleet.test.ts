import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { Service } from "../../spec/names.ts";
import { engine, engineAnswer, exec, inspect, until } from "../support/engine.ts";
import {
  agentSource,
  canary,
  secretsDirectory,
  sharedAgents,
  sharedFleet,
  writeFleet,
} from "../support/fleet.ts";
import { Person } from "../support/person.ts";
import { root, Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
const others = [...Object.values(Service), ...sharedAgents];
const secrets = secretsDirectory(stack, { canary });
const base = sharedFleet(secrets);
let operator: Person;
let square: string;

/** Id and start time of every container that must not be touched. */
async function fingerprint(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const part of others) {
    const { Id, State } = await inspect(stack.container(part));
    found[part] = `${Id} ${State.StartedAt}`;
  }
  return found;
}

async function volumes(agent: string): Promise<string[]> {
  const filter = encodeURIComponent(
    JSON.stringify({ label: [`berth.stack=${stack.name}`, `berth.agent=${agent}`] }),
  );
  return (
    (await engine<{ Volumes: { Name: string }[] | null }>(`/volumes?filters=${filter}`)).Volumes ??
    []
  ).map((v) => v.Name);
}

beforeAll(async () => {
  operator = await Person.login(stack.mattermostUrl, "operator", inject("operatorPassword"));
  square = await operator.channel("town-square");
});

afterAll(async () => {
  writeFleet(stack, base);
  await stack.up();
});

describe("the fleet changes by `pulumi up`", () => {
  it("B2: an `up` without a change changes nothing, with a refresh too", async () => {
    await stack.up({ expectNoChanges: true });
    expect((await stack.up({ refresh: true, expectNoChanges: true })).changes).toEqual([]);
  });

  it("A17: a new agent is its own resources only; its bot joins and answers; nothing else restarts", async () => {
    const before = await fingerprint();
    writeFleet(stack, {
      ...base,
      nova: agentSource("nova", "workspace: { retain: true },").replace(
        "workspace: { retain: false },\n",
        "",
      ),
    });
    const run = await stack.up();
    expect(run.changes).toHaveLength(4);
    for (const change of run.changes) expect(change).toMatch(/^create .*nova/);
    const question = await until("nova's bot to be there", async () => {
      await operator.client.getUserByUsername("nova");
      return operator.say(square, "@nova write kept.txt still-here");
    });
    await operator.answer(square, "nova", question, /kept\.txt/);
    expect(await fingerprint()).toEqual(before);
  });

  it("a changed allow-list replaces the declaration only, new before old, and the running agent runs on", async () => {
    const before = await inspect(stack.container("nova"));
    writeFleet(stack, {
      ...base,
      nova: agentSource(
        "nova",
        'workspace: { retain: true }, egress: ["allowed.example.test:80"],',
      ).replace("workspace: { retain: false },\n", ""),
    });
    const run = await stack.up();
    expect(
      run.changes.every((change) => /volume:Volume .*nova/.test(change)),
      run.changes.join("\n"),
    ).toBe(true);
    expect(run.changes.length).toBeGreaterThan(0);
    const after = await inspect(stack.container("nova"));
    expect([after.Id, after.State.StartedAt]).toEqual([before.Id, before.State.StartedAt]);
    await until(
      "the gateway to apply it",
      async () => {
        const { output } = await exec(stack.container("nova"), [
          "/usr/local/bin/node",
          "--input-type=module",
          "-e",
          `
        import http from "node:http";
        http.get({ host: "127.0.0.1", port: 3128, path: "http://allowed.example.test/", headers: { host: "allowed.example.test" } }, (a) => { console.log(a.statusCode); process.exit(0); });`,
        ]);
        return output.trim() === "200";
      },
      30_000,
    );
  });

  it("A14: a file in the workspace survives the agent's re-creation", async () => {
    const before = (await inspect(stack.container("nova"))).Id;
    writeFleet(stack, {
      ...base,
      nova: agentSource(
        "nova",
        'workspace: { retain: true }, resources: { memory: "1g" },',
      ).replace("workspace: { retain: false },\n", ""),
    });
    await stack.up();
    const after = await inspect(stack.container("nova"));
    expect(after.Id).not.toBe(before);
    expect(after.HostConfig.Memory).toBe(1024 ** 3);
    const question = await operator.say(square, "@nova read kept.txt");
    await operator.answer(square, "nova", question, /still-here/);
  });

  it("a removed agent takes only its own resources; its bot is off, its tokens are revoked, its workspace is kept", async () => {
    const before = await fingerprint();
    writeFleet(stack, base);
    const run = await stack.up();
    expect(run.changes.length).toBeGreaterThan(0);
    for (const change of run.changes) expect(change).toMatch(/^delete .*nova/);
    expect((await engineAnswer(`/containers/${stack.container("nova")}/json`)).status).toBe(404);
    expect(await volumes("nova")).toEqual([`berth-${stack.name}-nova-workspace`]);
    await until(
      "the bot to be deactivated",
      async () => (await operator.client.getUserByUsername("nova")).delete_at > 0,
    );
    const { output } = await exec(
      stack.container(Service.postgres),
      [
        "/bin/sh",
        "-c",
        "psql -h /run/postgresql -U mattermost -d mattermost -Atc \"select count(*) from berth_standin.tokens t join berth_standin.users u on u.id = t.user_id where u.username = 'nova'\"",
      ],
      "2000",
    );
    expect(output.trim()).toBe("0");
    expect(await fingerprint()).toEqual(before);
    await engine(`/volumes/berth-${stack.name}-nova-workspace`, "DELETE");
  });

  it("A24: the same name added again is the same bot, awake again", async () => {
    const before = await operator.client.getUserByUsername("nova");
    writeFleet(stack, { ...base, nova: agentSource("nova") });
    await stack.up();
    await until(
      "the bot to be active",
      async () => (await operator.client.getUserByUsername("nova")).delete_at === 0,
    );
    expect((await operator.client.getUserByUsername("nova")).id).toBe(before.id);
    const question = await operator.say(square, "@nova back again?");
    await operator.answer(square, "nova", question, /back again/);
  });
});

describe("an agent whose process is the operator's own", () => {
  it("A21: a local and a docker agent in one stack: no container, its own socket and bot, and it answers", async () => {
    writeFleet(stack, { ...base, loki: agentSource("loki", 'driver: "local",') });
    const run = await stack.up();
    expect(run.changes.filter((change) => /docker:.*loki/.test(change))).toHaveLength(1);
    expect((await engineAnswer(`/containers/${stack.container("loki")}/json`)).status).toBe(404);
    const directory = `/run/berth/${stack.name}/agents/loki`;
    await until("loki's socket", async () => existsSync(`${directory}/gateway.sock`), 30_000);
    const workspace = mkdtempSync(join(tmpdir(), "berth-loki-"));
    const demo = join(workspace, "demo-agent");
    writeFileSync(
      demo,
      `#!/bin/sh\nexec "${process.execPath}" "${root}/services/agent-runner/demo-agent/main.ts"\n`,
      { mode: 0o755 },
    );
    const runner = spawn(process.execPath, [join(root, "services/agent-runner/main.ts")], {
      env: {
        PATH: `${workspace}:${process.env.PATH}`,
        HOME: workspace,
        BERTH_AGENT: "loki",
        BERTH_RUN: directory,
        BERTH_WORKSPACE: workspace,
        BERTH_MATTERMOST_PORT: "0",
        BERTH_EGRESS_PORT: "0",
        BERTH_HEALTH_SOCKET: join(workspace, "health.sock"),
      },
      stdio: "ignore",
    });
    try {
      const question = await operator.say(square, "@loki are you a process of the host?");
      await operator.answer(square, "loki", question, /are you a process of the host/);
    } finally {
      runner.kill("SIGTERM");
      rmSync(workspace, { recursive: true, force: true });
    }
  });
});

describe("a container that is not what was declared", () => {
  it("is not started by the socket proxy, which names what differs and gives no value away", async () => {
    const name = stack.container("lal");
    const original = await inspect(name);
    await engineAnswer(`/containers/${name}/stop?t=5`, "POST");
    await engine(`/containers/${name}/rename?name=${name}-aside`, "POST");
    const labels = { ...original.Config.Labels };
    await engine(`/containers/create?name=${name}`, "POST", {
      Image: original.Config.Image,
      Labels: labels,
      User: "1000:1000",
      HostConfig: { Binds: ["/etc:/workspace"], Privileged: true },
    });
    try {
      const { output } = await exec(stack.container("admin-bridge"), [
        "/usr/local/bin/node",
        "--input-type=module",
        "-e",
        `
        import http from "node:http";
        const r = http.request({ host: "docker-socket-proxy", port: 2375, method: "POST", path: "/containers/${name}/start", agent: false }, (a) => {
          let t = ""; a.on("data", (p) => t += p); a.on("end", () => { console.log(a.statusCode, t); process.exit(0); }); });
        r.end();`,
      ]);
      expect(output).toMatch(/^403 /);
      expect(output).toMatch(/privileged/i);
      expect(output).not.toContain("/etc");
      expect((await inspect(name)).State.Running).toBe(false);
    } finally {
      await engine(`/containers/${name}?force=1`, "DELETE");
      await engine(`/containers/${name}-aside/rename?name=${name}`, "POST");
    }
  });
});
