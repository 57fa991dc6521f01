import { Redacted } from "../../common/redacted.ts";
import {
  type Backend,
  BackendError,
  type Item,
  type ItemHead,
  type VaultHead,
  type WritePlace,
} from "./backend.ts";
import { type ConnectAddress, ConnectHttp, type ConnectRequest } from "./connect-http.ts";
import {
  checkedId,
  fieldOfPlace,
  newField,
  newItem,
  readItem,
  readItemHeads,
  readVaults,
  sectionToWrite,
  withField,
} from "./item-json.ts";

/**
 * 1Password by a Connect server of one's own, as https://developer.1password.com/docs/connect/api-reference says.
 * @throws BackendError `refused` for a token that can be none
 */
export async function connectBackend(
  address: ConnectAddress,
  token: Redacted<string>,
): Promise<Backend> {
  if (!/^[\x21-\x7e]+$/.test(token.reveal()))
    throw new BackendError(
      "refused",
      "the token of Connect is empty or holds characters that no token has",
    );
  return new ConnectBackend(await ConnectHttp.open(address, token));
}

class ConnectBackend implements Backend {
  readonly kind = "connect";
  readonly #http: ConnectHttp;

  constructor(http: ConnectHttp) {
    this.#http = http;
  }

  get clockSkewMs(): number | undefined {
    return this.#http.clockSkewMs;
  }

  get requests(): number {
    return this.#http.requests;
  }

  close(): void {
    this.#http.close();
  }

  async vaults(signal: AbortSignal): Promise<readonly VaultHead[]> {
    return readVaults(await this.#get("/v1/vaults", "vaults", signal));
  }

  async items(vaultId: string, signal: AbortSignal): Promise<readonly ItemHead[]> {
    const path = `${pathOf(vaultId)}/items`;
    return readItemHeads(await this.#get(path, `items of vault ${vaultId}`, signal));
  }

  async item(vaultId: string, itemId: string, signal: AbortSignal): Promise<Item> {
    return readItem(await this.#get(pathOf(vaultId, itemId), `item ${itemId}`, signal));
  }

  async file(
    vaultId: string,
    itemId: string,
    fileId: string,
    signal: AbortSignal,
  ): Promise<Redacted<Buffer>> {
    const path = `${pathOf(vaultId, itemId)}/files/${checkedId(fileId)}/content`;
    const what = `file ${fileId} of item ${itemId}`;
    return new Redacted(
      await this.#http.bytes({ method: "GET", path, answer: "bytes", what }, signal),
    );
  }

  /** A field that is there is patched alone; only a new section makes the whole item be sent. */
  async write(place: WritePlace, value: Redacted<string>, signal: AbortSignal): Promise<void> {
    const { vaultId, itemId } = place;
    if (itemId === undefined) {
      await this.#send("POST", `${pathOf(vaultId)}/items`, newItem(place, value), signal);
      return;
    }
    const path = pathOf(vaultId, itemId);
    const json = await this.#get(path, `item ${itemId}`, signal);
    const item = readItem(json);
    const existing = fieldOfPlace(item, place);
    if (existing !== undefined) {
      const at = `/fields/${pointer(existing.id)}/value`;
      await this.#send("PATCH", path, [{ op: "replace", path: at, value: value.reveal() }], signal);
      return;
    }
    const section = sectionToWrite(item.sections, place.section);
    if (section?.isNew) {
      await this.#send("PUT", path, withField(json, place, value), signal);
      return;
    }
    const field = newField(place.field, section?.json.id, value);
    await this.#send("PATCH", path, [{ op: "add", path: "/fields", value: field }], signal);
  }

  #get(path: string, what: string, signal: AbortSignal): Promise<unknown> {
    return this.#http.json({ method: "GET", path, what }, signal);
  }

  async #send(
    method: ConnectRequest["method"],
    path: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#http.json({ method, path, body, what: "of a generated value" }, signal);
  }
}

function pathOf(vaultId: string, itemId?: string): string {
  const vault = `/v1/vaults/${checkedId(vaultId)}`;
  return itemId === undefined ? vault : `${vault}/items/${checkedId(itemId)}`;
}

/** A part of a JSON pointer (RFC 6901, section 3). */
function pointer(part: string): string {
  return part.replaceAll("~", "~0").replaceAll("/", "~1");
}
