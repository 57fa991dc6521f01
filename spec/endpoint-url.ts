import { BlockList, isIP } from "node:net";

/** Private networks (RFC 1918, RFC 4193) and the shared one of carriers and Tailscale (RFC 6598). */
const privateNetworks = new BlockList();
for (const [net, prefix] of [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
] as const)
  privateNetworks.addSubnet(net, prefix, "ipv4");
privateNetworks.addSubnet("fc00::", 7, "ipv6");

/**
 * What is wrong with the URL of an endpoint; undefined: nothing. It is https, or http to an address of a private network written
 * as such: a name over http would send the credentials to whoever answers for it. Shown is no more than host and path.
 */
export function problemOfUrl(value: unknown): string | undefined {
  const wanted = "must be a URL like https://api.example.com/v1";
  if (
    typeof value !== "string" ||
    value.length > 1024 ||
    !/^https?:\/\//.test(value) ||
    !URL.canParse(value)
  )
    return wanted;
  const parsed = new URL(value);
  if (parsed.username !== "" || parsed.password !== "")
    return "may hold no user and no password; put them into headers, as references";
  if (/[?#]/.test(value)) return "may hold no query and no fragment";
  const normal = parsed.href.replace(/\/+$/, "");
  if (normal !== value) return `must be written in its normal form, ${normal}`;
  if (parsed.protocol === "http:" && !isPrivateAddress(parsed.hostname))
    return "is http to a name or a public address; write https, or the address in the private network";
  return undefined;
}

function isPrivateAddress(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, "");
  const family = isIP(address);
  return family !== 0 && privateNetworks.check(address, family === 6 ? "ipv6" : "ipv4");
}
