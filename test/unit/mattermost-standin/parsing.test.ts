import { Script } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mentioned } from "../../../services/mattermost-standin/mentions.ts";
import { parseMultipart } from "../../../services/mattermost-standin/multipart.ts";
import { script } from "../../../services/mattermost-standin/page/script.ts";
import { checkParams, findRoute } from "../../../services/mattermost-standin/routes/index.ts";

describe("mentions", () => {
  const people = [
    { id: "1", username: "lal" },
    { id: "2", username: "data.one" },
    { id: "3", username: "author" },
  ];
  const meant = (message: string, type = "O") => [
    ...mentioned(message, type, people, "3", (id) => id === "2"),
  ];

  it.each([
    ["@lal", ["1"]],
    ["@LAL!", ["1"]],
    ["(@lal)", ["1"]],
    ["@data.one.", ["2"]],
    ["@data", []],
    ["@lals", []],
    ["a@lal", []],
    ["`@lal`", []],
    ["```\n@lal", []],
    ["@all", ["1", "2"]],
    ["@here", ["2"]],
    ["@author", []],
  ])("%j means %j", (message, ids) => {
    expect(meant(message)).toEqual(ids);
  });

  it("in a direct channel everyone but the author is meant", () => {
    expect(meant("hello", "D")).toEqual(["1", "2"]);
  });
});

describe("routes", () => {
  it("fixed words win over parts that vary", () => {
    const path = (method: string, given: string) => findRoute(method, given, false)?.route.path;
    expect(path("GET", "/users/username/tokens")).toBe("/users/username/:username");
    expect(path("POST", "/users/tokens/revoke")).toBe("/users/tokens/revoke");
    expect(path("GET", "/teams/name/members")).toBe("/teams/name/:name");
    expect(path("GET", "/users//teams")).toBeUndefined();
  });

  it("the local-mode socket has no way to delete all users, to log in or to write", () => {
    expect(findRoute("DELETE", "/users", true)).toBeUndefined();
    expect(findRoute("POST", "/users/login", true)).toBeUndefined();
    expect(findRoute("POST", "/posts", true)).toBeUndefined();
  });

  it("me is the caller, and nobody where there is none", () => {
    const me = "a".repeat(26);
    expect(checkParams({ user_id: "me" }, me)).toEqual({ user_id: me });
    expect(() => checkParams({ user_id: "me" }, "")).toThrow("user_id");
  });
});

describe("forms", () => {
  const form = (boundary: string, content: Buffer) =>
    Buffer.concat([
      Buffer.from(
        `--${boundary}\r\nContent-Disposition: form-data; name="channel_id"\r\n\r\nabc\r\n--${boundary}\r\n` +
          'Content-Disposition: form-data; name="files"; filename="a b.bin"\r\nContent-Type: application/zip\r\n\r\n',
      ),
      content,
      Buffer.from(`\r\n--${boundary}--\r\n`),
    ]);

  it("give back every byte", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const content = Buffer.from(bytes);
        const type = "multipart/form-data; boundary=XyZ123";
        const parts = parseMultipart(type, form("XyZ123", content));
        expect(parts).toHaveLength(2);
        expect(parts[0]).toMatchObject({ name: "channel_id", fileName: undefined });
        expect(parts[1]).toMatchObject({ fileName: "a b.bin", mimeType: "application/zip" });
        expect(parts[1]?.content.equals(content)).toBe(true);
      }),
    );
  });

  it("are read as the platform's own FormData writes them", async () => {
    const data = new FormData();
    data.set("channel_id", "abc");
    data.append("files", new Blob(["hé"]), "x.txt");
    const written = new Response(data);
    const body = Buffer.from(await written.arrayBuffer());
    const parts = parseMultipart(written.headers.get("content-type") ?? "", body);
    expect(parts.map((part) => [part.name, part.fileName, part.content.toString()])).toEqual([
      ["channel_id", undefined, "abc"],
      ["files", "x.txt", "hé"],
    ]);
  });

  it("never throw anything but a refusal", () => {
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ maxLength: 200 }), (type, bytes) => {
        try {
          parseMultipart(`multipart/form-data; boundary=${type}`, Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ status: 400 });
        }
      }),
    );
  });
});

describe("the page's script", () => {
  it("is JavaScript, and puts no message into HTML", () => {
    expect(() => new Script(script)).not.toThrow();
    expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/);
  });
});
