import { type Log, reasonOf } from "../../common/log.ts";
import type { Audit } from "../audit.ts";
import type { EnginePort } from "../engine.ts";
import { EngineError } from "../engine-error.ts";
import { asNumber, asObject, type JsonObject } from "../json.ts";
import type { InstanceLabels, OwnContainer } from "../ownership.ts";
import { projectInspect } from "../project.ts";
import * as upstream from "../upstream.ts";
import { type EndedInstances, type LeaseEnd, logText } from "./ended.ts";

/** A leased container. */
export type Leased = OwnContainer & { readonly agent: string; readonly instance: InstanceLabels };

/** Beyond the grace, the Engine kills; it has this long to report it. */
const stopReportMs = 30_000;

/**
 * Ends an instance: stopped where it runs, its last state and words kept, removed. One that is gone already has ended.
 * @throws EngineError: it may still be there, and this is to be done again
 */
export async function endInstance(
  parts: {
    readonly engine: EnginePort;
    readonly ended: EndedInstances;
    readonly audit: Audit;
    readonly log: Log;
  },
  own: Leased,
  how: {
    readonly end: LeaseEnd;
    readonly graceSeconds: number;
    readonly wasStarted: boolean;
    readonly isOver: boolean;
    /** It is tried once more: its beginning is on record. */
    readonly isAgain: boolean;
  },
): Promise<void> {
  const { engine, ended, audit } = parts;
  const { end, graceSeconds } = how;
  const { name, id, instance, agent } = own;
  const about = { client: instance.client, request: "lease", object: name, id, agent };
  // Not required: an end takes rights away, and must not wait for a disk.
  if (!how.isAgain) audit.note({ ...about, phase: "lease", verb: "remove", rule: end });
  if (how.wasStarted && !how.isOver) {
    const deadlineMs = graceSeconds * 1000 + stopReportMs;
    await unlessGone(engine.status(upstream.stopContainer(id, graceSeconds), { deadlineMs }));
  }
  const inspected = await unlessGone(engine.json(upstream.inspectContainer(id)));
  if (inspected === undefined) return;
  const shown = projectInspect(own, inspected);
  const lastLog = how.wasStarted ? await readLastLog(parts, own) : "";
  ended.add({ id, name, client: instance.client, shown, end, lastLog });
  // "Removal in progress" is as good as done.
  await unlessGone(engine.status(upstream.removeContainer(instance.leasedId)), 409);
  audit.note({ ...about, phase: "result", verb: "remove", ...outcome(shown) });
}

async function readLastLog(
  { engine, log }: { readonly engine: EnginePort; readonly log: Log },
  own: Leased,
): Promise<string> {
  const options = { stdout: true, stderr: true, follow: false, timestamps: false, tail: 100 };
  try {
    const call = upstream.containerLogs(own.id, options);
    return logText(await engine.bytes(call, { maxBytes: 8 * 1024 * 1024 }));
  } catch (error) {
    // Its end does not wait for its words.
    log.warn("last-log-unread", { object: own.name, reason: reasonOf(error) });
    return "";
  }
}

function outcome(shown: JsonObject): { readonly exitCode: number; readonly oomKilled: boolean } {
  const state = asObject(shown.State);
  return { exitCode: asNumber(state.ExitCode), oomKilled: state.OOMKilled === true };
}

/** The answer, or undefined where the container is gone (or `gone` says the same). */
export async function unlessGone<T>(answer: Promise<T>, gone = 404): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineError && (error.status === 404 || error.status === gone))
      return undefined;
    throw error;
  }
}
