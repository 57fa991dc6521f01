import type { Item, ItemField } from "@1password/sdk";
import type { SdkClient } from "../../../services/secret-store/onepassword/sdk.ts";

/** What the stand-in holds, and what it is to do. */
export interface SdkWorld {
  token: string;
  readonly vaults: { readonly id: string; readonly title: string; readonly readOnly?: boolean }[];
  readonly items: (Item & { archived?: boolean })[];
  /** Contents of files by their ids. */
  readonly contents: Map<string, Buffer>;
  /** Keys in OpenSSH's format, by the ids of their items. */
  readonly openssh: Map<string, string>;
  /** Thrown by every call, where set. */
  failure: Error | undefined;
  /** Calls never end, where set. */
  hang: boolean;
  /** Names of the calls that were made. */
  readonly calls: string[];
}

/**
 * A stand-in for a client of `@1password/sdk`, typed as the SDK's own. Its errors have the texts that the SDK's core has;
 * the service-account protocol itself cannot be imitated.
 */
export function sdkClient(world: SdkWorld, token: string): SdkClient {
  const call = async <T>(name: string, answer: () => T): Promise<T> => {
    world.calls.push(name);
    if (world.hang) await new Promise(() => {});
    if (world.failure) throw world.failure;
    if (token !== world.token) throw new Error("authentication error: you are not authenticated");
    return structuredClone(answer());
  };
  const vaultOf = (id: string) => {
    const vault = world.vaults.find((one) => one.id === id);
    if (!vault) throw new Error("error listing items: resource not found");
    return vault;
  };
  const itemOf = (vaultId: string, itemId: string) => {
    const item = world.items.find(({ id }) => id === itemId);
    if (!item || item.vaultId !== vaultOf(vaultId).id) throw new Error("item not found");
    return item;
  };
  const writable = (vaultId: string) => {
    if (vaultOf(vaultId).readOnly)
      throw new Error("you don't have the right permissions to access this resource");
  };
  const stored = (item: Item): Item => {
    const now = new Date(Math.max(Date.now(), item.updatedAt.getTime() + 1));
    return { ...item, version: item.version + 1, updatedAt: now };
  };
  const times = { createdAt: new Date(0), updatedAt: new Date(0) };
  return {
    vaults: {
      list: () =>
        call("vaults.list", () =>
          world.vaults.map(({ id, title }) => ({
            id,
            title,
            description: "",
            vaultType: "userCreated" as never,
            activeItemCount: 0,
            contentVersion: 1,
            attributeVersion: 1,
            ...times,
          })),
        ),
    },
    items: {
      list: (vaultId) =>
        call("items.list", () =>
          world.items
            .filter((item) => item.vaultId === vaultOf(vaultId).id)
            .map(({ fields: _f, sections: _s, notes: _n, files: _l, version: _v, ...head }) => ({
              ...head,
              state: (head.archived ? "archived" : "active") as never,
            })),
        ),
      get: (vaultId, itemId) => call("items.get", () => itemOf(vaultId, itemId)),
      create: (params) =>
        call("items.create", () => {
          writable(params.vaultId);
          const item = stored({
            ...{ notes: "", tags: [], websites: [], fields: [], sections: [], version: 0 },
            ...params,
            ...times,
            id: String(world.items.length).padStart(26, "s"),
            files: [],
          } as unknown as Item);
          world.items.push(item);
          return item;
        }),
      put: (item) =>
        call("items.put", () => {
          writable(item.vaultId);
          checkSections(item.fields, item);
          const at = world.items.indexOf(itemOf(item.vaultId, item.id));
          const next = stored(item);
          world.items[at] = next;
          return next;
        }),
      files: {
        read: (vaultId, itemId, { id }) =>
          call("files.read", () => {
            const content = world.contents.get(id);
            if (!content || !itemOf(vaultId, itemId)) throw new Error("resource not found");
            return new Uint8Array(content);
          }),
      },
    },
    secrets: {
      resolve: (reference) =>
        call("secrets.resolve", () => {
          const [, itemId = ""] =
            /^op:\/\/[^/]+\/([^/]+)\/[^/?]+\?ssh-format=openssh$/.exec(reference) ?? [];
          const key = world.openssh.get(itemId);
          if (key === undefined)
            throw new Error(
              "error resolving secret reference: the specified field cannot be found within the item",
            );
          return key;
        }),
    },
  };
}

function checkSections(fields: readonly ItemField[], { sections }: Item): void {
  const known = new Set(sections.map(({ id }) => id));
  if (fields.some(({ sectionId }) => sectionId && !known.has(sectionId)))
    throw new Error("invalid user input: a field's section does not exist");
}
