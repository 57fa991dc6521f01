import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findRule, parseRule, parseRules } from "../../../services/egress-gateway/egress/rules.ts";
import { normaliseHost, parseAuthority } from "../../../services/egress-gateway/egress/target.ts";
import { egressPattern } from "../../../spec/declaration-check.ts";

const allows = (list: readonly string[], authority: string): boolean => {
  const target = parseAuthority(authority);
  return target !== undefined && findRule(parseRules(list), target) !== undefined;
};
const label = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
const name = fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join("."));
const port = fc.integer({ min: 1, max: 65_535 });

describe("allow-lists", () => {
  it.each([
    ["example.com", "example.com:443", true],
    ["example.com", "EXAMPLE.Com:443", true],
    ["example.com", "example.com.:443", true],
    ["example.com", "example.com:80", false],
    ["example.com", "example.com:8443", false],
    ["example.com", "www.example.com:443", false],
    ["example.com", "example.com.evil.test:443", false],
    ["example.com", "notexample.com:443", false],
    ["example.com:8443", "example.com:8443", true],
    ["example.com:8443", "example.com:443", false],
    ["example.com:80", "example.com:80", true],
    ["*.example.com", "www.example.com:443", true],
    ["*.example.com", "a.b.example.com:443", true],
    ["*.example.com", "example.com:443", false],
    ["*.example.com", "badexample.com:443", false],
    ["*.example.com", ".example.com:443", false],
    ["*.example.com:8443", "www.example.com:8443", true],
    ["*.example.com:8443", "www.example.com:443", false],
    ["xn--bcher-kva.example", "xn--bcher-kva.example:443", true],
    ["203.0.113.7", "203.0.113.7:443", true],
    ["203.0.113.7", "3405803783:443", true],
    ["203.0.113.7", "203.0.113.8:443", false],
    ["10.0.0.7:9000", "10.0.0.7:9000", true],
    ["10.0.0.7:9000", "0x0a000007:9000", true],
    ["10.0.0.7:9000", "10.0.0.7:443", false],
  ])("%s allows %s: %s", (entry, authority, expected) => {
    expect(allows([entry], authority)).toBe(expected);
  });

  it("international names are compared in their ASCII form", () => {
    const typed = Buffer.from("Bücher.example:443", "utf8").toString("latin1");
    expect(allows(["xn--bcher-kva.example"], typed)).toBe(true);
  });

  it("an exact entry allows its own host and port and nothing else", () => {
    fc.assert(
      fc.property(name, port, name, port, (host, at, other, otherPort) => {
        expect(allows([`${host}:${at}`], `${host}:${at}`)).toBe(true);
        expect(allows([`${host}:${at}`], `${other}:${otherPort}`)).toBe(
          host === other && at === otherPort,
        );
      }),
    );
  });

  it("a wildcard allows every name below its suffix, never the suffix, never a name that only ends alike", () => {
    fc.assert(
      fc.property(name, fc.array(label, { minLength: 1, maxLength: 3 }), (suffix, below) => {
        const list = [`*.${suffix}`];
        expect(allows(list, `${below.join(".")}.${suffix}:443`)).toBe(true);
        expect(allows(list, `${suffix}:443`)).toBe(false);
        expect(allows(list, `${below.join("")}${suffix}:443`)).toBe(false);
        expect(allows(list, `${suffix}.${below.join(".")}:443`)).toBe(false);
      }),
    );
  });

  it("a list allows what one of its entries allows, in any order", () => {
    fc.assert(
      fc.property(fc.array(name, { maxLength: 6 }), name, (hosts, host) => {
        const expected = hosts.includes(host);
        expect(allows(hosts, `${host}:443`)).toBe(expected);
        expect(allows([...hosts].reverse(), `${host}:443`)).toBe(expected);
      }),
    );
  });

  it("spelling a host differently never changes the answer", () => {
    fc.assert(
      fc.property(name, fc.infiniteStream(fc.boolean()), fc.boolean(), (host, flips, dot) => {
        const typed = [...host].map((c) => (flips.next().value ? c.toUpperCase() : c)).join("");
        expect(allows([host], `${typed}${dot ? "." : ""}:443`)).toBe(true);
      }),
    );
  });

  it("an empty list allows nothing, and a wildcard never matches an address", () => {
    fc.assert(
      fc.property(fc.ipV4(), name, port, (address, host, at) => {
        expect(allows([], `${host}:${at}`)).toBe(false);
        const last = address.split(".").slice(2).join(".");
        expect(allows([`*.${last}:${at}`, `*.com:${at}`], `${address}:${at}`)).toBe(false);
      }),
    );
  });

  it("every entry that a declaration may hold, but a wildcard over an address, is read", () => {
    fc.assert(
      fc.property(fc.constantFrom("", "*."), name, fc.option(port), (star, host, at) => {
        const entry = `${star}${host}${at === null ? "" : `:${at}`}`;
        expect(entry).toMatch(egressPattern);
        expect(parseRule(entry)).toMatchObject({ host, wildcard: star !== "", port: at ?? 443 });
      }),
    );
    expect(parseRule("*.10.0.0.1")).toBeUndefined();
    expect(parseRule("example.com:70000")).toBeUndefined();
  });
});

describe("targets", () => {
  it.each([
    "",
    ":443",
    "example.com",
    "example.com:",
    "example.com:0",
    "example.com:65536",
    "example.com:443:443",
    "example.com:-1",
    "example.com: 443",
    "user@example.com:443",
    "exam%70le.com:443",
    "example.com/:443",
    "example.com#:443",
    "exa mple.com:443",
    "exa\tmple.com:443",
    "example..com:443",
    "-example.com:443",
    "[::1:443",
    "::1:443",
    "[fe80::1%25eth0]:443",
    "1.2.3.4.5:443",
    "1.2.3:99999",
    "foo.0x1f:443",
    "\\example.com:443",
    "exam\u00adple.com:443x",
  ])("%j is none", (written) => {
    expect(parseAuthority(written)).toBeUndefined();
  });

  it.each([
    ["127.1", "127.0.0.1"],
    ["2130706433", "127.0.0.1"],
    ["0x7f.0.0.1", "127.0.0.1"],
    ["0177.0.0.1", "127.0.0.1"],
    ["[0:0:0:0:0:0:0:1]", "::1"],
    ["[::ffff:127.0.0.1]", "::ffff:7f00:1"],
    ["Example.COM.", "example.com"],
  ])("%s is normalised to %s", (written, host) => {
    expect(normaliseHost(written)?.host).toBe(host);
  });

  it("normal form is stable, and no text makes the reader throw", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" }), name), (written) => {
        const once = normaliseHost(written);
        if (!once) return;
        const again = normaliseHost(once.literal === 6 ? `[${once.host}]` : once.host);
        expect(again).toEqual(once);
      }),
      { numRuns: 3_000 },
    );
  });
});
