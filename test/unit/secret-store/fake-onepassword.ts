import { Redacted } from "../../../services/common/redacted.ts";
import type { Clock } from "../../../services/secret-store/clock.ts";
import {
  type Backend,
  BackendError,
  type BackendErrorKind,
  type Field,
  type Item,
} from "../../../services/secret-store/onepassword/backend.ts";

/** A field as a test writes it. */
export interface FakeField {
  readonly id?: string;
  readonly label: string;
  readonly section?: string;
  readonly kind?: string;
  readonly value?: string | Buffer;
  readonly otp?: string;
}
interface FakeItem {
  id: string;
  title: string;
  version: number;
  fields: FakeField[];
  files: { id: string; name: string; content: Buffer; size?: number }[];
}

/** 1Password as the store sees it through a back end: what is in it, whom it answers, and how often it was asked. */
export class FakeOnePassword {
  readonly vaults: { id: string; name: string; items: FakeItem[] }[] = [];
  /** Every request: `vaults`, `items v1`, `item v1/i1`, `file v1/i1/f1`, `write …`. */
  readonly calls: string[] = [];
  tokens = new Set(["good"]);
  clockSkewMs: number | undefined;
  /** Most requests that were under way at a time. */
  most = 0;
  backends = 0;
  closed = 0;
  /** Asked before each answer; an error stops the request, a promise delays it. */
  before: (call: string) => BackendError | Promise<void> | undefined = () => undefined;
  #running = 0;
  #made = 0;

  /** Whether a request is being answered, beside those that a test holds back. */
  get isBusy(): boolean {
    return this.#running > 0;
  }

  vault(name: string, id = `v-${name}`) {
    const found = this.vaults.find((vault) => vault.name === name && vault.id === id);
    if (found) return found;
    const vault = { id, name, items: [] as FakeItem[] };
    this.vaults.push(vault);
    return vault;
  }

  /** Makes an item or gives it new fields, in a new version. */
  put(vault: string, title: string, fields: Readonly<Record<string, string | Buffer>>): FakeItem {
    const list = Object.entries(fields).map(([label, value]) => ({ label, value }));
    const { items } = this.vault(vault);
    const found = items.find((item) => item.title === title);
    if (found) {
      found.fields = list;
      found.version += 1;
      return found;
    }
    this.#made += 1;
    const item = {
      id: `i${this.#made}`,
      title,
      version: 1,
      fields: list as FakeField[],
      files: [],
    };
    items.push(item);
    return item;
  }

  /** Every request is answered with this error from now on; nothing: they succeed. */
  fail(kind?: BackendErrorKind, retryAfterMs?: number): void {
    this.before = () => kind && new BackendError(kind, `it is ${kind}`, retryAfterMs);
  }

  /** As the store calls it. Like the real ones, it asks nothing yet. */
  async make(token: Redacted<string>): Promise<Backend> {
    this.backends += 1;
    const own = token.reveal();
    let requests = 0;
    const ask = async <T>(call: string, answer: () => T): Promise<T> => {
      this.calls.push(call);
      requests += 1;
      this.#running += 1;
      this.most = Math.max(this.most, this.#running);
      try {
        const before = this.before(call);
        if (before instanceof BackendError) throw before;
        // Always later, as over a network.
        if (before) {
          this.#running -= 1;
          await before.finally(() => {
            this.#running += 1;
          });
        } else await new Promise((resolve) => setImmediate(resolve));
        if (!this.tokens.has(own)) throw new BackendError("refused", "the token is not valid");
        return answer();
      } finally {
        this.#running -= 1;
      }
    };
    const vaultOf = (id: string) => {
      const vault = this.vaults.find((one) => one.id === id);
      if (!vault) throw new BackendError("not-found", `no vault ${id}`);
      return vault;
    };
    const itemOf = (vault: string, id: string) => {
      const item = vaultOf(vault).items.find((one) => one.id === id);
      if (!item) throw new BackendError("not-found", `no item ${id}`);
      return item;
    };
    const fake = this;
    return {
      kind: "sdk",
      vaults: () => ask("vaults", () => this.vaults.map(({ id, name }) => ({ id, name }))),
      items: (vault) =>
        ask(`items ${vault}`, () =>
          vaultOf(vault).items.map(({ id, title, version }) => ({
            id,
            title,
            version: String(version),
          })),
        ),
      item: (vault, id) => ask(`item ${vault}/${id}`, () => wholeItem(itemOf(vault, id))),
      file: (vault, id, file) =>
        ask(`file ${vault}/${id}/${file}`, () => {
          const found = itemOf(vault, id).files.find((one) => one.id === file);
          if (!found) throw new BackendError("not-found", `no file ${file}`);
          return new Redacted(Buffer.from(found.content), "file");
        }),
      write: (place, value) =>
        ask(`write ${place.vaultId}/${place.itemId ?? place.title}/${place.field}`, () => {
          const vault = vaultOf(place.vaultId);
          const item = place.itemId
            ? itemOf(place.vaultId, place.itemId)
            : this.put(vault.name, place.title, {});
          const others = item.fields.filter(({ label }) => label !== place.field);
          item.fields = [...others, { label: place.field, value: value.reveal() }];
          item.version += 1;
        }),
      get clockSkewMs() {
        return fake.clockSkewMs;
      },
      get requests() {
        return requests;
      },
      close: () => {
        this.closed += 1;
      },
    };
  }
}

/** The item as a back end gives it: with buffers of the caller's own. */
function wholeItem({ id, title, version, fields, files }: FakeItem): Item {
  const sections = [...new Set(fields.flatMap(({ section }) => section ?? []))];
  return {
    id,
    title,
    version: String(version),
    sections: sections.map((label) => ({ id: label, label })),
    fields: fields.map(
      ({ label, id: own = label, section, kind = "concealed", value, otp }): Field => ({
        id: own,
        label,
        kind,
        ...(section === undefined ? {} : { sectionId: section }),
        value: value === undefined ? undefined : new Redacted(Buffer.from(value), "field"),
        ...(otp === undefined ? {} : { otp: new Redacted(otp, "otp") }),
      }),
    ),
    files: files.map(({ id: own, name, content, size = content.length }) => ({
      id: own,
      name,
      size,
    })),
  };
}

/** A clock that stands until a test moves it. */
export class FakeClock implements Clock {
  #now = Date.UTC(2026, 0, 1);
  readonly #timers = new Set<{ readonly at: number; readonly act: () => void }>();
  /** Gives what began the time to end. */
  settle: () => Promise<void> = settled;

  now(): number {
    return this.#now;
  }

  after(ms: number, act: () => void): () => void {
    const timer = { at: this.#now + ms, act };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Moves on by `ms` and lets what is due begin and end. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const [due] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!due) break;
      this.#timers.delete(due);
      this.#now = due.at;
      due.act();
      await this.settle();
    }
    this.#now = end;
    await this.settle();
  }
}

/** Long enough for answers of a {@link FakeOnePassword} that is not told to wait. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
}
