import { malformed } from "../denial.ts";
import type { CreateRequest } from "../intent.ts";
import { parseStrict, type StrictJson } from "../strict-json.ts";

/** A JSON object of a client's. */
export type StrictObject = { readonly [key: string]: StrictJson };

/** Whether a value is an object with members. */
export function isObject(value: StrictJson | undefined): value is StrictObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const nativeKeys = ["template", "instance", "parameters"];

/** Reads `{"template":"lal.review","instance":"x1","parameters":{"TASK_ID":"7"}}`. @throws Denial 400 */
export function readNativeCreate(body: Uint8Array): CreateRequest {
  const value = readObject(body);
  const unknown = Object.keys(value).filter((key) => !nativeKeys.includes(key));
  const { template, instance, parameters } = value;
  if (unknown.length > 0 || typeof template !== "string") {
    throw malformed(
      "template",
      'the body must be {"template": …, "instance": …, "parameters": {…}}',
    );
  }
  if (instance !== undefined && typeof instance !== "string") {
    throw malformed("instance", "the instance's name must be a text");
  }
  return { form: "native", template, instance, parameters: readParameters(parameters) };
}

/**
 * Reads an ordinary Docker create body, to be compared with a template. Some clients (dockerode) write all of it into the
 * query as well, and the query's name into the body: what stands there must stand here.
 * @param repeated members that the query has beside its name
 * @throws Denial 400
 */
export function readDockerCreate(
  name: string | undefined,
  body: Uint8Array,
  repeated: readonly string[] = [],
): CreateRequest {
  const { name: repeatedName, ...members } = readObject(body);
  if (repeated.some((key) => !Object.hasOwn(members, key))) {
    throw malformed("query-key", "the query has a key that its body does not have");
  }
  if (repeatedName !== undefined && repeatedName !== name) {
    throw malformed("query-value", "the body has another name than the query");
  }
  return { form: "docker", name, body: members };
}

function readObject(body: Uint8Array): StrictObject {
  const value = parseStrict(body);
  if (!isObject(value)) throw malformed("json-syntax", "the body is no JSON object");
  return value;
}

function readParameters(value: StrictJson | undefined): Record<string, string> {
  if (value === undefined || value === null) return {};
  const entries = isObject(value) ? Object.entries(value) : undefined;
  const texts = entries?.filter((entry): entry is [string, string] => typeof entry[1] === "string");
  if (!entries || texts?.length !== entries.length) {
    throw malformed("parameters", "the parameters must be an object of texts");
  }
  return Object.fromEntries(texts);
}
