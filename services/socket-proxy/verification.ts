import type { ContainerSpec } from "../../spec/container.ts";
import { Denial, forbidden } from "./denial.ts";
import { EngineError } from "./engine-error.ts";
import { factsOf } from "./host.ts";
import type { Parts } from "./parts.ts";
import * as upstream from "./upstream.ts";
import { differences, type Evidence, namedVolumes, unfitSurroundings } from "./verify.ts";

/** What the Engine says about all that a rendering needs, beside the container itself. */
export type Surroundings = Omit<Evidence, "container">;

/** Asks for image, volumes, networks and host of a rendering. @throws Denial 409 where the image is not there, EngineError */
export async function surroundingsOf(parts: Parts, spec: ContainerSpec): Promise<Surroundings> {
  const { engine } = parts;
  if (!upstream.isPathSafe(spec.Image)) {
    throw forbidden("image-name", "the declared image has a name that cannot be asked for");
  }
  const [image, host, volumes, networks] = await Promise.all([
    optional(engine.json(upstream.inspectImage(spec.Image))),
    factsOf(engine),
    byName(namedVolumes(spec), (name) => engine.json(upstream.inspectVolume(name))),
    byName(Object.keys(spec.Networks), (name) => engine.json(upstream.inspectNetwork(name))),
  ]);
  if (image === undefined) {
    throw new Denial(409, "image-missing", "the declared image is not on this Engine");
  }
  return { image, host, volumes, networks };
}

/**
 * Before a create: what the container would be joined to must be what the rendering means. A volume that is missing
 * would be made by the Engine without a word; one made beforehand can be any directory of the host.
 * @throws Denial 403 with the names of what is not so
 */
export function checkSurroundings(parts: Parts, spec: ContainerSpec, around: Surroundings): void {
  const fields = unfitSurroundings(spec, parts.stack, around);
  if (fields.length > 0) {
    throw forbidden("verify", `what it needs is not as declared: ${fields.join(", ")}`, fields);
  }
}

/** Compares what the Engine would run with the rendering. @throws Denial 403 with the names of all differing fields */
export function checkContainer(
  parts: Parts,
  spec: ContainerSpec,
  container: unknown,
  around: Surroundings,
): void {
  const fields = differences(spec, parts.stack, { ...around, container });
  if (fields.length > 0) {
    throw forbidden("verify", `the container is not as declared: ${fields.join(", ")}`, fields);
  }
}

/** The answer, or undefined where the Engine has no such object. */
async function optional(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}

async function byName(
  names: readonly string[],
  ask: (name: string) => Promise<unknown>,
): Promise<ReadonlyMap<string, unknown>> {
  return new Map(
    await Promise.all(names.map(async (name) => [name, await optional(ask(name))] as const)),
  );
}
