import { Service } from "../spec/names.ts";
import { parseReference } from "../spec/references.ts";
import { CliError, withoutControls } from "./console.ts";
import { type EngineClient, execIn } from "./engine-api.ts";
import { containerOf } from "./live-stack.ts";
import { declaredIn, placesOf } from "./secrets/declared.ts";
import { node, reasonIn, storeOf } from "./secrets/store.ts";
import type { Session } from "./session.ts";

/**
 * Makes a person's account through the admin bridge.
 * @returns the generated password, this once; undefined where the person has an account already
 * @throws CliError with the bridge's own reason
 */
export async function addUser(
  session: Session,
  engine: EngineClient,
  name: string,
): Promise<string | undefined> {
  const result = await execIn(engine, containerOf(session, Service.adminBridge), [
    node,
    "/opt/berth/admin-bridge.mjs",
    "user-add",
    name,
  ]);
  if (result.exitCode !== 0) {
    const why = (result.stderr || result.stdout).trim();
    throw new CliError(`the account "${name}" could not be made: ${why}`);
  }
  return /^password: (\S+)$/m.exec(result.stdout)?.[1];
}

/** Names of the environment variables that the stack's declarations refer to by `env:NAME`, sorted. */
export async function environmentReferences(
  session: Session,
  engine: EngineClient,
): Promise<string[]> {
  const places = placesOf(await declaredIn(engine, session.stack));
  const names = places.flatMap(({ reference: written }) => {
    const reference = parseReference(written);
    return reference.scheme === "env" ? [reference.name] : [];
  });
  return [...new Set(names)].sort();
}

/**
 * Hands the values of `env:NAME` references, as this process has them, to the secret store. They travel on the standard input
 * of a command inside its container and are kept in memory there.
 * @returns the names that were handed over, and those that have no value here
 */
export async function pushSecrets(
  session: Session,
  engine: EngineClient,
): Promise<{ pushed: string[]; missing: string[] }> {
  const names = await environmentReferences(session, engine);
  const pushed = names.filter((name) => session.env[name]);
  const missing = names.filter((name) => !session.env[name]);
  if (pushed.length > 0) {
    const values = Object.fromEntries(pushed.map((name) => [name, session.env[name]]));
    const result = await storeOf(session, engine).run("push", [], JSON.stringify(values));
    if (result.exitCode !== 0) {
      throw new CliError(`the secret store took no values: ${reasonIn(result)}`);
    }
  }
  return { pushed, missing };
}

/**
 * Gives an agent's bot a new chat token through the admin bridge: the gateway takes it, then the old one is revoked.
 * @returns what became of it, in the bridge's words
 * @throws CliError with the bridge's own reason
 */
export async function rotateBotToken(
  session: Session,
  engine: EngineClient,
  agent: string,
): Promise<string> {
  const result = await execIn(
    engine,
    containerOf(session, Service.adminBridge),
    [node, "/opt/berth/admin-bridge.mjs", "rotate-token", agent],
    "",
    // The bridge asks until it is ready, and the gateway has time to take the token.
    300_000,
  );
  const says = withoutControls(result.exitCode === 0 ? result.stdout : result.stderr).trim();
  if (result.exitCode === 0) return says;
  throw new CliError(
    says ||
      `the admin bridge's command ended with exit code ${result.exitCode}, so the old token may still work: run it again`,
  );
}
