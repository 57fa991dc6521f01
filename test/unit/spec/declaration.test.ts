import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Agent, defineAgent, toDeclaration } from "../../../agents/define.ts";
import {
  type Declaration,
  declarationHash,
  decodeDeclaration,
  encodeDeclaration,
  maxDeclarationBytes,
} from "../../../spec/declaration.ts";
import { checkDeclaration } from "../../../spec/declaration-check.ts";
import { agentInput } from "../../support/arbitraries.ts";

const declare = (agent: Agent): Declaration =>
  toDeclaration(agent, { stack: "dev", images: (name) => `localhost/berth/${name}:0123456789ab` });
const lal = declare(defineAgent({ name: "lal", program: { acp: ["demo-agent"] } }));
const changed = (change: object) => checkDeclaration({ ...lal, ...change });

describe("a declaration", () => {
  it("of any valid agent has no problems and survives its label", () =>
    fc.assert(
      fc.property(agentInput(), (input) => {
        const declaration = declare(defineAgent(input));
        expect(checkDeclaration(declaration)).toEqual([]);
        expect(decodeDeclaration(encodeDeclaration(declaration))).toEqual(declaration);
      }),
    ));

  it("is the same text, and the same hash, whatever the order of the agent's members and lists", () => {
    const one = defineAgent({
      name: "lal",
      program: { acp: ["demo-agent"] },
      egress: ["b.example.com", "a.example.com", "b.example.com"],
      secrets: { B: "env:B", A: "env:A" },
    });
    const other = defineAgent({
      secrets: { A: "env:A", B: "env:B" },
      egress: ["a.example.com", "b.example.com"],
      program: { acp: ["demo-agent"] },
      name: "lal",
    });
    expect(encodeDeclaration(declare(one))).toBe(encodeDeclaration(declare(other)));
    expect(declarationHash(declare(one))).toBe(declarationHash(declare(other)));
  });

  it.each([
    [{ driver: "podman" }, 'driver: must be one of "docker", "local"'],
    [{ image: "ghcr.io/a/b:latest" }, /^image: .*never a moving tag/],
    [{ allowMovingTag: false }, "allowMovingTag: must be one of true"],
    [{ preset: "huge" }, /^preset: must be one of "agent"/],
    [{ name: "postgres" }, "name: is a name of the platform itself"],
    [{ name: "l" }, /^name: must be 2 to 31/],
    [
      { chat: { ...lal.chat, channels: ["Town Square"] } },
      "chat.channels[0]: must be a channel name",
    ],
    [{ program: { acp: [], command: [] } }, /^program: must be \{ acp/],
    [{ egress: ["https://example.com"] }, /^egress\[0\]: must be a host/],
    [
      { secrets: { token: "env:A" } },
      "secrets.token: must be a name like API_TOKEN that the program's environment has no other use for",
    ],
    [{ secrets: { TOKEN: "op://v" } }, /^secrets\.TOKEN: "op:\/\/v"/],
    [
      { limits: { ...lal.limits, stopGraceSeconds: 5 } },
      /^limits\.stopGraceSeconds: must be a whole number from 30/,
    ],
    [{ workspace: { retain: "yes" } }, /^workspace\.retain: must be one of true, false/],
    [{ surprise: 1 }, "surprise: is not known"],
    [{ version: 2 }, "version: must be one of 1"],
  ])("A1: %j is refused with its path", (change, wanted) =>
    expect(changed(change)).toEqual([
      typeof wanted === "string" ? wanted : expect.stringMatching(wanted),
    ]),
  );

  it("A1: both drivers are right", () => {
    expect(changed({ driver: "docker" })).toEqual([]);
    expect(changed({ driver: "local" })).toEqual([]);
  });

  it("A2: an image that may move is right only where the declaration says so itself", () => {
    const image = "ghcr.io/chrisromp/copilot-bridge:latest";
    expect(changed({ image })).toHaveLength(1);
    expect(changed({ image, allowMovingTag: true })).toEqual([]);
    expect(changed({ image: "not an image", allowMovingTag: true })).toHaveLength(1);
  });

  it("lists every problem at once", () =>
    expect(changed({ driver: 1, preset: 2, network: 3, egress: 4 })).toHaveLength(4));

  it("over its size is refused when written and when read", () => {
    const big = { ...lal, program: { acp: Array.from({ length: 5 }, () => "x".repeat(4000)) } };
    expect(() => encodeDeclaration(big)).toThrow(/declaration of lal has \d+ bytes; at most 16384/);
    expect(() => decodeDeclaration(" ".repeat(maxDeclarationBytes + 1))).toThrow(/more than/);
  });

  it("that is no JSON, or not one of ours, is refused with all its problems", () => {
    expect(() => decodeDeclaration("{")).toThrow("declaration: not JSON");
    expect(() => decodeDeclaration('{"version":1}')).toThrow(
      /declaration\.name.*declaration\.image/s,
    );
  });
});
