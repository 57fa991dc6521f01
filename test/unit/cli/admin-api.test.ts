import { createServer, type Server } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { type AgentStatus, reasonsToWait, waitForAgents } from "../../../cli/admin-api.ts";
import { statusTable } from "../../../cli/commands/status.ts";

const lal: AgentStatus = {
  name: "lal",
  activation: "on-demand",
  driver: "docker",
  state: "asleep",
  answered: false,
};
const data: AgentStatus = { ...lal, name: "data", activation: "always", state: "running" };

describe("what `up` waits for", () => {
  it("every always agent's answer, nobody else's", () => {
    expect(
      reasonsToWait({ stack: "dev", ready: true, agents: [lal, { ...data, answered: true }] }),
    ).toEqual([]);
    expect(reasonsToWait({ stack: "dev", ready: true, agents: [lal, data] })).toEqual([
      "data has not answered: it is running",
    ]);
  });

  it("not for an agent that the operator runs himself", () => {
    const local: AgentStatus = { ...data, driver: "local", state: "local" };
    expect(reasonsToWait({ stack: "dev", ready: true, agents: [local] })).toEqual([]);
  });

  it("the reason names the agent's last error", () => {
    const failed: AgentStatus = { ...data, state: "failed", lastError: "no such image" };
    expect(reasonsToWait({ stack: "dev", ready: true, agents: [failed] })).toEqual([
      "data has not answered: it is failed; its last error: no such image",
    ]);
  });

  it("the bridge itself", () => {
    expect(reasonsToWait({ stack: "dev", ready: false, agents: [] })).toHaveLength(1);
  });
});

describe("waiting", () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  async function serve(answer: (asked: number) => unknown): Promise<string> {
    let asked = 0;
    const made = createServer((_request, response) =>
      response.end(JSON.stringify(answer(++asked))),
    );
    server = made;
    await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", () => resolve()));
    const address = made.address();
    return `http://127.0.0.1:${address && typeof address === "object" ? address.port : 0}`;
  }

  it("ends as soon as the last one has answered", async () => {
    const adminUrl = await serve((asked) => ({
      stack: "dev",
      ready: true,
      agents: [{ ...data, answered: asked >= 3 }],
    }));
    const result = await waitForAgents({ adminUrl, timeoutMs: 10_000, intervalMs: 10 });
    expect(result.done).toBe(true);
  });

  it("ends in time, and names those that have not", async () => {
    const adminUrl = await serve(() => ({ stack: "dev", ready: true, agents: [lal, data] }));
    const result = await waitForAgents({ adminUrl, timeoutMs: 100, intervalMs: 10 });
    expect(result).toMatchObject({
      done: false,
      reasons: ["data has not answered: it is running"],
    });
  });

  it("an admin bridge that does not answer is said so", async () => {
    const adminUrl = "http://127.0.0.1:1";
    const result = await waitForAgents({ adminUrl, timeoutMs: 50, intervalMs: 10 });
    expect(result.reasons.join()).toContain(`does not answer at ${adminUrl}`);
  });

  it("an answer that is no status is no success", async () => {
    const adminUrl = await serve(() => ({ ok: true }));
    expect((await waitForAgents({ adminUrl, timeoutMs: 50, intervalMs: 10 })).done).toBe(false);
  });
});

it("the table of a status shows no control characters", () => {
  const lines = statusTable({
    stack: "dev",
    ready: true,
    agents: [{ ...data, lastError: "a\u001b[2Jb\nc" }],
  });
  expect(lines).toHaveLength(3);
  expect(lines[2]).toContain("a[2Jb c");
});
