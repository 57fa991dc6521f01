import { objectName } from "../spec/names.ts";
import { CliError } from "./console.ts";
import type { EngineClient } from "./engine-api.ts";
import { type Outputs, outputsOf } from "./pulumi-stack.ts";
import { environmentOf, openSession, prepareTools, type Session } from "./session.ts";
import { findEngine, ownEngine } from "./toolchain/engine.ts";

/** The Engine that runs now. @throws CliError where none answers */
export async function liveEngine(session: Session): Promise<EngineClient> {
  const found = await findEngine(session.env, ownEngine(session.cache));
  if (!found)
    throw new CliError('no Docker Engine answers: run "make up", or "make doctor" for why');
  return found.client;
}

/** The outputs of the session's stack. @throws CliError where it is not up */
export async function liveOutputs(session: Session): Promise<Outputs> {
  const tools = await prepareTools(session);
  return outputsOf({ cli: tools.cli, stack: session.stack, env: environmentOf(session, tools) });
}

/** A quiet session with the running Engine: what commands on a stack that is up begin with. */
export async function openLive(): Promise<{ session: Session; engine: EngineClient }> {
  const session = openSession({ quiet: true });
  return { session, engine: await liveEngine(session) };
}

/** Engine name of a part of the session's stack. */
export function containerOf(session: Session, part: string): string {
  return objectName(session.stack, part);
}
