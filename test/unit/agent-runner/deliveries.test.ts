import { PassThrough } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { startsAlike } from "../../../services/agent-runner/program/deliveries.ts";
import { programEnvironment } from "../../../services/agent-runner/program/environment.ts";
import { maxLine, readLines } from "../../../services/agent-runner/program/lines.ts";
import { Redaction } from "../../../services/agent-runner/program/redaction.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { declare } from "./support/agent.ts";

const none = { env: {}, files: {}, config: {} };

describe("the program's environment", () => {
  const environment = (declaration: Declaration, env: Record<string, string> = {}) =>
    programEnvironment({
      declaration,
      inherited: { PATH: "/bin", BERTH_RUN: "/elsewhere", BERTH_CONFIG_DIRECTORY: "/inherited" },
      workspace: "/workspace",
      egressPort: 3128,
      mattermostUrl: "http://127.0.0.1:8065",
      directories: { secrets: "/run/berth/secrets", config: "/run/berth/config" },
      delivered: { ...none, env },
    });

  it("has values of env secrets, paths of file secrets, URLs of endpoints on the loopback, the directory of config files", () => {
    const headers = { authorization: "Bearer {{ op://agents/data/key }}" };
    const found = environment(
      declare({
        secrets: { TOKEN: "env:TOKEN", KEY: { from: "env:KEY", as: "file" } },
        endpoints: { "big-model": { url: "https://api.example.com/v1", headers } },
        configFiles: { "config.json": { template: {} } },
      }),
      { TOKEN: "value" },
    );
    expect(found).toMatchObject({
      TOKEN: "value",
      KEY_FILE: "/run/berth/secrets/KEY",
      ENDPOINT_BIG_MODEL_URL: "http://127.0.0.1:3128/endpoints/big-model",
      BERTH_CONFIG_DIRECTORY: "/run/berth/config",
    });
    expect(found).not.toHaveProperty("KEY");
    expect(JSON.stringify(found)).not.toMatch(/authorization|op:|api\.example/);
    expect(found.NO_PROXY).toContain("127.0.0.1");
  });

  it("has nothing of that where nothing is declared, and inherits no setting of berth's", () => {
    const names = Object.keys(environment(declare()));
    expect(names.filter((name) => /^BERTH_|_FILE$|^ENDPOINT_/.test(name))).toEqual([]);
  });
});

describe("redaction", () => {
  const configFiles = {
    "config.json": {
      template: {
        plain: "not-a-secret",
        whole: "op://agents/data/whole",
        list: [{ header: "Bearer {{ op://agents/data/key }} for {{ op://agents/data/user }}" }],
      },
    },
  };
  const rendered = {
    "config.json": JSON.stringify({
      plain: "not-a-secret",
      whole: "whole value",
      list: [{ header: "Bearer the-key for someone" }],
    }),
  };

  it("B16: covers values of variables and files, and of config files what came from references, by name", () => {
    const redaction = new Redaction();
    redaction.learn(
      { configFiles },
      { env: { TOKEN: "env-value" }, files: { KEY: "file-value\n" }, config: rendered },
    );
    expect(redaction.clean("env-value file-value whole value not-a-secret")).toBe(
      "[TOKEN] [KEY] [config.json.whole] not-a-secret",
    );
    expect(redaction.clean("I send the-key as someone")).toBe(
      "I send [config.json.list[0].header] as [config.json.list[0].header]",
    );
    expect(redaction.clean("Bearer the-key for someone!")).toBe("[config.json.list[0].header]!");
  });

  it("covers a value of several lines line by line, and as JSON writes it", () => {
    const redaction = new Redaction();
    const value = '-----BEGIN-----\nabcdefgh"1\nend\n';
    redaction.learn({}, { ...none, files: { KEY: value } });
    expect(redaction.clean('x abcdefgh"1')).toBe("x [KEY]");
    expect(redaction.clean(JSON.stringify({ k: value }))).toBe('{"k":"[KEY]"}');
    expect(redaction.clean("the end")).toBe("the end");
  });

  it("goes on with the value before, and leaves no rest of a longer one", () => {
    const redaction = new Redaction();
    redaction.learn({}, { ...none, env: { SHORT: "abcd" } });
    redaction.learn({}, { ...none, env: { SHORT: "wxyz", LONG: "abcd-and-more" } });
    expect(redaction.clean("abcd wxyz abcd-and-more")).toBe("[SHORT] [SHORT] [LONG]");
  });

  it("leaves alone what is too short, no text, or in no reference of the template", () => {
    const redaction = new Redaction();
    const config = { "config.json": '{"plain":"other","list":"whole"}', "none.json": "{" };
    const also = { ...configFiles, "none.json": { template: "op://agents/data/none" } };
    redaction.learn(
      { configFiles: also },
      { env: { A: "abc" }, files: { B: "\ufffd\ufffdbytes" }, config },
    );
    const line = 'abc \ufffd\ufffdbytes other whole { not-a-secret ""';
    expect(redaction.clean(line)).toBe(line);
  });

  it("never leaves a value of at least four characters, wherever it stands", () => {
    const value = fc.stringMatching(/^[\x21-\x7e]{4,30}$/);
    const text = fc.stringMatching(/^[ a-z]{0,20}$/);
    fc.assert(
      fc.property(value, value, text, text, (one, other, before, after) => {
        const redaction = new Redaction();
        redaction.learn({}, { ...none, env: { X: one }, files: { Y: other } });
        const clean = redaction.clean(`${before}${one}${after}`);
        expect(clean.replaceAll(/\[[XY]\]/g, "·")).not.toContain(one);
      }),
    );
  });

  it("leaves no beginning of a value where a long line is cut off", async () => {
    const value = "begin-of-a-long-value";
    const redaction = new Redaction();
    redaction.learn({}, { ...none, env: { X: value, Y: "begin-another" } });
    for (let part = 0; part <= value.length; part++) {
      const stream = new PassThrough();
      const lines: string[] = [];
      const read = readLines(stream, (line) => lines.push(redaction.clean(line)));
      stream.end(`${"x".repeat(maxLine - part)}${value} and more\n`);
      await read;
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/^x+(\[X\]|b?e?g?)$/);
    }
  });

  it("forgets the oldest of very many", () => {
    const redaction = new Redaction();
    const learn = (from: number) => {
      const values = Array.from({ length: 2_500 }, (_, i) => [
        `N${from + i}`,
        `value-${from + i}.`,
      ]);
      redaction.learn({}, { ...none, env: Object.fromEntries(values) });
    };
    learn(0);
    learn(2_500);
    expect(redaction.clean("value-4999. value-2500.")).toBe("[N4999] [N2500]");
    expect(redaction.clean("value-0.")).toBe("value-0.");
  });
});

describe("a changed declaration", () => {
  const base = declare({ secrets: { TOKEN: "env:TOKEN" } });
  it("starts the program alike where only references, allow-lists, templates or URLs are others", () => {
    const endpoint = (url: string) => ({ model: { url, headers: {} } });
    for (const [a, b] of [
      [base, declare({ secrets: { TOKEN: "op://agents/data/token" }, vaults: ["agents/data"] })],
      [base, declare({ secrets: { TOKEN: { from: "env:TOKEN", generate: 32 } }, egress: ["x.y"] })],
      [
        declare({ endpoints: endpoint("https://a.example") }),
        declare({ endpoints: endpoint("https://b.example") }),
      ],
      [
        declare({ configFiles: { "a.json": { template: 1 } } }),
        declare({ configFiles: { "a.json": { template: 2 } } }),
      ],
    ] as const)
      expect(startsAlike(a, b)).toBe(true);
  });

  it("does not where its program or its variables are others", () => {
    for (const other of [
      declare({ program: { acp: ["other"] }, secrets: base.secrets }),
      declare({ secrets: {} }),
      declare({ secrets: { TOKEN: { from: "env:TOKEN", as: "file" } } }),
      declare({ secrets: { ...base.secrets, MORE: "env:MORE" } }),
      declare({ secrets: base.secrets, configFiles: { "a.json": { template: 1 } } }),
      declare({
        secrets: base.secrets,
        endpoints: { model: { url: "https://a.example", headers: {} } },
      }),
    ])
      expect(startsAlike(base, other)).toBe(false);
  });
});
