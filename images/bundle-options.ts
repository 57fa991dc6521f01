/**
 * Packages that stay outside every bundle, because they read files by where they themselves lie: 1Password's SDK reads 14 MB of
 * WebAssembly beside its code. An image whose programs reach one carries it as an `installed-package`.
 */
export const carriedPackages = ["@1password/sdk-core"] as const;

/** How every program is bundled; part of each image's name. Names stay readable, so that a stack trace helps. */
export const bundleOptions = {
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node24",
  minifyWhitespace: true,
  minifySyntax: true,
  minifyIdentifiers: false,
  charset: "utf8",
  legalComments: "eof",
  sourcemap: false,
  logLevel: "silent",
  // Optional native parts of pg and ws that are not installed: their callers go on without them.
  external: ["pg-native", "bufferutil", "utf-8-validate", ...carriedPackages],
} as const;

/** Gives CommonJS packages inside an ES module the `require` that they expect. Only where there are packages. */
export const requireBanner =
  'import{createRequire as berthRequire}from"node:module";const require=berthRequire(import.meta.url);';

/** Node's `http`, as far as it may be imported by name; another name is an error of the bundling. */
const httpNames = [
  "Agent",
  "ClientRequest",
  "IncomingMessage",
  "METHODS",
  "OutgoingMessage",
  "STATUS_CODES",
  "Server",
  "ServerResponse",
  "createServer",
  "get",
  "globalAgent",
  "maxHeaderSize",
  "request",
  "validateHeaderName",
  "validateHeaderValue",
] as const;

/**
 * Texts that stand in a bundle for modules of Node; part of each image's name. An ES import of `node:http` reads all of its
 * members, also `WebSocket`, `CloseEvent` and `MessageEvent`, which are made when they are read first: that loads a second
 * HTTP client, 13 MB in every process that never uses it. So the members that are used are taken one by one.
 */
export const builtinTexts: Readonly<Record<string, string>> = {
  "node:http": [
    'const http = process.getBuiltinModule("node:http");',
    "export default http;",
    `export const { ${httpNames.join(", ")} } = http;`,
  ].join("\n"),
};
