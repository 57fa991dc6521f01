import { decodeDeclaration } from "../spec/declaration.ts";
import { Label, Service } from "../spec/names.ts";
import { parseReference } from "../spec/references.ts";
import { CliError } from "./console.ts";
import { type EngineClient, engineJson, execIn } from "./engine-api.ts";
import { containerOf } from "./live-stack.ts";
import type { Session } from "./session.ts";

const node = "/usr/local/bin/node";

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
  const filters = JSON.stringify({ label: [`${Label.stack}=${session.stack}`, Label.declaration] });
  const { Volumes } = await engineJson<{
    Volumes: { Labels: Record<string, string> | null }[] | null;
  }>(engine, { path: `/volumes?filters=${encodeURIComponent(filters)}` });
  const names = (Volumes ?? []).flatMap(({ Labels }) => {
    const { secrets } = decodeDeclaration(Labels?.[Label.declaration] ?? "");
    return Object.values(secrets).flatMap((written) => {
      const reference = parseReference(written);
      return reference.scheme === "env" ? [reference.name] : [];
    });
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
    const result = await execIn(
      engine,
      containerOf(session, Service.secretStore),
      [node, "/opt/berth/secret-store.mjs", "push"],
      JSON.stringify(values),
    );
    if (result.exitCode !== 0) {
      throw new CliError(
        `the secret store took no values: ${(result.stderr || result.stdout).trim()}`,
      );
    }
  }
  return { pushed, missing };
}
