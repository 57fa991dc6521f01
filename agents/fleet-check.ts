import type { Access, Chat } from "../spec/declaration.ts";
import { itemOf, parseReference } from "../spec/references.ts";
import { referencesIn, type WithReferences } from "../spec/secrets.ts";

/** What the checks between agents read of each. */
interface Member extends WithReferences {
  readonly name: string;
  readonly chat: Chat;
}

/**
 * What is wrong between agents that are each right: equal names, loops of agents that answer each other, and items of 1Password
 * that two of them name: an agent's secrets are its own.
 */
export function problemsOfFleet(agents: readonly Member[]): string[] {
  const names = agents.map((agent) => agent.name);
  const repeated = [...new Set(names.filter((name, i) => names.indexOf(name) !== i))].sort();
  return [
    ...repeated.map((name) => `two agents are named "${name}": rename one, in its file and here`),
    ...loops(agents).map(
      (loop) =>
        `${loop.join(" and ")} would answer each other without end: each answers every message (chat.trigger "all") of the other in a channel that both are in; give one trigger "mention", other channels, or access that leaves the other out`,
    ),
    ...sharedItems(agents).map(
      ({ item, names }) =>
        `${names.join(" and ")} name the same item "${item}": give each its own, so that each has its own rights and can be rotated alone`,
    ),
  ];
}

/** Items that more than one agent's references name, sorted. */
function sharedItems(agents: readonly Member[]): { item: string; names: string[] }[] {
  const users = new Map<string, Set<string>>();
  for (const agent of agents) {
    for (const { reference } of referencesIn(agent)) {
      const parsed = parseReference(reference);
      if (parsed.scheme !== "op") continue;
      const item = itemOf(parsed);
      users.set(item, (users.get(item) ?? new Set()).add(agent.name));
    }
  }
  return [...users]
    .filter(([, names]) => names.size > 1)
    .map(([item, names]) => ({ item, names: [...names].sort() }))
    .sort((a, b) => (a.item < b.item ? -1 : 1));
}

/** Sets of agents of which each hears itself by way of the others, sorted; each agent is in one at most. */
function loops(fleet: readonly Member[]): string[][] {
  // Who answers mentions only is in no loop.
  const agents = fleet.filter((agent) => agent.chat.trigger === "all");
  const heardBy = new Map(
    agents.map((speaker) => [
      speaker.name,
      agents.filter((listener) => hears(listener, speaker)).map((listener) => listener.name),
    ]),
  );
  const reach = new Map(agents.map(({ name }) => [name, reachedFrom(name, heardBy)]));
  const seen = new Set<string>();
  const found: string[][] = [];
  for (const name of [...reach.keys()].sort()) {
    if (seen.has(name) || !reach.get(name)?.has(name)) continue;
    const loop = [...reach.keys()].filter(
      (other) => reach.get(name)?.has(other) && reach.get(other)?.has(name),
    );
    for (const member of loop) seen.add(member);
    found.push(loop.sort());
  }
  return found;
}

/** Whether every message of the speaker is a prompt for the listener. */
function hears(listener: Member, speaker: Member): boolean {
  return (
    listener.name !== speaker.name &&
    listener.chat.channels.some((channel) => speaker.chat.channels.includes(channel)) &&
    admits(listener.chat.access, speaker.name)
  );
}

function admits(access: Access, name: string): boolean {
  if (access.mode === "open") return true;
  const listed = access.users?.includes(name) ?? false;
  return access.mode === "allowlist" ? listed : !listed;
}

/** All agents that a message of `start` can set off, in any number of steps. */
function reachedFrom(start: string, next: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>();
  const open = [...(next.get(start) ?? [])];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (reached.has(name)) continue;
    reached.add(name);
    open.push(...(next.get(name) ?? []));
  }
  return reached;
}
