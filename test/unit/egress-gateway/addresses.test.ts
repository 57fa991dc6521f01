import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classifyAddress } from "../../../services/egress-gateway/egress/addresses.ts";

const dotted = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join(".");
/** IPv6 in full, from eight groups. */
const groups = (parts: readonly number[]) => parts.map((p) => p.toString(16)).join(":");

describe("classes of addresses", () => {
  it.each([
    ["8.8.8.8", "public"],
    ["1.1.1.1", "public"],
    ["203.0.113.7", "public"],
    ["198.51.100.1", "public"],
    ["192.0.2.1", "public"],
    ["172.15.255.255", "public"],
    ["172.32.0.0", "public"],
    ["100.63.255.255", "public"],
    ["100.128.0.0", "public"],
    ["10.0.0.0", "private"],
    ["10.255.255.255", "private"],
    ["172.16.0.1", "private"],
    ["172.31.255.255", "private"],
    ["192.168.1.1", "private"],
    ["100.64.0.1", "private"],
    ["127.0.0.1", "loopback"],
    ["127.255.255.254", "loopback"],
    ["0.0.0.0", "unspecified"],
    ["0.1.2.3", "unspecified"],
    ["169.254.169.254", "metadata"],
    ["169.254.170.2", "metadata"],
    ["168.63.129.16", "metadata"],
    ["100.100.100.200", "metadata"],
    ["169.254.1.1", "link-local"],
    ["224.0.0.1", "multicast"],
    ["239.255.255.250", "multicast"],
    ["240.0.0.1", "reserved"],
    ["255.255.255.255", "reserved"],
    ["198.18.0.1", "reserved"],
    ["192.88.99.1", "transition"],
    ["2606:4700::1111", "public"],
    ["2001:db8::1", "public"],
    ["3fff::1", "public"],
    ["2a00:1450::8a", "public"],
    ["::", "unspecified"],
    ["::1", "loopback"],
    ["0:0:0:0:0:0:0:1", "loopback"],
    ["::ffff:127.0.0.1", "transition"],
    ["::ffff:169.254.169.254", "transition"],
    ["::ffff:8.8.8.8", "transition"],
    ["::ffff:a9fe:a9fe", "transition"],
    ["::127.0.0.1", "transition"],
    ["64:ff9b::a9fe:a9fe", "transition"],
    ["64:ff9b:1::1", "transition"],
    ["2002:a9fe:a9fe::", "transition"],
    ["2001::1", "transition"],
    ["2001:2::1", "reserved"],
    ["fe80::1", "link-local"],
    ["febf::1", "link-local"],
    ["fec0::1", "link-local"],
    ["fd00:ec2::254", "metadata"],
    ["fd00:ec2::253", "private"],
    ["fc00::1", "private"],
    ["ff02::1", "multicast"],
    ["4000::1", "reserved"],
    ["100::1", "reserved"],
    ["fe80::1%eth0", "invalid"],
    ["2606:4700::1111%1", "invalid"],
    ["example.com", "invalid"],
    ["127.1", "invalid"],
    ["0177.0.0.1", "invalid"],
    ["", "invalid"],
  ])("%s is %s", (address, expected) => {
    expect(classifyAddress(address)).toBe(expected);
  });

  it("an IPv4 address is public exactly where arithmetic on its bits says so", () => {
    const inside = (n: number, base: string, length: number) => {
      const start = base.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
      return n >= start && n < start + 2 ** (32 - length);
    };
    const notPublic: readonly (readonly [string, number])[] = [
      ["0.0.0.0", 8],
      ["10.0.0.0", 8],
      ["100.64.0.0", 10],
      ["127.0.0.0", 8],
      ["168.63.129.16", 32],
      ["169.254.0.0", 16],
      ["172.16.0.0", 12],
      ["192.0.0.0", 24],
      ["192.88.99.0", 24],
      ["192.168.0.0", 16],
      ["198.18.0.0", 15],
      ["224.0.0.0", 3],
    ];
    const edges = notPublic.flatMap(([base, length]) => {
      const start = base.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
      const end = start + 2 ** (32 - length);
      return [start - 1, start, end - 1, end].filter((n) => n >= 0 && n < 2 ** 32);
    });
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(...edges)),
        (n) => {
          const expected = !notPublic.some(([base, length]) => inside(n, base, length));
          expect(classifyAddress(dotted(n)) === "public").toBe(expected);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("every IPv6 form that carries an IPv4 address is refused, whatever the IPv4 address is", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        fc.constantFrom("mapped", "compatible", "nat64", "6to4", "teredo", "translated"),
        (n, form) => {
          const [high, low] = [n >>> 16, n & 0xffff];
          const address = {
            mapped: [0, 0, 0, 0, 0, 0xffff, high, low],
            compatible: [0, 0, 0, 0, 0, 0, high, low],
            translated: [0, 0, 0, 0, 0xffff, 0, high, low],
            nat64: [0x64, 0xff9b, 0, 0, 0, 0, high, low],
            "6to4": [0x2002, high, low, 0, 0, 0, 0, 1],
            teredo: [0x2001, 0, 0x4136, 0xe378, 0x8000, 1, high, low],
          }[form];
          expect(classifyAddress(groups(address))).not.toBe("public");
          expect(classifyAddress(groups(address))).not.toBe("private");
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("no IPv6 address outside 2000::/3 is public", () => {
    const group = fc.integer({ min: 0, max: 0xffff });
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (parts) => {
        const first = parts[0] ?? 0;
        if (classifyAddress(groups(parts)) === "public") expect(first >> 13).toBe(1);
      }),
      { numRuns: 2_000 },
    );
  });

  it("any text gets a class and no exception", () => {
    fc.assert(fc.property(fc.string(), (text) => typeof classifyAddress(text) === "string"));
  });
});
