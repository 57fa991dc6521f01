import type { Explanation } from "./explain.ts";
import type { ShownCall } from "./explain-engine.ts";

/** Where the answer comes from, and what it leaves out. */
export interface Provenance {
  /** What the declarations, images, volumes and networks are. */
  readonly world: string;
  readonly grants: string;
  /** How the input was read. */
  readonly input: readonly string[];
}

/** What only the running proxy has in its memory. */
const unknown =
  "the running proxy's own memory: request rate, creates of the last minute, open streams, suspension, ends of instances; and where the connection comes from";

/** An explanation as lines for people. */
export function linesOf(found: Explanation, from: Provenance): string[] {
  const { request, client, allowed, status, rule, words, fields, layers, asked, sent } = found;
  const width = Math.max(...layers.map(({ layer }) => layer.length));
  return [
    `request   ${visible(request === "" ? "(not readable)" : request)}`,
    `client    ${client}`,
    ...(allowed
      ? [`verdict   allowed: ${found.verb}${status === undefined ? "" : `, answered ${status}`}`]
      : [
          `verdict   refused: ${visible(found.verb)}${status === undefined ? "" : `, answered ${status}`}, by rule ${rule} of layer ${found.layer}`,
          `words     ${words ?? "(none: the connection is closed)"}`,
        ]),
    ...fields.map((field, i) => `${i === 0 ? "differs" : ""}`.padEnd(10) + field),
    "",
    "layers",
    ...layers.map(
      ({ layer, about, state }) => `  ${layer.padEnd(width)}  ${state.padEnd(13)}  ${about}`,
    ),
    ...callsAs("asked of the Engine", asked),
    ...callsAs("sent to the Engine, if this were real", sent),
    ...(allowed && sent.length === 0 ? ["", "Nothing else goes to the Engine."] : []),
    ...(found.more ? ["", "More follows on the connection; only the first was explained."] : []),
    "",
    `from      ${from.world}`,
    `          ${from.grants}`,
    ...from.input.map((line) => `          ${line}`),
    `not seen  ${unknown}`,
  ];
}

function callsAs(title: string, calls: readonly ShownCall[]): string[] {
  if (calls.length === 0) return [];
  return [
    "",
    title,
    ...calls.flatMap(({ method, path, body }) => [
      `  ${method} ${decoded(path)}`,
      ...(body === undefined
        ? []
        : JSON.stringify(body, null, 2)
            .split("\n")
            .map((line) => `  ${line}`)),
    ]),
  ];
}

/** Our own escapes are read more easily undone. */
function decoded(path: string): string {
  return visible(decodeURIComponent(path));
}

function visible(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 400);
}
