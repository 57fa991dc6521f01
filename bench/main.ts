import { reasonOf } from "../services/common/log.ts";

/** `proxy [operation…]`: the socket proxy; `secrets`: the secret store; nothing: a real stack, and the secret store. */
const [what, ...rest] = process.argv.slice(2);
const secrets = async () => (await import("./secrets.ts")).benchSecrets();
try {
  if (what === "proxy") process.exitCode = await (await import("./proxy.ts")).benchProxy(rest);
  else if (what === "secrets") process.exitCode = await secrets();
  else {
    await (await import("./stack.ts")).benchStack();
    process.exitCode = await secrets();
  }
} catch (error) {
  console.error(`bench: ${reasonOf(error)}`);
  process.exitCode = 1;
}
