import { reasonOf } from "../services/common/log.ts";

/** `proxy [operation…]`: the socket proxy; nothing: a real stack. */
const [what, ...rest] = process.argv.slice(2);
try {
  if (what === "proxy") process.exitCode = await (await import("./proxy.ts")).benchProxy(rest);
  else await (await import("./stack.ts")).benchStack();
} catch (error) {
  console.error(`bench: ${reasonOf(error)}`);
  process.exitCode = 1;
}
