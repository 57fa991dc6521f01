import type { ContainerSpec } from "../../spec/container.ts";
import { createBody } from "../../spec/create-body.ts";
import { Label } from "../../spec/names.ts";
import type { KillSignal, LogOptions, WaitCondition } from "./intent.ts";

/**
 * Every request that the Engine can ever get from this proxy. Pure functions of typed values that were checked before;
 * nothing of a client's target, headers or body is an argument here.
 */

/** Spoken to the Engine, whatever the client names. Engine 20.10 and later know it (29.0 to 29.2 do not). */
export const apiVersion = "1.41";

type Method = "GET" | "POST" | "DELETE";

declare const made: unique symbol;
/** A request to the Engine. Only this file makes one. */
export interface EngineCall {
  readonly method: Method;
  readonly path: string;
  /** JSON, written here. */
  readonly body?: string;
  readonly [made]: true;
}

declare const owned: unique symbol;
/** A full container id that ownership has settled as this stack's own. Only ownership.ts makes one. */
export type OwnedId = string & { readonly [owned]: true };

declare const leased: unique symbol;
/** The id of a container that this proxy made itself, by its labels. Only such can be removed. Only ownership.ts makes one. */
export type LeasedId = OwnedId & { readonly [leased]: true };

function call(method: Method, path: string, body?: object): EngineCall {
  const text = body === undefined ? {} : { body: JSON.stringify(body) };
  return { method, path: `/v${apiVersion}${path}`, ...text } as unknown as EngineCall;
}

const filter = (value: Record<string, readonly string[]>) =>
  encodeURIComponent(JSON.stringify(value));
const ofStack = (stack: string) => `${Label.stack}=${stack}`;

export const ping = (): EngineCall => call("GET", "/_ping");
/** Asks something that needs a living daemon behind the socket. */
export const probe = (): EngineCall => call("GET", "/containers/json?limit=1");
/** The Engine's version range; the one request without a version, which any Engine answers. */
export const version = (): EngineCall =>
  ({ method: "GET", path: "/version" }) as unknown as EngineCall;
export const info = (): EngineCall => call("GET", "/info");

/** Every container of a stack. */
export const listContainers = (stack: string): EngineCall =>
  call("GET", `/containers/json?all=1&filters=${filter({ label: [ofStack(stack)] })}`);
/** At most one container, by its name. `name` holds only `a-z`, `0-9`, `-` and dots, which are written as themselves. */
export const findByName = (stack: string, name: string): EngineCall => {
  const pattern = `^/${name.replaceAll(".", "[.]")}$`;
  return call(
    "GET",
    `/containers/json?all=1&filters=${filter({ label: [ofStack(stack)], name: [pattern] })}`,
  );
};
/** At most one container, by its 64 hex digits. */
export const findById = (stack: string, id: string): EngineCall =>
  call("GET", `/containers/json?all=1&filters=${filter({ id: [id], label: [ofStack(stack)] })}`);

export const inspectContainer = (id: OwnedId): EngineCall => call("GET", `/containers/${id}/json`);
/** Makes a container of a rendering: the only body of any size that the Engine ever gets, and no client's. */
export const createContainer = (spec: ContainerSpec): EngineCall =>
  call("POST", `/containers/create?name=${encodeURIComponent(spec.name)}`, createBody(spec));
/** Removes a container that the proxy made, with the volumes that its image brought along. */
export const removeContainer = (id: LeasedId): EngineCall =>
  call("DELETE", `/containers/${id}?force=1&v=1`);
export const killContainer = (id: OwnedId, signal: KillSignal): EngineCall =>
  call("POST", `/containers/${id}/kill?signal=SIG${signal}`);
/** One reading of the counters, at once. */
export const containerStats = (id: OwnedId): EngineCall =>
  call("GET", `/containers/${id}/stats?stream=0&one-shot=1`);
export const setPidsLimit = (id: OwnedId, limit: number): EngineCall =>
  call("POST", `/containers/${id}/update`, { PidsLimit: limit });
export const startContainer = (id: OwnedId): EngineCall => call("POST", `/containers/${id}/start`);
export const stopContainer = (id: OwnedId, graceSeconds: number): EngineCall =>
  call("POST", `/containers/${id}/stop?t=${graceSeconds}`);
export const waitContainer = (id: OwnedId, condition: WaitCondition): EngineCall =>
  call("POST", `/containers/${id}/wait?condition=${condition}`);

export function containerLogs(id: OwnedId, options: LogOptions): EngineCall {
  const flag = (value: boolean) => (value ? "1" : "0");
  const query = [
    `follow=${flag(options.follow)}`,
    `stdout=${flag(options.stdout)}`,
    `stderr=${flag(options.stderr)}`,
    `timestamps=${flag(options.timestamps)}`,
    `tail=${options.tail}`,
    ...(options.since === undefined ? [] : [`since=${options.since}`]),
    ...(options.until === undefined ? [] : [`until=${options.until}`]),
  ];
  return call("GET", `/containers/${id}/logs?${query.join("&")}`);
}

/** All container and volume events; each is looked at here, since volume events carry no labels to filter by. */
export const events = (): EngineCall =>
  call("GET", `/events?filters=${filter({ type: ["container", "volume"] })}`);
/** The declaration volumes of a stack. */
export const listDeclarations = (stack: string): EngineCall =>
  call("GET", `/volumes?filters=${filter({ label: [ofStack(stack), Label.declaration] })}`);
/** A volume by the name that the rendering gives it. */
export const inspectVolume = (name: string): EngineCall => call("GET", `/volumes/${name}`);
/** A network by the name that spec/names.ts gives it. */
export const inspectNetwork = (name: string): EngineCall => call("GET", `/networks/${name}`);
/** An image by the reference of a checked declaration. */
export const inspectImage = (reference: string): EngineCall =>
  call("GET", `/images/${reference}/json`);

/** Whether a checked reference is also safe as part of a path: no empty segment, none of dots alone. */
export function isPathSafe(reference: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._:@-]*(\/[A-Za-z0-9][A-Za-z0-9._:@-]*)*$/.test(reference);
}
