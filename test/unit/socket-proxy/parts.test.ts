import { describe, expect, it } from "vitest";
import { createAudit, visible } from "../../../services/socket-proxy/audit.ts";
import { readConfig } from "../../../services/socket-proxy/config.ts";
import { readDeclarations } from "../../../services/socket-proxy/declarations.ts";
import { LogFrames } from "../../../services/socket-proxy/frames.ts";
import { lookup, ownContainers } from "../../../services/socket-proxy/ownership.ts";
import { isPathSafe } from "../../../services/socket-proxy/upstream.ts";
import { encodeDeclaration } from "../../../spec/declaration.ts";
import { encodeGrants, renderGrants } from "../../../spec/grants.ts";
import { Label } from "../../../spec/names.ts";
import { declarationOf } from "./engine-double.ts";

const id = "a".repeat(64);
const agentLabels = { [Label.stack]: "dev", [Label.component]: "agent", [Label.agent]: "lal" };

describe("ownership", () => {
  const own = (labels: object, names: unknown = ["/berth-dev-lal"], containerId: unknown = id) =>
    ownContainers("dev", [{ Id: containerId, Names: names, Labels: labels }]).length === 1;

  it("needs the label and the one name that goes with it", () => {
    expect(own(agentLabels)).toBe(true);
    expect(
      own({ [Label.stack]: "dev", [Label.component]: "postgres" }, ["/berth-dev-postgres"]),
    ).toBe(true);
  });

  it.each([
    ["labels of an image on a container of another name", agentLabels, ["/evil"]],
    ["another stack's label", { ...agentLabels, [Label.stack]: "prod" }, undefined],
    ["no stack label", { ...agentLabels, [Label.stack]: undefined }, undefined],
    ["another agent's name", { ...agentLabels, [Label.agent]: "data" }, undefined],
    ["an unknown component", { ...agentLabels, [Label.component]: "evil" }, ["/berth-dev-evil"]],
    ["no name at all", agentLabels, null],
    ["a name without its slash", agentLabels, ["berth-dev-lal"]],
  ])("is refused with %s", (_title, labels, names) => {
    expect(own(labels, names)).toBe(false);
  });

  it("takes full ids only", () => {
    expect(own(agentLabels, undefined, "a".repeat(12))).toBe(false);
  });

  it.each([
    "deadbeef",
    "a".repeat(63),
    "berth-prod-lal",
    "berth-dev-",
    "berth-dev-a.b",
    "berth-dev-a$",
    "BERTH-dev-lal",
    "lal",
  ])("%s can be nothing of stack dev: nobody is asked", (named) => {
    expect(lookup("dev", named)).toBeUndefined();
  });
});

describe("declarations", () => {
  const volume = (name: string, created: string, changes = {}, labels = {}) => {
    const declaration = declarationOf(changes);
    const text = encodeDeclaration(declaration);
    const of = { [Label.stack]: "dev", [Label.agent]: declaration.name, [Label.declaration]: text };
    return { Name: name, CreatedAt: created, Labels: { ...of, ...labels } };
  };

  it("the newest volume of an agent wins, whatever the order and the zone", () => {
    const volumes = [
      volume("b", "2026-01-01T02:00:00+02:00", { preset: "worker" }),
      volume("a", "2026-01-01T00:00:01Z", { preset: "sandbox" }),
    ];
    for (const list of [volumes, [...volumes].reverse()]) {
      expect(readDeclarations("dev", list).declarations[0]?.preset).toBe("sandbox");
    }
  });

  it("at a tie the last volume name wins", () => {
    const at = "2026-01-01T00:00:00Z";
    const list = [volume("y", at, { preset: "worker" }), volume("x", at, { preset: "sandbox" })];
    expect(readDeclarations("dev", list).declarations[0]?.preset).toBe("worker");
  });

  it("bad ones are named and skipped, the older valid one stands", () => {
    const list = [
      volume("good", "2026-01-01T00:00:00Z"),
      volume("bad", "2026-01-02T00:00:00Z", {}, { [Label.declaration]: "{}" }),
      volume("lies", "2026-01-02T00:00:00Z", {}, { [Label.agent]: "data" }),
      volume("foreign", "2026-01-02T00:00:00Z", { stack: "prod" }, {}),
      volume("elsewhere", "2026-01-02T00:00:00Z", { stack: "prod" }, { [Label.stack]: "prod" }),
    ];
    const { declarations, problems } = readDeclarations("dev", list);
    expect(declarations).toHaveLength(1);
    expect([...problems.keys()].sort()).toEqual(["bad", "foreign", "lies"]);
  });

  it("are sorted by agent", () => {
    const at = "2026-01-01T00:00:00Z";
    const list = ["zed", "abe", "lal"].map((name) => volume(name, at, { name }));
    expect(readDeclarations("dev", list).declarations.map((d) => d.name)).toEqual([
      "abe",
      "lal",
      "zed",
    ]);
  });
});

describe("audit", () => {
  it("numbers records without a gap and keeps a record on one line", () => {
    const lines: string[] = [];
    const audit = createAudit((line) => lines.push(line));
    const record = { phase: "decision", client: "c", request: "1", verb: "ping" } as const;
    audit.note(record);
    audit.note({ ...record, object: 'a\n{"seq":99}' });
    expect(lines.map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual([1, 2]);
    expect(lines.join("")).not.toMatch(/[\r\n]/);
  });

  it("a target in a record holds printable ASCII, no query, 200 characters", () => {
    expect(visible("GET", "/a\u202e\u001b[31m\r\nx?token=secret")).toBe("GET /a??[31m??x");
    expect(visible("GET", `/${"a".repeat(500)}`)).toHaveLength(200);
  });
});

describe("log frames", () => {
  const frame = (stream: number, text: string) => {
    const head = Buffer.alloc(8);
    head[0] = stream;
    head.writeUInt32BE(text.length, 4);
    return Buffer.concat([head, Buffer.from(text)]);
  };
  const pass = async (...chunks: Buffer[]) => {
    const frames = new LogFrames();
    const parts: Buffer[] = [];
    frames.on("data", (part: Buffer) => parts.push(part));
    const done = new Promise((resolve, reject) => frames.on("end", resolve).on("error", reject));
    for (const chunk of chunks) frames.write(chunk);
    frames.end();
    await done;
    return Buffer.concat(parts);
  };

  it("pass byte for byte, wherever the Engine cuts them", async () => {
    const all = Buffer.concat([
      frame(1, "hello"),
      frame(2, ""),
      frame(2, "x".repeat(3000)),
      frame(1, "\0\n"),
    ]);
    for (const size of [1, 3, 7, 8, 9, 100, all.length]) {
      const chunks = [];
      for (let at = 0; at < all.length; at += size) chunks.push(all.subarray(at, at + size));
      expect(await pass(...chunks)).toEqual(all);
    }
  });

  it.each([
    ["the Engine's own error frames", frame(3, "open /var/lib/docker: secret")],
    ["raw terminal output", Buffer.from("plain text output")],
    ["standard input", frame(0, "x")],
  ])("%s end the stream", async (_title, bytes) => {
    await expect(pass(bytes)).rejects.toThrow("no sequence of frames");
  });
});

describe("names in paths", () => {
  it.each(["a/../b", "a//b", "/a", "a/", "a/./b", ".a", "a b", "a?b", "a#b", "a%2e"])(
    "%j is never put into a path",
    (reference) => {
      expect(isPathSafe(reference)).toBe(false);
    },
  );
});

describe("configuration", () => {
  const address = () => "192.0.2.7";
  const env = { BERTH_STACK: "dev", BERTH_GRANTS: encodeGrants(renderGrants()) };

  it("names what is missing or wrong", () => {
    expect(() => readConfig({})).toThrow("BERTH_STACK, BERTH_GRANTS");
    expect(() => readConfig({ ...env, BERTH_STACK: "../x" })).toThrow('BERTH_STACK is "../x"');
    expect(() => readConfig({ ...env, BERTH_GRANTS: "{}" })).toThrow("grants.clients: is missing");
  });

  it("has one listener a client, none shared, and the port on one address only", () => {
    const { listeners } = readConfig(env, address);
    expect(listeners.map((listener) => listener.client).sort()).toEqual([
      "admin-bridge",
      "egress-gateway",
      "secret-store",
    ]);
    expect(new Set(listeners.map((l) => ("port" in l ? l.port : l.socketPath))).size).toBe(3);
    expect(listeners.flatMap((l) => ("host" in l ? [l.host] : []))).toEqual(["192.0.2.7"]);
  });
});
