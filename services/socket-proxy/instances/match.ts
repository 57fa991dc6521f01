import { canonicalJson, type Json } from "../../../spec/canonical.ts";
import type { StrictJson } from "../strict-json.ts";
import { isObject, type StrictObject } from "./read.ts";

/**
 * Compares an ordinary Docker create body with what would be made. Nothing of the body goes any further: this only
 * keeps a client from believing that it got something else. Every member must be equal to the rendering or say nothing.
 */

/** Members whose empty list says something: with it, nothing would be hidden from the container. */
const meaningfulWhenEmpty: ReadonlySet<string> = new Set([
  "/HostConfig/MaskedPaths",
  "/HostConfig/ReadonlyPaths",
  // Older Engines read the members of HostConfig at the top, too.
  "/MaskedPaths",
  "/ReadonlyPaths",
]);

/** Objects with fixed members: without a member that says something they say nothing. In any other, the keys speak. */
const structures: ReadonlySet<string> = new Set([
  "",
  "/Healthcheck",
  "/HostConfig",
  "/HostConfig/LogConfig",
  "/HostConfig/RestartPolicy",
  "/NetworkingConfig",
  "/NetworkingConfig/EndpointsConfig/default",
]);

/** Objects whose keys speak, and that may be there although the rendering has none. */
const maps: ReadonlySet<string> = new Set(["/NetworkingConfig/EndpointsConfig"]);

/** What the docker command writes where its user has said nothing. */
const unsaid: ReadonlyMap<string, (value: StrictJson) => boolean> = new Map([
  ["/HostConfig/NetworkMode", (value: StrictJson) => value === "default"],
  ["/HostConfig/RestartPolicy/Name", (value: StrictJson) => value === "no"],
  ["/HostConfig/MemorySwappiness", (value: StrictJson) => value === -1],
  // Size of a terminal that does not exist.
  [
    "/HostConfig/ConsoleSize",
    (value: StrictJson) =>
      Array.isArray(value) && value.length === 2 && value.every((item) => typeof item === "number"),
  ],
]);

/** Lists whose order means nothing. */
const sets: ReadonlySet<string> = new Set([
  "/HostConfig/Binds",
  "/HostConfig/CapDrop",
  "/HostConfig/SecurityOpt",
]);

/**
 * @param asked the client's body
 * @param rendered what would be sent
 * @returns JSON pointers of all members that differ, sorted; `Env` is not looked at, see {@link splitEnvironment}
 */
export function differencesOfBody(asked: StrictObject, rendered: Json): string[] {
  const found: string[] = [];
  const { Env: _, Labels, Image, ...rest } = asked;
  const members = rendered as { readonly [key: string]: Json };
  if (Image !== members.Image) found.push("/Image");
  found.push(...differencesOfLabels(Labels, members.Labels));
  compare(rest, members, "", found);
  return found.sort();
}

function compare(
  asked: StrictJson,
  rendered: Json | undefined,
  pointer: string,
  found: string[],
): void {
  if (saysNothing(asked, pointer)) return;
  if (isObject(asked) && (structures.has(pointer) || maps.has(pointer) || isRendered(rendered))) {
    const members = isRendered(rendered) ? rendered : {};
    for (const [key, value] of Object.entries(asked)) {
      const at = `${pointer}/${pointerKey(key)}`;
      if (Object.hasOwn(members, key)) compare(value, members[key], at, found);
      else if (structures.has(pointer) || structures.has(at)) compare(value, undefined, at, found);
      else found.push(at);
    }
    return;
  }
  if (rendered === undefined || textOf(asked, pointer) !== textOf(rendered, pointer)) {
    found.push(pointer);
  }
}

function isRendered(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function saysNothing(value: StrictJson, pointer: string): boolean {
  if (value === null || value === "" || value === 0 || value === false) return true;
  if (Array.isArray(value) && value.length === 0) return !meaningfulWhenEmpty.has(pointer);
  if (isObject(value) && Object.keys(value).length === 0) return true;
  return unsaid.get(pointer)?.(value) ?? false;
}

function textOf(value: Json | StrictJson, pointer: string): string {
  if (!sets.has(pointer) || !Array.isArray(value)) return canonicalJson(value as Json);
  return canonicalJson(value.map((item) => canonicalJson(item as Json)).sort());
}

/** Labels steer other programs on the host: each must be one that is set anyway. */
function differencesOfLabels(asked: StrictJson | undefined, rendered: Json | undefined): string[] {
  if (asked === undefined || asked === null) return [];
  if (!isObject(asked) || !isRendered(rendered)) return ["/Labels"];
  return Object.entries(asked)
    .filter(([key, value]) => !Object.hasOwn(rendered, key) || rendered[key] !== value)
    .map(([key]) => `/Labels/${pointerKey(key)}`);
}

/**
 * Splits a body's environment into the values of parameters and what must stand in the rendering already.
 * @returns pointers of entries that are neither, and of keys that come twice
 */
export function splitEnvironment(
  asked: StrictJson | undefined,
  isParameter: (key: string) => boolean,
  rendered: readonly string[],
): { readonly parameters: Record<string, string>; readonly differences: string[] } {
  const parameters: Record<string, string> = {};
  const differences: string[] = [];
  if (asked === undefined || asked === null) return { parameters, differences };
  if (!Array.isArray(asked)) return { parameters, differences: ["/Env"] };
  for (const [i, entry] of (asked as readonly StrictJson[]).entries()) {
    const [, key = "", value = ""] =
      typeof entry === "string" ? (/^([A-Z0-9_]+)=(.*)$/s.exec(entry) ?? []) : [];
    if (isParameter(key) && !Object.hasOwn(parameters, key)) parameters[key] = value;
    else if (typeof entry !== "string" || !rendered.includes(entry)) differences.push(`/Env/${i}`);
  }
  return { parameters, differences };
}

/** A key as part of a JSON pointer, fit for a message: other characters than letters, digits and a few more are shown as `?`. */
function pointerKey(key: string): string {
  return key
    .slice(0, 64)
    .replaceAll("~", "~0")
    .replaceAll("/", "~1")
    .replace(/[^A-Za-z0-9_.~:@-]/g, "?");
}
