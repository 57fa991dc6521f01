import type { ContainerSpec } from "../../../spec/container.ts";
import { instanceContainer, templateHash } from "../../../spec/instance.ts";
import { Label } from "../../../spec/names.ts";
import { reasonOf } from "../../common/log.ts";
import { Denial } from "../denial.ts";
import type { EnginePort } from "../engine.ts";
import { EngineError } from "../engine-error.ts";
import type { CreateRequest } from "../intent.ts";
import { asObject, asText } from "../json.ts";
import { lookup, type OwnContainer, ownOfInspect, pick } from "../ownership.ts";
import type { Exchange, Parts } from "../parts.ts";
import * as upstream from "../upstream.ts";
import {
  checkContainer,
  checkSurroundings,
  type Surroundings,
  surroundingsOf,
} from "../verification.ts";
import { shareOf } from "./quotas.ts";
import { settle } from "./settle.ts";

/**
 * Makes an instance of a template: settled, within the quotas, of the rendering's own body, and compared with it before
 * anybody learns its id. Whatever fails on the way leaves no container.
 * @returns the new container's id
 * @throws Denial, EngineError
 */
export async function createInstance(
  parts: Parts,
  wanted: CreateRequest,
  exchange: Exchange,
): Promise<string> {
  const { client, grant, permission } = exchange;
  const declarations = await parts.declarations.refresh();
  const now = Math.floor(Date.now() / 1000);
  const { template, instance } = settle(wanted, declarations, {
    stack: parts.stack,
    client,
    grant,
    now,
  });
  const spec = instanceContainer(template, instance);
  const around = await surroundingsOf(parts, spec);
  checkSurroundings(parts, spec, around);
  const share = shareOf(client, template.id, spec);
  const reservation = parts.quotas.reserve(share, template, grant, parts.leases.living());
  try {
    permission.give({
      object: spec.name,
      agent: template.declaration.name,
      template: template.id,
      templateHash: templateHash(template),
      instance: instance.name,
    });
    const own = await make(parts, spec, around);
    // Its client went away and has not learned of it: nobody would ever start it.
    if (exchange.response.destroyed) {
      await parts.leases.abort(own);
      throw new Denial(499, "client-gone", "the client went away");
    }
    return own.id;
  } finally {
    reservation.release();
  }
}

async function make(
  parts: Parts,
  spec: ContainerSpec,
  around: Surroundings,
): Promise<OwnContainer> {
  const { engine, stack, leases } = parts;
  let own: OwnContainer | undefined;
  try {
    const id = asText(asObject(await requestCreate(engine, spec)).Id);
    const call = lookup(stack, id);
    const found = call && pick(stack, id, await engine.json(call));
    if (found && isMadeOf(spec, found)) own = found;
    if (!own) throw new EngineError("unusable", "the Engine made something else");
    leases.add(own, spec);
    const inspected = await engine.json(upstream.inspectContainer(own.id));
    if (!ownOfInspect(stack, own.id, inspected)?.instance) {
      throw new EngineError("unusable", "the Engine made something else");
    }
    checkContainer(parts, spec, inspected, around);
    // What went away while it was made, the Engine may have made anew in its own way.
    checkSurroundings(parts, spec, await surroundingsOf(parts, spec));
    return own;
  } catch (error) {
    // A container of that name was there before: it is not ours to remove.
    if (error instanceof Denial && error.rule === "name-taken") throw error;
    await discard(parts, spec, own);
    throw error;
  }
}

/** @throws Denial 409 where the Engine has a container of that name, EngineError */
async function requestCreate(engine: EnginePort, spec: ContainerSpec): Promise<unknown> {
  try {
    return await engine.json(upstream.createContainer(spec));
  } catch (error) {
    if (error instanceof EngineError && error.status === 409) throw taken();
    throw error;
  }
}

/** Removes what a failed create may have left. What cannot be removed now is never started, and ends with its lease. */
async function discard(
  parts: Parts,
  spec: ContainerSpec,
  made: OwnContainer | undefined,
): Promise<void> {
  try {
    const left = made ?? (await findLeft(parts, spec));
    // One that is under its lease is another create's.
    if (!left || (!made && parts.leases.knows(left))) return;
    parts.leases.add(left, spec);
    await parts.leases.abort(left);
  } catch (error) {
    parts.log.error("discard-failed", { object: spec.name, reason: reasonOf(error) });
  }
}

/** The container of a create whose answer never came. */
async function findLeft(
  { engine, stack }: Parts,
  spec: ContainerSpec,
): Promise<OwnContainer | undefined> {
  const call = lookup(stack, spec.name);
  const own = call && pick(stack, spec.name, await engine.json(call));
  return own && isMadeOf(spec, own) ? own : undefined;
}

/** Whether a container is of this very create, by its name, client and lease. Another one is never to be removed for it. */
function isMadeOf(spec: ContainerSpec, own: OwnContainer): boolean {
  return (
    own.name === spec.name &&
    own.instance !== undefined &&
    [Label.client, Label.lease].every((key) => own.labels[key] === spec.Labels[key])
  );
}

function taken(): Denial {
  return new Denial(
    409,
    "name-taken",
    "an instance of this name is there already; choose another name",
  );
}
