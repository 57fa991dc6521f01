import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../config.ts";
import type { Declaration } from "../spec/declaration.ts";
import { parseReference } from "../spec/references.ts";
import { referencesIn } from "../spec/secrets.ts";
import {
  askOnePassword,
  type Finding,
  type Inquiry,
  type Obstacle,
  pluginHead,
  type VaultQuestion,
} from "./internal/onepassword.ts";

/** Who names a vault or an item. */
interface Mention {
  readonly agent: string;
  readonly place: string;
  /** The item of a secret that berth may generate: `berth secrets create` makes it. */
  readonly generated: boolean;
}

/** Vaults by lower-case name or id, with their items. */
type Wanted = ReadonlyMap<
  string,
  { readonly vault: string; readonly items: ReadonlyMap<string, ItemWanted> }
>;
interface ItemWanted {
  readonly item: string;
  readonly mentions: readonly Mention[];
}

const switchedOff = '"check": false in berth:secrets leaves this check out.';

/** Asks 1Password. */
export type Ask = (
  questions: readonly VaultQuestion[],
  via: StackConfig["secrets"]["via"],
) => Promise<Inquiry>;

/**
 * At preview, asks 1Password whether every vault and item is there that the agents' references name. What is not there fails
 * the preview, all of it listed; where 1Password cannot be asked, one warning says why and the preview goes on. It makes no
 * resource and gives no output, and nothing of 1Password is loaded where there is nothing to ask.
 * @throws pulumi.RunError that lists what is not there; nobody needs to wait for it, Pulumi shows it and fails the preview
 */
export async function checkVaults(
  secrets: StackConfig["secrets"],
  declarations: readonly Declaration[],
  ask: Ask = askOnePassword,
): Promise<void> {
  if (secrets.provider !== "onepassword" || !secrets.check || !pulumi.runtime.isDryRun()) return;
  const wanted = wantedBy(declarations);
  if (wanted.size === 0) return;
  const questions = [...wanted.values()].map(({ vault, items }) => ({
    vault,
    items: [...items.values()].map(({ item }) => item),
  }));
  // The program stays until the answers are told.
  const done = pulumi.runtime.rpcKeepAlive();
  try {
    const failed = (): Inquiry => ({ findings: [], obstacle: "start" });
    await report(wanted, await ask(questions, secrets.via).catch(failed));
  } finally {
    done();
  }
}

function wantedBy(declarations: readonly Declaration[]): Wanted {
  const vaults = new Map<string, { vault: string; items: Map<string, ItemWanted> }>();
  for (const declaration of declarations) {
    for (const { place, reference } of referencesIn(declaration)) {
      const parsed = parseReference(reference);
      if (parsed.scheme !== "op") continue;
      const vault = entry(vaults, parsed.vault, () => ({
        vault: parsed.vault,
        items: new Map<string, ItemWanted>(),
      }));
      const known = vault.items.get(parsed.item.toLowerCase());
      const mention = {
        agent: declaration.name,
        place,
        generated: isGenerated(declaration, place),
      };
      vault.items.set(parsed.item.toLowerCase(), {
        item: known?.item ?? parsed.item,
        mentions: [...(known?.mentions ?? []), mention],
      });
    }
  }
  return vaults;
}

function entry<T>(map: Map<string, T>, name: string, make: () => T): T {
  const key = name.toLowerCase();
  const found = map.get(key) ?? make();
  map.set(key, found);
  return found;
}

function isGenerated({ secrets }: Declaration, place: string): boolean {
  const secret = secrets[place.replace(/^secrets\./, "")];
  return (
    place.startsWith("secrets.") && typeof secret === "object" && secret.generate !== undefined
  );
}

async function report(wanted: Wanted, { findings, obstacle }: Inquiry): Promise<void> {
  const problems: string[] = [];
  const toMake: string[] = [];
  for (const finding of findings) {
    if (finding.state === "found") continue;
    const mentions = mentionsOf(wanted, finding);
    const line = `  - ${subject(finding)}: ${placesOf(mentions)}`;
    const makeable =
      finding.item !== undefined &&
      finding.state === "missing" &&
      mentions.every((mention) => mention.generated);
    (makeable ? toMake : problems).push(line);
  }
  if (toMake.length > 0) {
    await pulumi.log.info(
      `Items that 1Password has not yet and \`berth secrets create\` makes:\n${toMake.sort().join("\n")}`,
    );
  }
  if (obstacle) await warn(obstacle);
  if (problems.length > 0) {
    const error = new pulumi.RunError(
      `1Password has not what the agents' references name:\n${problems.sort().join("\n")}\n` +
        "Write each name as 1Password shows it, or its id; make what is missing; or let the account that this preview uses see the vault. " +
        switchedOff,
    );
    // Pulumi would show it for an error that comes after the program's last line, also of this class.
    error.stack = "";
    throw error;
  }
}

function subject({ vault, item, state }: Finding): string {
  const what = item === undefined ? `vault "${vault}"` : `item "${item}" of vault "${vault}"`;
  return state === "several" ? `${what} is there more than once` : `${what} is not there`;
}

function mentionsOf(wanted: Wanted, { vault, item }: Finding): readonly Mention[] {
  const items = wanted.get(vault.toLowerCase())?.items;
  if (item !== undefined) return items?.get(item.toLowerCase())?.mentions ?? [];
  return [...(items?.values() ?? [])].flatMap(({ mentions }) => mentions);
}

/** `lal (secrets.KEY, secrets.TOKEN), worf (endpoints.model.headers.authorization)` */
function placesOf(mentions: readonly Mention[]): string {
  const byAgent = Map.groupBy(mentions, ({ agent }) => agent);
  return [...byAgent]
    .map(([agent, ones]) => `${agent} (${[...new Set(ones.map((o) => o.place))].join(", ")})`)
    .join(", ");
}

async function warn(obstacle: Obstacle): Promise<void> {
  await pulumi.log.warn(
    `1Password was not asked whether all vaults and items exist: ${await reasonOf(obstacle)}. The preview goes on. ` +
      switchedOff,
  );
}

async function reasonOf(obstacle: Obstacle): Promise<string> {
  switch (obstacle) {
    case "credentials":
      return "set OP_SERVICE_ACCOUNT_TOKEN, OP_ACCOUNT, or OP_CONNECT_HOST and OP_CONNECT_TOKEN for it";
    case "plugin": {
      const { version, server } = await pluginHead();
      return `its Pulumi plugin is missing (pulumi plugin install resource onepassword ${version} --server ${server})`;
    }
    case "start":
      return "its Pulumi plugin does not start or refuses its settings";
    case "program":
      return "its plugin needs 1Password's program op on PATH, or Connect instead";
    case "refused":
      return "it refuses the credentials of the environment";
    case "limited":
      return "it has had too many requests; wait";
    case "away":
      return "it cannot be reached, or answers what nobody understands";
    case "slow":
      return "it takes too long";
  }
}
