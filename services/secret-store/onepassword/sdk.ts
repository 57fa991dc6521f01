import { randomUUID } from "node:crypto";
import type { Client, ItemField, Item as SdkItem } from "@1password/sdk";
import { Redacted } from "../../common/redacted.ts";
import {
  type Backend,
  BackendError,
  type Field,
  type Item,
  type ItemHead,
  type VaultHead,
  type WritePlace,
} from "./backend.ts";
import { fieldOfPlace, sectionToWrite } from "./item-json.ts";
import { sdkError } from "./sdk-errors.ts";
import { attributesOf, fieldOf, itemOf, versionOf } from "./sdk-item.ts";

/** The part of the SDK's client that is used: the seam for tests, as the protocol behind it cannot be imitated. */
export type SdkClient = {
  readonly vaults: Pick<Client["vaults"], "list">;
  readonly items: Pick<Client["items"], "list" | "get" | "create" | "put"> & {
    readonly files: Pick<Client["items"]["files"], "read">;
  };
  readonly secrets: Pick<Client["secrets"], "resolve">;
};

/** How long a call of the SDK may take, in ms: the first of a client signs in, of several requests. */
const callTimeMs = 60_000;
/** Largest file that is read, in bytes; more than 50 MB end the SDK's process. */
const maxFileBytes = 16 * 1024 * 1024;

/**
 * 1Password by a service account and 1Password's own SDK, which is loaded when it is used first.
 * @param open makes the client; given by tests
 * @throws BackendError `refused` for an empty token
 */
export function sdkBackend(
  token: Redacted<string>,
  open: (token: Redacted<string>) => Promise<SdkClient> = openClient,
  timeoutMs = callTimeMs,
): Backend {
  if (token.reveal() === "") throw new BackendError("refused", "the token is empty");
  return new SdkBackend(() => open(token), timeoutMs);
}

async function openClient(token: Redacted<string>): Promise<SdkClient> {
  const { createClient } = await import("@1password/sdk");
  return createClient({
    auth: token.reveal(),
    integrationName: "berth",
    integrationVersion: "v1.0.0",
  });
}

class SdkBackend implements Backend {
  readonly kind = "sdk";
  /** The SDK tells no time of 1Password's. */
  readonly clockSkewMs = undefined;
  readonly #open: () => Promise<SdkClient>;
  readonly #timeoutMs: number;
  readonly #closing = new AbortController();
  #client: Promise<SdkClient> | undefined;
  #requests = 0;

  constructor(open: () => Promise<SdkClient>, timeoutMs: number) {
    this.#open = open;
    this.#timeoutMs = timeoutMs;
  }

  /** Calls of the SDK, signing in included; 1Password may count more. */
  get requests(): number {
    return this.#requests;
  }

  close(): void {
    this.#closing.abort();
    this.#client = undefined;
  }

  async vaults(signal: AbortSignal): Promise<readonly VaultHead[]> {
    const vaults = await this.#call("vaults", signal, (client) => client.vaults.list());
    return vaults.map(({ id, title }) => ({ id, name: title }));
  }

  async items(vaultId: string, signal: AbortSignal): Promise<readonly ItemHead[]> {
    const what = `items of vault ${vaultId}`;
    const items = await this.#call(what, signal, (client) => client.items.list(vaultId));
    return items
      .filter(({ state }) => String(state) !== "archived")
      .map(({ id, title, updatedAt }) => ({ id, title, version: versionOf(updatedAt) }));
  }

  async item(vaultId: string, itemId: string, signal: AbortSignal): Promise<Item> {
    const item = await this.#get(vaultId, itemId, signal);
    const fields: Field[] = [];
    for (const field of item.fields)
      fields.push({ ...fieldOf(field), ...(await this.#opensshOf(item, field, signal)) });
    return itemOf(item, fields);
  }

  async file(
    vaultId: string,
    itemId: string,
    fileId: string,
    signal: AbortSignal,
  ): Promise<Redacted<Buffer>> {
    const what = `file ${fileId} of item ${itemId}`;
    const item = await this.#get(vaultId, itemId, signal);
    const file = attributesOf(item).find(({ id }) => id === fileId);
    if (!file) throw new BackendError("not-found", `1Password's SDK: there is no ${what}`);
    if (file.size > maxFileBytes)
      throw new BackendError(
        "bad-answer",
        `1Password's SDK: ${what} has more than ${maxFileBytes} bytes`,
      );
    const content = await this.#call(what, signal, (client) =>
      client.items.files.read(vaultId, itemId, file),
    );
    return new Redacted(Buffer.from(content));
  }

  async write(place: WritePlace, value: Redacted<string>, signal: AbortSignal): Promise<void> {
    const { vaultId, itemId, title } = place;
    const what = "writing of a generated value";
    const { ItemCategory, ItemFieldType } = await import("@1password/sdk");
    const made = (sectionId: string | undefined): ItemField => ({
      // The SDK makes no ids itself; they need only differ within the item.
      id: randomUUID(),
      title: place.field,
      fieldType: ItemFieldType.Concealed,
      value: value.reveal(),
      ...(sectionId === undefined ? {} : { sectionId }),
    });
    if (itemId === undefined) {
      const section = sectionToWrite([], place.section)?.json;
      await this.#call(what, signal, (client) =>
        client.items.create({
          category: ItemCategory.ApiCredentials,
          vaultId,
          title,
          fields: [made(section?.id)],
          sections: section ? [{ id: section.id, title: section.label }] : [],
        }),
      );
      return;
    }
    const item = await this.#get(vaultId, itemId, signal);
    const seen = itemOf(item, item.fields.map(fieldOf));
    const existing = fieldOfPlace(seen, place);
    const section = existing ? undefined : sectionToWrite(seen.sections, place.section);
    const changed: SdkItem = {
      ...item,
      sections: section?.isNew
        ? [...item.sections, { id: section.json.id, title: section.json.label }]
        : item.sections,
      fields: existing
        ? item.fields.map((field) =>
            field.id === existing.id ? { ...field, value: value.reveal() } : field,
          )
        : [...item.fields, made(section?.json.id)],
    };
    await this.#call(what, signal, (client) => client.items.put(changed));
  }

  #get(vaultId: string, itemId: string, signal: AbortSignal): Promise<SdkItem> {
    return this.#call(`item ${itemId}`, signal, (client) => client.items.get(vaultId, itemId));
  }

  /** A private key in OpenSSH's format, which an item does not hold: the SDK converts it when a reference is resolved. */
  async #opensshOf(
    { id, vaultId }: SdkItem,
    field: ItemField,
    signal: AbortSignal,
  ): Promise<Pick<Field, "openssh">> {
    if (String(field.fieldType) !== "SshKey" || !/^[\w.-]+$/.test(field.id)) return {};
    const reference = `op://${vaultId}/${id}/${field.id}?ssh-format=openssh`;
    try {
      const key = await this.#call(`the key of item ${id}`, signal, (client) =>
        client.secrets.resolve(reference),
      );
      return key === "" ? {} : { openssh: new Redacted(key) };
    } catch (error) {
      // A key that cannot be converted must not hide the rest of its item.
      if (error instanceof BackendError && /^(?:bad-answer|not-found)$/.test(error.kind)) return {};
      throw error;
    }
  }

  /** One call, ended by the signal, the time limit or {@link close}: the SDK itself can end none. */
  async #call<T>(
    what: string,
    signal: AbortSignal,
    call: (client: SdkClient) => Promise<T>,
  ): Promise<T> {
    const limit = AbortSignal.timeout(this.#timeoutMs);
    const ended = AbortSignal.any([signal, limit, this.#closing.signal]);
    const work = async () => {
      const client = await this.#connected();
      ended.throwIfAborted();
      this.#requests += 1;
      return await call(client);
    };
    try {
      ended.throwIfAborted();
      return await untilAborted(work(), ended);
    } catch (error) {
      if (ended.aborted) {
        const how = limit.aborted ? `took more than ${this.#timeoutMs / 1000} s` : "was given up";
        throw new BackendError("unreachable", `1Password's SDK: ${what} ${how}`);
      }
      const told = sdkError(error, what);
      // A session that is not believed any more is not used again, nor is an SDK that broke down.
      if (told.kind === "refused" || told.kind === "bad-answer") this.#client = undefined;
      throw told;
    }
  }

  /** The client, signed in once; a failure is forgotten, so that the next call tries again. */
  #connected(): Promise<SdkClient> {
    if (this.#client !== undefined) return this.#client;
    this.#requests += 1;
    const opening = this.#open();
    this.#client = opening;
    opening.catch(() => {
      if (this.#client === opening) this.#client = undefined;
    });
    return opening.catch((error: unknown) => {
      throw sdkError(error, "signing in", "sign-in");
    });
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
