import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";

/** Just enough of X.509 (RFC 5280) in DER to make an authority and its certificates for a test. */

/** A certificate and its key, in PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const der = (tag: number, ...parts: readonly Buffer[]): Buffer => {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
};
const sequence = (...parts: readonly Buffer[]) => der(0x30, ...parts);
const octets = (...parts: readonly Buffer[]) => der(0x04, ...parts);
const id = (hex: string) => der(0x06, Buffer.from(hex, "hex"));
const yes = der(0x01, Buffer.from([255]));
const ecdsaWithSha256 = sequence(id("2a8648ce3d040302"));
const named = (name: string) =>
  sequence(der(0x31, sequence(id("550403"), der(0x0c, Buffer.from(name)))));
const time = (date: Date) =>
  der(
    0x17,
    Buffer.from(
      `${date
        .toISOString()
        .replace(/[-:T]|\..*/g, "")
        .slice(2)}Z`,
    ),
  );

/** An authority that nobody trusts until they are told to. */
export class Authority {
  readonly #key: KeyObject;
  readonly #name = `test ${randomBytes(4).toString("hex")}`;
  /** Its own certificate, in PEM. */
  readonly cert: string;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = privateKey;
    // Basic constraints: an authority.
    const extension = sequence(id("551d13"), yes, octets(sequence(yes)));
    this.cert = this.#certificate(this.#name, publicKey, extension, 1);
  }

  /** A certificate for hosts, valid for a day from yesterday on, or expired an hour ago. */
  issue(hosts: readonly string[], validity: "valid" | "expired" = "valid"): Certificate {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const names = hosts.map((host) =>
      isIP(host) === 4
        ? der(0x87, Buffer.from(host.split(".").map(Number)))
        : der(0x82, Buffer.from(host)),
    );
    // Subject alternative names.
    const extension = sequence(id("551d11"), octets(sequence(...names)));
    return {
      cert: this.#certificate(hosts[0] ?? "", publicKey, extension, validity === "valid" ? 24 : -1),
      key: String(privateKey.export({ type: "pkcs8", format: "pem" })),
    };
  }

  #certificate(subject: string, key: KeyObject, extension: Buffer, hours: number): string {
    const from = (h: number) => time(new Date(Date.now() + h * 3_600_000));
    const body = sequence(
      der(0xa0, der(0x02, Buffer.from([2]))),
      der(0x02, Buffer.from([1, ...randomBytes(8)])),
      ecdsaWithSha256,
      named(this.#name),
      sequence(from(-24), from(hours)),
      named(subject),
      key.export({ type: "spki", format: "der" }),
      der(0xa3, sequence(extension)),
    );
    const signature = der(0x03, Buffer.from([0]), sign("sha256", body, this.#key));
    const text = sequence(body, ecdsaWithSha256, signature).toString("base64");
    return `-----BEGIN CERTIFICATE-----\n${text.match(/.{1,64}/g)?.join("\n")}\n-----END CERTIFICATE-----\n`;
  }
}
