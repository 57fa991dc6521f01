import type { EnginePort } from "./engine.ts";
import { asObject, asText } from "./json.ts";
import * as upstream from "./upstream.ts";

/** What of the Engine's host decides how it fills in what nobody asked for. */
export interface HostFacts {
  readonly defaultRuntime: string;
  readonly cgroupVersion: string;
  /** False where the kernel cannot limit swap; the Engine then stores -1. */
  readonly swapLimit: boolean;
}

/** Reads the host facts out of the Engine's `info`. */
function hostFacts(answer: unknown): HostFacts {
  const info = asObject(answer);
  return {
    defaultRuntime: asText(info.DefaultRuntime),
    cgroupVersion: asText(info.CgroupVersion),
    swapLimit: info.SwapLimit === true,
  };
}

const knownHosts = new WeakMap<EnginePort, HostFacts>();

/** Forgets the facts: the Engine may be another one now, or have read another configuration. */
export function forgetFacts(engine: EnginePort): void {
  knownHosts.delete(engine);
}

/** Facts of the Engine's host; asked once, until they are forgotten. */
export async function factsOf(engine: EnginePort): Promise<HostFacts> {
  const known = knownHosts.get(engine) ?? hostFacts(await engine.json(upstream.info()));
  knownHosts.set(engine, known);
  return known;
}
