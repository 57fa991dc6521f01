import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { unhurriedGrants } from "./clients.ts";
import { head, list, start } from "./framing-cases.ts";
import { type Harness, startHarness } from "./harness.ts";
import { checkInvariants } from "./invariants.ts";
import { exchange, ruleOf } from "./raw.ts";

/* T13: the one port. Its client is known by its network; what reaches the port without being on it is kept out. */

const network = "berth-dev-socket-proxy-net";
let harness: Harness;
beforeEach(async () => {
  harness = await startHarness({
    source: "engine",
    grants: unhurriedGrants(
      { operator: { verbs: ["metrics", "ping"] } },
      { denials: 3, seconds: 60 },
    ),
  });
});
afterEach(async () => {
  await checkInvariants(harness, "operator");
  await harness.close();
});

interface Bridge {
  readonly name?: string;
  readonly stack?: string;
  readonly component?: string;
}

/** Makes the admin bridge's container, with these addresses. */
function bridge(networks: Readonly<Record<string, object>>, changes: Bridge = {}): void {
  const { name = "berth-dev-admin-bridge", stack = "dev", component = "admin-bridge" } = changes;
  const id = "c".repeat(64);
  harness.engine.containers.set(id, {
    inspect: {
      Id: id,
      Name: `/${name}`,
      State: { Status: "running", Running: true },
      Config: { Labels: { "berth.stack": stack, "berth.component": component } },
      HostConfig: { NetworkMode: network },
      NetworkSettings: { Networks: networks },
    },
  });
}

const request = `${head(list)}\r\n`;
const from = async (localAddress: string, bytes = request) => {
  const target = { port: harness.port, host: "127.0.0.1", localAddress };
  const { answers } = await exchange(target, bytes, { moreMs: 0 });
  return [answers[0]?.status, ruleOf(answers[0]?.body ?? "")];
};
/** An address that is not known is asked for once a second. */
const nextLook = () => new Promise((resolve) => setTimeout(resolve, 1_050));
const accepted = [200, ""];
const refused = [403, "source"];

describe("T13: the port is for the addresses that the Engine gave to its client, on that network", () => {
  it("T13: a known address is accepted, any other refused", async () => {
    bridge({ [network]: { IPAddress: "127.0.0.1" } });
    expect(await from("127.0.0.1")).toEqual(accepted);
    expect(await from("127.0.0.2")).toEqual(refused);
    expect(harness.audit.at(-1)).toMatchObject({ decision: "deny", rule: "source", status: 403 });
    expect(await from("127.0.0.1")).toEqual(accepted);
  });

  const impostors: readonly (readonly [string, Readonly<Record<string, object>>, Bridge])[] = [
    ["on another network", { "berth-dev-mattermost-net": { IPAddress: "127.0.0.1" } }, {}],
    ["without an address", { [network]: { IPAddress: "" } }, {}],
    ["on no network", {}, {}],
    ["of another stack", { [network]: { IPAddress: "127.0.0.1" } }, { stack: "prod" }],
    ["of another name", { [network]: { IPAddress: "127.0.0.1" } }, { name: "evil" }],
    [
      "that is another service",
      { [network]: { IPAddress: "127.0.0.1" } },
      { component: "postgres", name: "berth-dev-postgres" },
    ],
    ["on a network whose name begins alike", { [`${network}-2`]: { IPAddress: "127.0.0.1" } }, {}],
  ];
  it.each(impostors)("T13: a container %s lets nobody in", async (_title, networks, changes) => {
    bridge(networks, changes);
    expect(await from("127.0.0.1")).toEqual(refused);
  });

  it("T13: a client that comes back with another address is let in, and the old address is not any more", async () => {
    bridge({ [network]: { IPAddress: "127.0.0.1" } });
    expect(await from("127.0.0.1")).toEqual(accepted);
    bridge({ [network]: { IPAddress: "127.0.0.3", GlobalIPv6Address: "::1" } });
    await nextLook();
    expect(await from("127.0.0.3")).toEqual(accepted);
    expect(await from("127.0.0.1")).toEqual(refused);
  });

  it("T13: a stranger that asks again and again has the Engine asked once a second", async () => {
    bridge({ [network]: { IPAddress: "127.0.0.1" } });
    const lists = () =>
      harness.engine.asked().filter((asked) => asked.endsWith("/containers/json"));
    const before = lists().length;
    for (let i = 0; i < 30; i++) expect(await from("127.0.0.2")).toEqual(refused);
    expect(lists().length - before).toBeLessThan(10);
  });

  it("T13: while the Engine is away a known address stays known, and no other becomes it", async () => {
    bridge({ [network]: { IPAddress: "127.0.0.1" } });
    expect(await from("127.0.0.1")).toEqual(accepted);
    await harness.engine.close();
    expect((await from("127.0.0.1"))[0]).toBe(503);
    await nextLook();
    expect(await from("127.0.0.2")).toEqual(refused);
  });

  const forms: readonly (readonly [string, string])[] = [
    ["an ordinary request", request],
    ["a forbidden one", `${head("POST /containers/berth-dev-lal/exec")}\r\n`],
    ["one with a body", `${head(start, "Content-Length: 3")}\r\nabc`],
    ["an upgrade", `${head(list, "Connection: Upgrade", "Upgrade: tcp")}\r\n`],
    ["a tunnel", "CONNECT docker:2375 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an expectation", `${head(start, "Expect: 100-continue")}\r\n`],
    ["an expectation that nobody knows", `${head(start, "Expect: x")}\r\n`],
    ["no HTTP at all", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"],
    [
      "a length and chunks",
      `${head(start, "Content-Length: 3", "Transfer-Encoding: chunked")}\r\n`,
    ],
    ["headers without end", `${head(list, `X: ${"a".repeat(9_000)}`)}\r\n`],
  ];
  it.each(forms)(
    "T13: %s from elsewhere is not its client's doing, and suspends nobody",
    async (_title, bytes) => {
      bridge({ [network]: { IPAddress: "127.0.0.1" } });
      for (let i = 0; i < 10; i++) expect(await from("127.0.0.2", bytes)).toEqual(refused);
      // At most one a second is on record: a flood of strangers is not a flood of the record.
      const records = harness.audit.filter(({ rule }) => rule === "source");
      expect([records.length > 0, records.length < 10]).toEqual([true, true]);
      expect(harness.audit.some(({ rule }) => rule === "suspended")).toBe(false);
      expect(await from("127.0.0.1")).toEqual(accepted);
    },
  );

  it("T13: a socket has no source: whoever mounts its directory is its client", async () => {
    expect((await harness.ask("/_ping", "GET", "operator")).status).toBe(200);
  });
});
