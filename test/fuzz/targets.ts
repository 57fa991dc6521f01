import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { headCases, lengthCases } from "../unit/socket-proxy/framing-cases.ts";
import { ProxyTarget } from "./proxy.ts";
import type { Target } from "./target.ts";
import { declarationsTarget } from "./targets/declarations.ts";
import { framesTarget } from "./targets/frames.ts";
import { patternTarget } from "./targets/pattern.ts";
import { projectTarget } from "./targets/project.ts";
import { routeTarget } from "./targets/route.ts";
import { matchTarget, settleTarget } from "./targets/settle.ts";
import { jsonTarget } from "./targets/strict-json.ts";
import { verifyTarget } from "./targets/verify.ts";

/** Inputs that are kept: `<target>-<name>.bin`. What was found once is tried again in every run. */
const corpus = join(import.meta.dirname, "../corpus/fuzz");

/** The inputs that are kept for a target. */
export function keptInputs(
  target: string,
  folder = corpus,
): { readonly name: string; readonly input: Uint8Array }[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${target}-`) && name.endsWith(".bin"))
    .sort()
    .map((name) => ({ name, input: readFileSync(join(folder, name)) }));
}

/** Where a finding is kept. */
export function pathOfFinding(target: string, name: string): string {
  return join(corpus, `${target}-${name}.bin`);
}

/** The connections of the framing tests: what is random begins with what was thought of. */
const written = [...lengthCases, ...headCases].map(([, bytes]) => Buffer.from(bytes, "latin1"));

/** All targets; the proxy itself first. */
export function allTargets(): readonly Target[] {
  const kept = keptInputs("proxy").map(({ input }) => input.subarray(4));
  return [
    new ProxyTarget([...kept, ...written]),
    routeTarget,
    jsonTarget,
    framesTarget,
    declarationsTarget,
    patternTarget,
    settleTarget,
    matchTarget,
    verifyTarget,
    projectTarget,
  ];
}
