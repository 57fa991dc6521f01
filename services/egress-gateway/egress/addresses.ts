import { BlockList, isIP } from "node:net";

/**
 * What an address is, as far as reaching it is concerned.
 * `public`: any allowed name may lead there. `private`: only where the operator says so. All others: never.
 * Documentation ranges count as public: nobody routes them, and test networks stand in for the internet with them.
 */
export type AddressClass =
  | "public"
  | "private"
  | "loopback"
  | "link-local"
  | "metadata"
  | "multicast"
  | "unspecified"
  | "transition"
  | "reserved"
  | "invalid";

/** `[class, prefix/length …]`, the first that matches decides. After IANA's special-purpose registries. */
const v4: readonly (readonly [AddressClass, ...string[]])[] = [
  // Answers of cloud hosts about themselves, credentials included: AWS and most, AWS ECS, Alibaba, Oracle, Azure.
  [
    "metadata",
    "169.254.169.254/32",
    "169.254.170.2/32",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "168.63.129.16/32",
  ],
  ["unspecified", "0.0.0.0/8"],
  ["loopback", "127.0.0.0/8"],
  ["link-local", "169.254.0.0/16"],
  ["private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"],
  ["transition", "192.88.99.0/24"],
  ["multicast", "224.0.0.0/4"],
  ["reserved", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4"],
];
const v6: readonly (readonly [AddressClass, ...string[]])[] = [
  ["metadata", "fd00:ec2::254/128", "fd20:ce::254/128"],
  ["unspecified", "::/128"],
  ["loopback", "::1/128"],
  // Forms that carry an IPv4 address inside: compatible, mapped, translated, NAT64, Teredo, 6to4.
  [
    "transition",
    "::/96",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2001::/32",
    "2002::/16",
  ],
  ["link-local", "fe80::/10", "fec0::/10"],
  ["private", "fc00::/7"],
  ["multicast", "ff00::/8"],
  ["reserved", "2001::/23"],
  // Only global unicast is left as public; all that nobody has assigned is refused.
  ["public", "2000::/3"],
];

const compile = (table: typeof v4, family: "ipv4" | "ipv6") =>
  table.map(([name, ...subnets]) => {
    const list = new BlockList();
    for (const subnet of subnets) {
      const [prefix = "", length] = subnet.split("/");
      list.addSubnet(prefix, Number(length), family);
    }
    return [name, list] as const;
  });
const v4Lists = compile(v4, "ipv4");
const v6Lists = compile(v6, "ipv6");

/** Classifies an address in its usual text form. Text that is no address, or has a zone (`%eth0`), is `invalid`. */
export function classifyAddress(address: string): AddressClass {
  if (address.includes("%")) return "invalid";
  switch (isIP(address)) {
    case 4:
      return v4Lists.find(([, list]) => list.check(address, "ipv4"))?.[0] ?? "public";
    case 6:
      return v6Lists.find(([, list]) => list.check(address, "ipv6"))?.[0] ?? "reserved";
    default:
      return "invalid";
  }
}
