import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import Docker from "dockerode";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { docker, dockerCommands, followDocker } from "../support/docker-cli.ts";
import { inspect, until } from "../support/engine.ts";
import { declareAgent, waitingTemplate, workerTemplate } from "../support/instances.ts";
import { type RealProxy, startRealProxy } from "../support/real-proxy.ts";

let proxy: RealProxy;
let agent: string;
/** A directory that could be built. */
let files: string;

beforeAll(async () => {
  proxy = await startRealProxy("clients");
  const { image } = proxy;
  await declareAgent(proxy, "lal", {
    templates: { review: workerTemplate(image), server: waitingTemplate(image) },
  });
  agent = proxy.name("lal");
  files = mkdtempSync(join(proxy.scratch, "files-"));
  writeFileSync(join(files, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
});
afterAll(() => proxy.close());

describe.each(dockerCommands())("the docker command $version", (command) => {
  const run = (...args: string[]) => docker(command, `tcp://127.0.0.1:${proxy.port}`, args);
  const must = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    expect([args, code, stderr]).toEqual([args, 0, ""]);
    return stdout;
  };
  // Names of instances are taken for as long as they are there.
  const own = (name: string) => `${name}-${command.version.replace(/[^0-9]/g, "").slice(0, 8)}`;

  it("version: says what it talks to", async () => {
    expect(await must("version")).toMatch(/berth socket proxy[\s\S]*API version:\s+1\.41 /);
  });

  it("start, ps, inspect, logs -f, wait and stop work on the agent", async () => {
    expect(await must("start", agent)).toBe(`${agent}\n`);
    expect(await must("ps", "--format", "{{.Names}} {{.State}}")).toContain(`${agent} running`);
    const shown = JSON.parse(await must("inspect", agent)) as [{ Id: string }];
    expect(shown[0].Id).toBe((await inspect(agent)).Id);
    const format = "{{.State.Running}} {{.HostConfig.PidsLimit}} {{.HostConfig.Privileged}}";
    expect(await must("inspect", "--format", format, agent)).toBe("true 77 false\n");
    const logs = followDocker(command, `tcp://127.0.0.1:${proxy.port}`, ["logs", "-f", agent]);
    const waiting = run("wait", agent);
    await until("its output", async () => logs.output().includes("to standard error"));
    expect(await must("stop", agent)).toBe(`${agent}\n`);
    expect(await logs.done).toBe(0);
    expect(await waiting).toEqual({ code: 0, stdout: "7\n", stderr: "" });
    const all = await must(
      "ps",
      "-a",
      "--filter",
      `name=${agent}`,
      "--format",
      "{{.Names}} {{.Status}}",
    );
    expect(all.split("\n").find((line) => line.startsWith(`${agent} `))).toMatch(/Exited \(7\)/);
    expect(await must("ps", "--filter", `name=${agent}`, "-q")).toBe("");
  });

  it("A5: run -d of a name, the image and the parameters makes and starts an instance", async () => {
    const name = `lal.review.${own("run")}`;
    const id = await must("run", "-d", "--name", name, "-e", "TASK_ID=seven", proxy.image);
    expect(id).toMatch(/^[0-9a-f]{64}\n$/);
    const whole = proxy.name(name);
    expect((await inspect(whole)).Id).toBe(id.trim());
    await until("its end", async () => (await inspect(whole)).State.Status === "exited");
    expect(await must("logs", whole)).toContain("task seven");
    expect(await must("inspect", "--format", "{{.State.ExitCode}}", whole)).toBe("3\n");
  });

  it("run -d of a label, what the template says anyway, and a name of its own is the same", async () => {
    const { image } = proxy;
    const name = own("said");
    await must(
      ...["run", "-d", "--name", name, "--label", "berth.template=lal.server", "--network", "none"],
      ...["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--init"],
      ...["--user", "10100:10100", "--memory", "2g", "--cpus", "2", "--pids-limit", "256", image],
    );
    const whole = proxy.name(`lal.server.${name}`);
    expect((await inspect(whole)).State.Running).toBe(true);
    expect(await must("stop", whole)).toBe(`${whole}\n`);
  });

  it("run -d without a name is given one", async () => {
    const line = ["run", "-d", "--label", "berth.template=lal.review", "-e", "TASK_ID=8"];
    const id = (await must(...line, proxy.image)).trim();
    expect((await inspect(id)).Name).toMatch(
      new RegExp(`^/${proxy.name("lal.review")}\\.i[0-9a-f]{12}$`),
    );
  });

  it.each([
    [["rm", "-f", "AGENT"], "delete denied: it is not in this proxy's language [verb]"],
    [["exec", "AGENT", "id"], "exec denied: it is not in this proxy's language [verb]"],
    [["cp", "AGENT:/etc/passwd", "-"], "archive denied: it is not in this proxy's language [verb]"],
    [["commit", "AGENT"], "commit denied: it is not in this proxy's language [verb]"],
    [["kill", "AGENT"], "kill denied: admin-bridge is not granted this verb [grant]"],
    [["build", "FILES"], "build denied: it is not in this proxy's language [verb]"],
    [
      ["run", "--name", "lal.review.attached", "-e", "TASK_ID=7", "IMAGE"],
      "create denied: these differ from template lal.review: /AttachStderr, /AttachStdout; leave them out; nothing can be attached to: run it detached (-d) [template-body]",
    ],
    [
      ["run", "-d", "IMAGE"],
      "create denied: say which template it is of: the label berth.template=<agent>.<template>, or a name like <agent>.<template>.<name> [template]",
    ],
    [
      ["run", "-d", "--name", "lal.review.none", "IMAGE"],
      "create denied: TASK_ID: is missing [parameters]",
    ],
    [
      ["run", "-d", "--name", "lal.review.bad", "-e", "TASK_ID=A B", "IMAGE"],
      "create denied: TASK_ID: does not look like [a-z0-9-]{1,40} [parameters]",
    ],
    [
      ["run", "-d", "--privileged", "--name", "lal.review.p", "-e", "TASK_ID=7", "IMAGE"],
      "create denied: these differ from template lal.review: /HostConfig/Privileged; leave them out [template-body]",
    ],
  ])("refuses in words that say what is wrong: %s", async (words, says) => {
    const args = words.map((word) =>
      word.replace("AGENT", agent).replace("IMAGE", proxy.image).replace("FILES", files),
    );
    const { code, stderr } = await run(...args);
    expect(code).not.toBe(0);
    expect(stderr).toContain(`berth: ${says} (request `);
  });

  it("attach is refused, and the container runs on", async () => {
    await must("start", agent);
    expect((await run("attach", "--no-stdin", agent)).code).not.toBe(0);
    expect(proxy.audit.findLast(({ decision }) => decision === "deny")).toMatchObject({
      verb: "attach",
    });
    expect((await inspect(agent)).State.Running).toBe(true);
    await must("stop", "-t", "5", agent);
  });
});

describe("dockerode", () => {
  let client: Docker;
  const create = (name: string, body: Docker.ContainerCreateOptions) =>
    client.createContainer({ name, ...body });

  beforeAll(() => {
    client = new Docker({ protocol: "http", host: "127.0.0.1", port: proxy.port });
  });

  it("lists and inspects", async () => {
    const [found] = await client.listContainers({
      all: true,
      filters: { label: ["berth.agent=lal", "berth.component=agent"] },
    });
    expect(found?.Names).toEqual([`/${agent}`]);
    expect((await client.getContainer(agent).inspect()).Name).toBe(`/${agent}`);
  });

  it("creates, starts, follows, waits for and stops an instance, and sees the events", async () => {
    const events: { Action: string; Actor: { ID: string } }[] = [];
    const stream = await client.getEvents();
    stream.on("data", (part: Buffer) => {
      for (const line of part.toString().split("\n").filter(Boolean)) {
        events.push(JSON.parse(line) as (typeof events)[number]);
      }
    });
    const container = await create("lal.server.ode", {
      Image: proxy.image,
      Labels: { "berth.template": "lal.server" },
      HostConfig: { NetworkMode: "none", Memory: 2 * 1024 ** 3 },
    });
    await container.start();
    const [out, err] = [new PassThrough(), new PassThrough()];
    const logs = await container.logs({ follow: true, stdout: true, stderr: true });
    container.modem.demuxStream(logs, out, err);
    const text = { out: "", err: "" };
    out.on("data", (part: Buffer) => {
      text.out += part.toString();
    });
    err.on("data", (part: Buffer) => {
      text.err += part.toString();
    });
    await until("its first line", async () => text.err.includes("ready, too"));
    const waiting = container.wait() as Promise<{ StatusCode: number }>;
    await container.stop({ t: 20 });
    expect((await waiting).StatusCode).toBe(7);
    await until("its last line", async () => text.out === "ready\nbye\n");
    expect(text.err).toBe("ready, too\n");
    const actions = () =>
      events.filter(({ Actor }) => Actor.ID === container.id).map(({ Action }) => Action);
    await until("its end among the events", async () => actions().includes("die"));
    expect(actions().slice(0, 2)).toEqual(["create", "start"]);
    (stream as unknown as { destroy(): void }).destroy();
  });

  it("is refused with the proxy's words", async () => {
    const body = { Image: proxy.image, Env: ["TASK_ID=7"], HostConfig: { Privileged: true } };
    await expect(create("lal.review.ode", body)).rejects.toThrow(
      "/HostConfig/Privileged; leave them out [template-body]",
    );
    await expect(client.getContainer(agent).remove()).rejects.toThrow("delete denied: ");
    await expect(client.getContainer(agent).exec({ Cmd: ["id"] })).rejects.toThrow("exec denied: ");
  });
});
