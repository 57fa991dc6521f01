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
  external: ["pg-native", "bufferutil", "utf-8-validate"],
} as const;

/** Gives CommonJS packages inside an ES module the `require` that they expect. Only where there are packages. */
export const requireBanner =
  'import{createRequire as berthRequire}from"node:module";const require=berthRequire(import.meta.url);';
