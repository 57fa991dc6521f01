import type { OpReference } from "../../../spec/references.ts";
import { Redacted } from "../../common/redacted.ts";
import { copyOf, maxValueBytes, wipe } from "../value.ts";
import { type Ask, asBackendError, isAboutAll } from "./asker.ts";
import { type Backend, BackendError, type Item, type ItemHead } from "./backend.ts";
import { fieldToWrite, same, selectValue } from "./select.ts";

/** What one look at 1Password said of a reference. */
export type Found =
  | (Where & { readonly kind: "value"; readonly value: Redacted<Buffer> })
  /** A one-time password: the value is that of this look, and goes with it. */
  | (Where & { readonly kind: "otp"; readonly value: Redacted<Buffer> | undefined })
  /** `missing`: what is not there and could be written; a vault cannot. */
  | (Partial<Where> & {
      readonly kind: "gone";
      readonly reason: string;
      readonly missing?: "item" | "field";
    })
  /** `wrong`: somebody has to mend the reference, or what the token opens. */
  | (Partial<Where> & {
      readonly kind: "unavailable";
      readonly reason: string;
      readonly wrong?: true;
    });

/** The item that a reference led to: `vault id/item id`, and its version. */
export interface Where {
  readonly item: string;
  readonly version: string;
}

/** What a look tells, as it comes. */
export interface Sink {
  /** What is known of a reference already: where its item has no other version, it is not read again. */
  known(key: string): Found | undefined;
  /** The item that a reference leads to, before anything in it is read; undefined: none. */
  located(key: string, item: string | undefined): void;
  found(key: string, what: Found): void;
}

/** References by the text that they are called by. */
export type References = ReadonlyMap<string, OpReference>;

/** Clocks further apart make one-time passwords of another moment: one is good for 30 s. */
const maxSkewMs = 20_000;
/** Ids that 1Password makes up, for vaults and items. */
const idPattern = /^[\da-z]{26}$/;

/**
 * Looks once at everything that the references name: the vaults in one request (none where all are named by their ids), each
 * vault's items in one, and each item of another version than is known in one, whatever number of references name it.
 * @throws BackendError of a kind that is about all of it: refused, limited, unreachable
 */
export async function read(
  references: References,
  way: { readonly backend: Backend; readonly ask: Ask },
  sink: Sink,
): Promise<void> {
  const all = [...references].map(([key, reference]) => ({ key, reference }));
  const vaults = await vaultsOf(all, way, sink);
  const lost: BackendError[] = [];
  await Promise.all([...vaults].map(([id, named]) => readVault(id, named, { ...way, lost }, sink)));
  if (lost[0]) throw lost[0];
}

/** Where a value of this reference is to be written. @throws BackendError, also where the vault or the item is not one */
export async function placeOf(
  reference: OpReference,
  way: { readonly backend: Backend; readonly ask: Ask },
): Promise<{ readonly vaultId: string; readonly itemId?: string }> {
  const problem = (what: Found) => {
    throw new BackendError("not-found", "reason" in what ? what.reason : "it has no place");
  };
  const found = (_: string, what: Found) => problem(what);
  const [entry] = await vaultsOf([{ key: "", reference }], way, { located: () => {}, found });
  const [vaultId = ""] = entry ?? [];
  const heads = await way.ask((signal) => way.backend.items(vaultId, signal));
  const item = itemIn(heads, reference);
  if ("id" in item) return { vaultId, itemId: item.id };
  // A new item gets a title of words, never an id that nothing has.
  if (item.missing !== "item" || idPattern.test(reference.item)) problem(item);
  return { vaultId };
}

interface Named {
  readonly key: string;
  readonly reference: OpReference;
}
type Way = Parameters<typeof read>[1];
/** `lost`: of items that got no answer. The others are read first: one agent's item must not keep back the others'. */
type LookWay = Way & { readonly lost: BackendError[] };

/** The references by the id of their vault; of those that have none it says so. */
async function vaultsOf(
  all: readonly Named[],
  { backend, ask }: Way,
  sink: Pick<Sink, "located" | "found">,
): Promise<Map<string, Named[]>> {
  // Not "gone": a token of another account, or one that lost a vault, must not take the files of the whole fleet away.
  const nowhere = (key: string, reason: string) => {
    sink.located(key, undefined);
    sink.found(key, { kind: "unavailable", reason, wrong: true });
  };
  const byName = all.some(({ reference }) => !idPattern.test(reference.vault));
  const heads = byName ? await ask((signal) => listVaults(backend, signal)) : [];
  const vaults = new Map<string, Named[]>();
  for (const named of all) {
    const { vault } = named.reference;
    const ids = idPattern.test(vault)
      ? [vault]
      : heads.filter(({ name }) => same(name, vault)).map(({ id }) => id);
    const [id, ...others] = ids;
    if (id === undefined) {
      nowhere(named.key, `1Password has no vault "${vault}" that the token opens`);
    } else if (others.length > 0) {
      const reason = `too many matches: ${ids.length} vaults are called "${vault}"; write the vault's id instead`;
      nowhere(named.key, reason);
    } else vaults.set(id, [...(vaults.get(id) ?? []), named]);
  }
  return vaults;
}

/** The vaults of the token, with errors in the sense of this: what is about the vaults is about the token. */
export async function listVaults(backend: Backend, signal: AbortSignal) {
  try {
    return await backend.vaults(signal);
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    if (error.kind === "forbidden") throw new BackendError("refused", error.message);
    if (error.kind === "not-found" || error.kind === "bad-answer")
      throw new BackendError("unreachable", error.message);
    throw error;
  }
}

async function readVault(
  vaultId: string,
  named: readonly Named[],
  way: LookWay,
  sink: Sink,
): Promise<void> {
  const heads = await local(() => way.ask((signal) => way.backend.items(vaultId, signal)));
  const items = new Map<string, { readonly head: ItemHead; readonly named: Named[] }>();
  for (const one of named) {
    const head = "of" in heads ? itemIn(heads.of, one.reference) : closed(heads.reason);
    if (!("id" in head)) {
      sink.located(one.key, undefined);
      sink.found(one.key, head);
      continue;
    }
    const before = sink.known(one.key);
    const where = { item: `${vaultId}/${head.id}`, version: head.version };
    sink.located(one.key, where.item);
    if (before && isStill(before, where)) continue;
    const group = items.get(head.id) ?? { head, named: [] };
    group.named.push(one);
    items.set(head.id, group);
  }
  await Promise.all(
    [...items.values()].map(async ({ head, named: own }) => {
      try {
        await readItem(vaultId, head, own, way, sink);
      } catch (error) {
        const known = asBackendError(error);
        if (known.kind !== "unreachable") throw known;
        way.lost.push(known);
      }
    }),
  );
}

/** Of a vault that does not let itself be listed: what was delivered from it stays. */
const closed = (reason: string) => ({ kind: "unavailable", reason, wrong: true }) as const;

/** Whether there is nothing new of a reference where its item still has this version. */
function isStill(before: Found, where: Where): boolean {
  if (before.kind === "otp" || before.kind === "unavailable") return false;
  return before.item === where.item && before.version === where.version;
}

/** The item that a reference names: by its id, else by its title. */
function itemIn(heads: readonly ItemHead[], { item, vault }: OpReference): ItemHead | Gone {
  const byId = idPattern.test(item) ? heads.find(({ id }) => id === item) : undefined;
  if (byId) return byId;
  const [head, ...others] = heads.filter(({ title }) => same(title, item));
  if (head === undefined)
    return { kind: "gone", reason: `the vault "${vault}" has no item "${item}"`, missing: "item" };
  if (others.length === 0) return head;
  const reason = `too many matches: ${others.length + 1} items of the vault "${vault}" are called "${item}"; write the item's id instead, or rename the others`;
  return { kind: "gone", reason };
}

async function readItem(
  vaultId: string,
  head: ItemHead,
  named: readonly Named[],
  way: Way,
  sink: Sink,
): Promise<void> {
  const where = { item: `${vaultId}/${head.id}`, version: head.version };
  const got = await local(() =>
    way.ask((signal) => way.backend.item(vaultId, head.id, signal), "item"),
  );
  if (!("of" in got)) {
    // Of no version: what the list has and cannot be had may be there at the next look.
    for (const { key } of named) sink.found(key, got);
    return;
  }
  try {
    const files = new Map<string, Promise<Local<Redacted<Buffer>>>>();
    const file = (id: string) => {
      const asked =
        files.get(id) ??
        local(() => way.ask((signal) => way.backend.file(vaultId, head.id, id, signal), "item"));
      files.set(id, asked);
      return asked;
    };
    await Promise.all(
      named.map(async ({ key, reference }) =>
        sink.found(key, { ...where, ...(await copyIn(got.of, reference, way.backend, file)) }),
      ),
    );
    for (const asked of files.values()) {
      const read = await asked;
      if ("of" in read) wipe(read.of);
    }
  } finally {
    for (const field of got.of.fields) wipe(field.value);
  }
}

type Gone = Extract<Found, { kind: "gone" }>;
/** What {@link Found} is without the item that it was found in. */
type Value =
  | { readonly kind: "value" | "otp"; readonly value: Redacted<Buffer> }
  | Gone
  | Extract<Found, { kind: "unavailable" }>;

/** A copy of the value that a reference means in an item. */
async function copyIn(
  item: Item,
  reference: OpReference,
  backend: Backend,
  file: (id: string) => Promise<Local<Redacted<Buffer>>>,
): Promise<Value> {
  const selected = selectValue(item, reference);
  if (selected.kind === "problem") {
    const { reason } = selected;
    return isMissing(item, reference)
      ? { kind: "gone", reason, missing: "field" }
      : { kind: "gone", reason };
  }
  if (selected.kind === "file") {
    const size = item.files.find(({ id }) => id === selected.fileId)?.size ?? 0;
    if (size > maxValueBytes) return tooLong(reference);
    const content = await file(selected.fileId);
    // As of an item that cannot be had.
    return "of" in content ? bounded(content.of, reference) : { ...content, version: "" };
  }
  const { value } = selected;
  try {
    if (reference.attribute !== "otp") return bounded(value, reference);
    return oneTime(value, backend);
  } finally {
    // Those of the item itself are wiped when all references have their copies.
    if (!item.fields.some((field) => field.value === value)) wipe(value);
  }
}

/** Whether a reference means a field that is not there, or that holds nothing: one that could be written. */
function isMissing(item: Item, reference: OpReference): boolean {
  if (reference.attribute !== undefined || reference.sshFormat !== undefined) return false;
  try {
    const field = fieldToWrite(item, reference);
    return field?.value === undefined || field.value.reveal().length === 0;
  } catch {
    return false;
  }
}

function oneTime(value: Redacted<Buffer>, backend: Backend): Value {
  const skewMs = backend.clockSkewMs ?? 0;
  if (Math.abs(skewMs) > maxSkewMs) {
    const seconds = Math.round(Math.abs(skewMs) / 1000);
    const reason = `this machine's clock is ${seconds} s ${skewMs > 0 ? "ahead of" : "behind"} 1Password's, so its one-time passwords are of another moment: set the clock`;
    return { kind: "unavailable", reason };
  }
  return { kind: "otp", value: new Redacted(copyOf(value), "secret") };
}

function bounded(value: Redacted<Buffer>, reference: OpReference): Value {
  if (value.reveal().length === 0)
    return { kind: "gone", reason: `"${reference.field}" is empty in 1Password` };
  if (value.reveal().length > maxValueBytes) return tooLong(reference);
  return { kind: "value", value: new Redacted(copyOf(value), "secret") };
}

function tooLong({ field }: OpReference): Gone {
  return { kind: "gone", reason: `"${field}" has more than ${maxValueBytes} bytes in 1Password` };
}

type Local<T> =
  | { readonly of: T }
  | { readonly kind: "gone" | "unavailable"; readonly reason: string };

/** Takes errors that are about one vault or item; the others are about all of them. */
async function local<T>(act: () => Promise<T>): Promise<Local<T>> {
  try {
    return { of: await act() };
  } catch (error) {
    const known = asBackendError(error);
    if (isAboutAll(known)) throw known;
    const { kind, message: reason } = known;
    return { kind: kind === "bad-answer" ? "unavailable" : "gone", reason };
  }
}
