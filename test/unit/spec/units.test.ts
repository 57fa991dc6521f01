import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { goDuration, parseBytes } from "../../../spec/units.ts";

describe("parseBytes", () => {
  it.each([
    ["512m", 536_870_912],
    ["4g", 4_294_967_296],
    ["2G", 2_147_483_648],
    ["1048576", 1_048_576],
    ["64k", 65_536],
  ])("%s = %d", (text, bytes) => expect(parseBytes(text)).toBe(bytes));

  it.each(["", "0", "-1", "1.5g", "4 g", "4gb", "g", "99999999999999999g"])(
    "%j is refused with the right spelling",
    (text) => expect(() => parseBytes(text)).toThrow(/"512m"/),
  );
});

describe("goDuration", () => {
  it.each([
    [0, "0s"],
    [1_500, "1.5s"],
    [30_000, "30s"],
    [60_000, "1m0s"],
    [90_000, "1m30s"],
    [3_600_000, "1h0m0s"],
  ])("%d ms = %s", (ms, text) => expect(goDuration(ms)).toBe(text));

  it("never says 60 of a unit, which the provider would read back differently", () =>
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000 }), (seconds) => {
        const [, h = "0", m = "0", s = "0"] =
          /^(?:(\d+)h)?(?:(\d+)m)?(\d+)s$/.exec(goDuration(seconds * 1000)) ?? [];
        expect(Number(h) * 3600 + Number(m) * 60 + Number(s)).toBe(seconds);
        expect(Number(m)).toBeLessThan(60);
        expect(Number(s)).toBeLessThan(60);
      }),
    ));
});
