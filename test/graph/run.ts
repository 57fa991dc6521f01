import type { Agent } from "../../agents/define.ts";
import { readConfig } from "../../config.ts";
import { program } from "../../program.ts";
import { Service } from "../../spec/names.ts";
import { type Graph, graphOf, type Registered } from "../support/graph.ts";

/** Random fleets that each law is tried on. */
export const runs = { numRuns: 25 };

const services: readonly string[] = Object.values(Service);

/** Whether a container is an agent's; all others are the platform's. */
export function isAgent(container: Registered): boolean {
  return !services.includes(container.name);
}

/** A stack image's reference without its content: the graph does not depend on which content it is. */
export function imageOf(name: string): string {
  return `localhost/berth/${name}:0123456789ab`;
}

/** Accepts every reference, as random fleets have them. */
const secrets = { provider: "onepassword", development: true, check: false };

/** The program's graph with these agents. `config` holds keys without their namespace. */
export function graphWith(
  agents: readonly Agent[],
  config: Readonly<Record<string, unknown>> = {},
  options: { readonly stack?: string; readonly preview?: boolean } = {},
): Promise<Graph> {
  const stack = options.stack ?? "dev";
  const raw = Object.fromEntries(
    Object.entries({ secrets, ...config }).map(([key, value]) => [`berth:${key}`, value]),
  );
  return graphOf(() => program(readConfig(raw, stack), agents, imageOf), { ...options, stack });
}
