import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { describe, expect, inject, it } from "vitest";
import { dockerHost } from "../support/engine.ts";
import { root, Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
const guide = readFileSync(`${root}/docs/architecture.md`, "utf8");
const commands = [...guide.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map((m) => m[1] ?? "");

/** Runs a command of the guide as a reader would, in a shell with the guide's two variables. */
async function run(command: string): Promise<string> {
  const { stdout } = await promisify(execFile)("bash", ["-euo", "pipefail", "-c", command], {
    env: { ...process.env, DOCKER_HOST: dockerHost, STACK: stack.name, ADMIN_URL: stack.adminUrl },
  });
  return stdout;
}

describe("the architecture guide", () => {
  it("A19: every command in it runs and shows what the text says", async () => {
    expect(commands.length).toBeGreaterThanOrEqual(6);
    const [declarations, containers, networks, sockets, health] = await Promise.all(
      commands.map(run),
    );
    for (const agent of ["data", "lal"]) {
      expect(declarations).toContain(`${agent}-declaration-`);
      expect(containers).toContain(`berth-${stack.name}-${agent}`);
    }
    expect(networks?.trim()).toBe("none");
    expect(sockets?.trim()).toBe("1");
    expect(health).toContain('"ok":true');
  });
});
