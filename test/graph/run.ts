import type { Agent } from "../../agents/define.ts";
import { readConfig } from "../../config.ts";
import { program } from "../../program.ts";
import { type Graph, graphOf } from "../support/graph.ts";

/** A stack image's reference without its content: the graph does not depend on which content it is. */
export function imageOf(name: string): string {
  return `localhost/berth/${name}:0123456789ab`;
}

/** The program's graph with these agents. `config` holds keys without their namespace. */
export function graphWith(
  agents: readonly Agent[],
  config: Readonly<Record<string, unknown>> = {},
  options: { readonly stack?: string; readonly preview?: boolean } = {},
): Promise<Graph> {
  const stack = options.stack ?? "dev";
  const raw = Object.fromEntries(
    Object.entries(config).map(([key, value]) => [`berth:${key}`, value]),
  );
  return graphOf(() => program(readConfig(raw, stack), agents, imageOf), { ...options, stack });
}
