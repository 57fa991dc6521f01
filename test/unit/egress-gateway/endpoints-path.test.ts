import { once } from "node:events";
import net from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  localLocation,
  readTarget,
  remotePath,
} from "../../../services/egress-gateway/endpoints/target.ts";
import { EndpointScene, withModel } from "./endpoints-scene.ts";

const base = new URL("https://api.example.com/v1/tenant");
const remote = (url: string) => {
  const local = readTarget(url);
  return local && remotePath(base, local);
};

describe("the path of a request to an endpoint", () => {
  it.each([
    ["/endpoints/model", "/v1/tenant"],
    ["/endpoints/model/", "/v1/tenant/"],
    ["/endpoints/model?a=1", "/v1/tenant?a=1"],
    ["/endpoints/model/chat/completions", "/v1/tenant/chat/completions"],
    ["/endpoints/model/models/a:generate?alt=sse", "/v1/tenant/models/a:generate?alt=sse"],
    ["/endpoints/model/a%20b/%C3%A4/x@y/(1)/it's;v=1", "/v1/tenant/a%20b/%C3%A4/x@y/(1)/it's;v=1"],
    ["/endpoints/model/.well-known/..x/x..y/...a", "/v1/tenant/.well-known/..x/x..y/...a"],
    ["/endpoints/model/a/?", "/v1/tenant/a/"],
    ["/endpoints/model/a?b=/../%2e%2e/\\c", "/v1/tenant/a?b=/../%2e%2e/\\c"],
    ["/endpoints/model/a?key=1&access_token=2&A%70i_Key=3&b=key&%=4", "/v1/tenant/a?b=key&%=4"],
    ["/endpoints/model/a?api_key=own", "/v1/tenant/a"],
  ])("%s goes on as %s", (url, path) => {
    expect(remote(url)).toBe(path);
  });

  it.each([
    "/endpoints/model/..",
    "/endpoints/model/../x",
    "/endpoints/model/a/../../x",
    "/endpoints/model/.",
    "/endpoints/model/./x",
    "/endpoints/model/%2e%2e/x",
    "/endpoints/model/.%2E/x",
    "/endpoints/model/%252e%252e/x",
    "/endpoints/model/a%2fb",
    "/endpoints/model/a%2Fb",
    "/endpoints/model/a%5c..%5cb",
    "/endpoints/model/a\\..\\b",
    "/endpoints/model/a%25",
    "/endpoints/model/..;/x",
    "/endpoints/model/..%3Bjsessionid=1/x",
    "/endpoints/model/.;x",
    "/endpoints/model/.. /x",
    "/endpoints/model/..%20/x",
    "/endpoints/model/.../x",
    "/endpoints/model/..%00/x",
    "/endpoints/model/a%0d%0ahost:x",
    "/endpoints/model/a%7f",
    "/endpoints/model/%c0%ae%c0%ae/x",
    "/endpoints/model/%e0%80%af",
    "/endpoints/model/%ff",
    "/endpoints/model/%EF%BC%8E%EF%BC%8E/x",
    "/endpoints/model/%E2%80%A5/x",
    "/endpoints/model/a%EF%BC%8Fb",
    "/endpoints/model/a%2",
    "/endpoints/model/a%zz",
    "/endpoints/model//x",
    "/endpoints/model/a//b",
    "/endpoints/model//",
    "/endpoints//x",
    "/endpoints/model/a#b",
    "/endpoints/model/a?b#c",
    "/endpoints/model/a?b c",
    "/endpoints/model/a b",
    "/endpoints/model/ä",
    '/endpoints/model/a"b',
    "/endpoints/model/a|b",
    "/endpoints/model/{a}",
    "/endpoints/model@evil.example/x",
    "/endpoints/model:80/x",
    "/endpoints/..",
    "/endpoints/%6dodel/x",
    "/endpoints/model%2fx",
    "/endpointsmodel/x",
    "/Endpoints/model/x",
    "endpoints/model/x",
    "*",
    "",
  ])("%j is refused", (url) => {
    expect(remote(url)).toBeUndefined();
  });

  /** Paths as servers and frameworks read them: decoded again and again, either slash, parameters cut off, dots resolved. */
  function readings(path: string): string[] {
    let text = path.split("?", 1)[0] ?? "";
    const found: string[] = [];
    for (let i = 0; i < 3; i++) {
      for (const form of [text, text.replaceAll("\\", "/"), text.replace(/;[^/]*/g, "")]) {
        const kept: string[] = [];
        for (const part of form.split("/").slice(1)) {
          if (part === "..") kept.pop();
          else if (part !== ".") kept.push(part);
        }
        found.push(`/${kept.join("/")}`);
      }
      text = text.replace(/%([0-9a-f]{2})/gi, (_, hex) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      );
    }
    return found;
  }

  it("whatever an agent writes, no reading of what goes on leaves the endpoint's base", () => {
    const piece = fc.constantFrom(
      ..."/ \\ . .. ... ; %2e %2E %2f %5c %25 %00 %0d %20 : @ ? # & = a v1 tenant .%2e ..; http: // api.example.com".split(
        " ",
      ),
    );
    const rest = fc.array(fc.oneof({ weight: 9, arbitrary: piece }, fc.string({ maxLength: 3 })), {
      maxLength: 12,
    });
    let carried = 0;
    fc.assert(
      fc.property(rest, (parts) => {
        const path = remote(`/endpoints/model/${parts.join("")}`);
        if (path === undefined) return;
        carried += 1;
        for (const reading of readings(path)) expect(`${reading}/`).toMatch(/^\/v1\/tenant\//);
        const url = new URL(path, base.origin);
        expect([url.origin, url.pathname]).toEqual([base.origin, path.split("?", 1)[0]]);
      }),
      { numRuns: 20_000 },
    );
    expect(carried).toBeGreaterThan(100);
  });

  it("a Location is told so that following it leads where the other side meant, through the same endpoint", () => {
    const segment = fc.constantFrom("a", "v1", "tenant", "..", ".", "x%20y", "endpoints", "");
    const written = fc
      .tuple(
        fc.constantFrom(
          "",
          "/",
          "//api.example.com/",
          "https://api.example.com/",
          "https://other.example/",
          "?q=",
        ),
        fc.array(segment, { maxLength: 5 }),
      )
      .map(([start, parts]) => `${start}${parts.join("/")}`);
    fc.assert(
      fc.property(written, (location) => {
        const path = "/v1/tenant/a/b?c=1";
        if (!URL.canParse(location, `${base.origin}${path}`)) return;
        const meant = new URL(location, `${base.origin}${path}`);
        const told = localLocation("model", base, path, location) ?? "";
        const local = new URL(told, "http://127.0.0.1:3128/endpoints/model/a/b?c=1");
        if (local.host !== "127.0.0.1:3128") {
          expect(local.href).toBe(meant.href);
          return;
        }
        const { rest, query } = readTarget(`${local.pathname}${local.search}`) ?? {};
        // Where our own rules refuse the path, following it reaches nobody.
        if (rest === undefined || query === undefined) return;
        expect(remotePath(base, { rest, query })).toBe(`${meant.pathname}${meant.search}`);
      }),
      { numRuns: 5_000 },
    );
  });

  it("what is refused reaches neither store nor API, and is answered with a 400 or 404", async () => {
    await using scene = await EndpointScene.start();
    scene.give("lal", "sk-canary-1234567890");
    await scene.apply(withModel("lal"));
    for (const target of [
      "/endpoints/model/../x",
      "/endpoints/model/a\\..\\b",
      "/endpoints/model/%2e%2e/x",
      "/endpoints/model//x",
      "/endpoints/model/..;/x",
      "//endpoints/model/x",
      "/./endpoints/model/x",
      "/\\endpoints/model/x",
    ]) {
      const socket = net.connect(scene.test.socket("lal"));
      socket.write(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      const [head] = (await once(socket, "data")) as [Buffer];
      expect(String(head), target).toMatch(/^HTTP\/1\.1 40[04] /);
      socket.destroy();
    }
    expect([...scene.asked, ...scene.wire.connected]).toEqual([]);
  });
});
