import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  isAllowed,
  mentionsName,
  promptText,
} from "../../../services/agent-runner/chat/addressing.ts";
import { splitMessage } from "../../../services/agent-runner/chat/split.ts";
import { readSettings } from "../../../services/agent-runner/settings.ts";
import { parseState } from "../../../services/agent-runner/state.ts";

describe("a mention", () => {
  it.each([
    ["@data hello", true],
    ["hello @data", true],
    ["hello, @Data!", true],
    ["(@data)", true],
    ["ask @data.", true],
    ["@data's turn", true],
    ["@data-2 hello", false],
    ["@data.x hello", false],
    ["@database", false],
    ["mail@data", false],
    ["data", false],
    ["`@data` is its name", false],
    ["```\n@data\n```", false],
  ])("%j → %s", (text, is) => expect(mentionsName(text, "data")).toBe(is));
});

describe("the prompt", () => {
  it.each([
    ["@data hello", "hello"],
    ["@data: hello", "hello"],
    ["@data, hello @data", "hello @data"],
    ["hello @data", "hello @data"],
    ["@data-2 hello", "@data-2 hello"],
    ["@data", "@data"],
  ])("%j → %j", (text, prompt) => expect(promptText(text, "data")).toBe(prompt));
});

describe("access", () => {
  it.each([
    ["allowlist", ["alice"], "alice", true],
    ["allowlist", ["alice"], "Alice", true],
    ["allowlist", ["alice"], "bob", false],
    ["allowlist", undefined, "alice", false],
    ["blocklist", ["alice"], "alice", false],
    ["blocklist", ["alice"], "bob", true],
    ["open", undefined, "anyone", true],
  ] as const)("%s %j, %s → %s", (mode, users, name, is) => {
    expect(isAllowed(name, { mode, ...(users ? { users } : {}) })).toBe(is);
  });
});

describe("a split message", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 2_000 });
  const line = fc.oneof(text, fc.constantFrom("```", "```js", "\n", " "));
  const long = fc.array(line, { maxLength: 30 }).map((parts) => parts.join("\n"));

  it("has only pieces within the limit, and none empty", () => {
    fc.assert(
      fc.property(long, (message) => {
        for (const piece of splitMessage(message, 500)) {
          expect(piece.length).toBeLessThanOrEqual(500);
          expect(piece.trim()).not.toBe("");
          expect(piece.isWellFormed()).toBe(message.isWellFormed());
        }
      }),
    );
  });

  it("loses no character but white space and fences", () => {
    const bare = (value: string) => value.replace(/[\s`]/g, "");
    fc.assert(
      fc.property(fc.string({ maxLength: 5_000 }), (message) => {
        const plain = message.replaceAll("`", "'");
        expect(bare(splitMessage(plain, 300).join(""))).toBe(bare(plain));
      }),
    );
  });

  it("keeps every piece but the last while the text grows", () => {
    fc.assert(
      fc.property(long, long, (start, more) => {
        const before = splitMessage(start, 500);
        expect(splitMessage(start + more, 500).slice(0, before.length - 1)).toEqual(
          before.slice(0, -1),
        );
      }),
    );
  });

  it("closes and opens again a code block that it cuts", () => {
    const code = `\`\`\`js\n${"let x = 1;\n".repeat(40)}\`\`\``;
    for (const piece of splitMessage(code, 200)) {
      expect(piece.startsWith("```js\n")).toBe(true);
      expect(piece.trimEnd().endsWith("```")).toBe(true);
    }
  });
});

describe("the state file", () => {
  it("of any JSON gives a usable state or a sentence", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify({ version: 1, ...(value as object) });
        try {
          expect(parseState(text).handled).toBeInstanceOf(Array);
        } catch (error) {
          expect((error as Error).message).toMatch(/no state|JSON/);
        }
      }),
    );
  });
});

describe("settings", () => {
  it("name the variable that is wrong", () => {
    expect(() => readSettings({ BERTH_EGRESS_PORT: "many" })).toThrow(
      'BERTH_EGRESS_PORT is "many": write a whole number from 0 to 65535',
    );
    expect(readSettings({}).egressPort).toBe(3128);
  });
});
