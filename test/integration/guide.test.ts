import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { describe, expect, inject, it } from "vitest";
import { dockerHost } from "../support/engine.ts";
import { root, Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
const guide = readFileSync(`${root}/docs/architecture.md`, "utf8");
const commands = [...guide.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map((m) => m[1] ?? "");

/** Runs a command of the guide as a reader would, in a shell with what `make env` gives it. */
async function run(command: string): Promise<string> {
  const { stdout } = await promisify(execFile)("bash", ["-euo", "pipefail", "-c", command], {
    env: {
      ...process.env,
      PATH: `${root}/toolchain/bin:${process.env.PATH}`,
      PULUMI_BACKEND_URL: `file://${stack.directory}/.state`,
      PULUMI_CONFIG_PASSPHRASE: "test",
      DOCKER_HOST: dockerHost,
      BERTH_STACK: stack.name,
      STACK: stack.name,
      ADMIN_URL: stack.adminUrl,
    },
  });
  return stdout;
}

/** What each command's output must show, by a part of the command that no other has. */
const shows: Readonly<Record<string, (output: string) => void>> = {
  "docker volume ls": (output) => {
    for (const agent of ["data", "lal"]) expect(output).toContain(`${agent}-declaration-`);
  },
  "{{.Names}} {{.Status}}": (output) => {
    for (const agent of ["data", "lal"]) expect(output).toContain(`berth-${stack.name}-${agent} `);
  },
  "NetworkSettings.Networks": (output) => expect(output.trim()).toBe("none"),
  "grep -c docker.sock": (output) => expect(output.trim()).toBe("1"),
  "/api/health": (output) => {
    expect(output).toContain('"ok":true');
    expect(output).toContain('"name":"data"');
  },
  "berth status": (output) => {
    expect(output).toMatch(/^data +always +running +yes/m);
    expect(output).toMatch(/^\{.*\}$/m);
  },
  "berth proxy explain": (output) => {
    expect(output).toMatch(
      /^verdict +refused: create, answered 403, by rule template of layer body$/m,
    );
    expect(output).toContain(`the stack ${stack.name} as it is up`);
    expect(output).toMatch(/^audit of the stack .*: /m);
  },
  "docker logs": (output) => {
    const lines = output.trim().split("\n");
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(JSON.parse(line)).toHaveProperty("event");
  },
};

describe("the architecture guide", () => {
  it("A19: every command in it runs and shows what the text says", async () => {
    expect(commands).toHaveLength(Object.keys(shows).length);
    for (const [part, check] of Object.entries(shows)) {
      const command = commands.filter((text) => text.includes(part));
      expect(command, part).toHaveLength(1);
      check(await run(command[0] ?? ""));
    }
  });
});
