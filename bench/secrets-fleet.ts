import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Declaration } from "../spec/declaration.ts";
import { Path } from "../spec/names.ts";
import { presets } from "../spec/presets.ts";
import type { ItemContent } from "../test/support/onepassword/connect-double.d.mts";

/** Size of the fleet that is measured. */
export const agents = 100;
export const secretsEach = 5;

/** How the values lie in 1Password: all of an agent in one item, or each in an item of its own. */
export const layouts = ["agent", "secret"] as const;
export type Layout = (typeof layouts)[number];

/** The stack and the vault that the fleet lives in. */
export const stack = "bench";
export const vault = "agents";

/** One secret of one agent. */
export interface Placed {
  readonly agent: string;
  readonly name: string;
  readonly item: string;
  readonly field: string;
  value: string;
}

/** A fleet with values that nobody has seen before. */
export class Fleet {
  readonly #layout: Layout;
  readonly placed: readonly Placed[];

  constructor(layout: Layout) {
    this.#layout = layout;
    this.placed = Array.from({ length: agents * secretsEach }, (_, i) => {
      const agent = `agent-${String(Math.floor(i / secretsEach)).padStart(3, "0")}`;
      const number = (i % secretsEach) + 1;
      const own = layout === "agent";
      const item = own ? agent : `${agent}-secret-${number}`;
      const field = own ? `secret-${number}` : "password";
      return { agent, name: `SECRET_${number}`, item, field, value: newValue() };
    });
  }

  /** What the socket proxy would tell of the agents. */
  get declarations(): readonly Declaration[] {
    return [...Map.groupBy(this.placed, ({ agent }) => agent)].map(([agent, placed]) => ({
      version: 1,
      stack,
      name: agent,
      driver: "docker",
      image: "localhost/berth/agent-node:0123456789ab",
      runner: true,
      program: { acp: ["demo-agent"] },
      activation: "on-demand",
      preset: "agent",
      limits: presets.agent,
      chat: { channels: [], trigger: "mention", access: { mode: "open" } },
      network: "sealed",
      egress: [],
      secrets: Object.fromEntries(
        placed.map(({ name, item, field }) => [name, `op://${vault}/${item}/${field}`]),
      ),
      vaults: [...new Set(placed.map(({ item }) => `${vault}/${item}`))].sort(),
      workspace: { retain: false },
    }));
  }

  /** What 1Password has. */
  get items(): readonly ItemContent[] {
    return [...Map.groupBy(this.placed, ({ item }) => item)].map(([title, placed]) => ({
      vault,
      title,
      fields: placed.map(({ field, value }) => ({ label: field, type: "CONCEALED", value })),
    }));
  }

  /** Gives all fields of one item new values. @returns the item as it is now */
  change(): ItemContent {
    const title = this.placed.at(-1)?.item;
    for (const one of this.placed) if (one.item === title) one.value = newValue();
    const item = this.items.find((one) => one.title === title);
    if (!item) throw new Error(`no item for the layout "${this.#layout}"`);
    return item;
  }

  /** Compares every file of the store's with its value. @throws Error that says how many are wrong */
  async check(): Promise<void> {
    const wrong = await Promise.all(
      this.placed.map(async ({ agent, name, value }) => {
        const path = Path.agentSecrets.replace(Path.agentRun, join(Path.agentsRun, agent));
        const text = await readFile(join(path, name), "utf8").catch(() => undefined);
        return text !== value;
      }),
    );
    const count = wrong.filter(Boolean).length;
    if (count > 0)
      throw new Error(`${count} of ${this.placed.length} files are not as they must be`);
  }

  /** Compares every file that the naive client has written. @throws Error that says how many are wrong */
  async checkNaive(folder: string): Promise<void> {
    const files = await readdir(folder);
    const right = await Promise.all(
      this.placed.map(
        async (one, i) => (await readFile(join(folder, String(i)), "utf8")) === one.value,
      ),
    );
    if (files.length !== right.length || right.includes(false))
      throw new Error("the naive client has not delivered every value");
  }
}

function newValue(): string {
  return randomBytes(30).toString("base64url");
}
