// A double of a 1Password Connect server, as its API reference and the official clients say
// (https://developer.1password.com/docs/connect/api-reference). On Node's built-ins alone: tests import `startConnect`; a
// container runs this text by `node --input-type=module -e … -- '{"port":8080,…}'`. Connect listens on `port`; on
// `controlPort` a test sets what it holds and how it behaves. test/unit/secret-store/onepassword/connect-double.test.ts drives
// it by the official client.
import { execFileSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

const idPattern = /^[\da-z]{26}$/;
const newId = () =>
  Array.from(randomBytes(26), (byte) => "abcdefghijklmnopqrstuvwxyz234567"[byte % 32]).join("");
const same = (one, other) => String(one).toLowerCase() === String(other).toLowerCase();

/** An error as Connect answers it. */
class Refusal extends Error {
  constructor(status, message, headers = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** RFC 6238 with the defaults of otpauth URIs. @returns undefined where the URI is none */
export function oneTimePassword(uri, now) {
  const secret = /[?&]secret=([A-Za-z2-7]+)/.exec(uri)?.[1];
  if (!secret) return undefined;
  let bits = "";
  for (const letter of secret.toUpperCase())
    bits += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(BigInt(Math.floor(now / 30_000)));
  const mac = createHmac("sha1", key).update(count).digest();
  const number = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

/** What a Connect server holds and how it behaves; the functions of its control API. */
function createState() {
  const vaults = new Map();
  const tokens = new Map();
  let behaviour = {};
  let requests = [];

  const vaultOf = (name) => {
    const found = [...vaults.values()].find((vault) => vault.id === name || same(vault.name, name));
    if (!found) throw new Refusal(404, `control: there is no vault ${name}`);
    return found;
  };
  const itemOf = (vault, title) => {
    const found = [...vaultOf(vault).items.values()].find(
      (i) => i.id === title || i.title === title,
    );
    if (!found) throw new Refusal(404, `control: there is no item ${title}`);
    return found;
  };
  const touch = (item) => {
    item.version += 1;
    item.updatedAt = new Date().toISOString();
    return { id: item.id, version: item.version };
  };
  /** Sections by label, as people name them; fields and files then name the section's id. */
  const fill = (item, { fields = [], files = [], ...attributes }) => {
    const sections = new Map(
      (attributes.sections ?? []).map((section) => [section.label, section]),
    );
    const inSection = (label) => {
      if (label === undefined) return {};
      if (!sections.has(label)) sections.set(label, { id: newId(), label });
      return { section: { id: sections.get(label).id } };
    };
    Object.assign(item, attributes);
    item.fields = fields.map(({ section, ...field }) => ({
      id: newId(),
      type: "STRING",
      ...field,
      ...inSection(section),
    }));
    item.files = files.map(({ section, content = "", ...file }) => ({
      id: newId(),
      content: Buffer.from(content, "base64"),
      ...file,
      ...inSection(section),
    }));
    item.sections = [...sections.values()];
  };

  return {
    vaults,
    tokens,
    get behaviour() {
      return behaviour;
    },
    count(request) {
      requests.push(request);
    },
    control: {
      /** Makes a vault. */
      vault({ name, id = newId() }) {
        vaults.set(id, { id, name, items: new Map() });
        return { id };
      },
      /** Makes an item, or gives the one of this title other content. */
      item({ vault, title, ...content }) {
        const { id, items } = vaultOf(vault);
        const known = content.id
          ? items.get(content.id)
          : [...items.values()].find((item) => item.title === title);
        const now = new Date().toISOString();
        const item = known ?? {
          id: content.id ?? newId(),
          title,
          version: 0,
          vault: { id },
          category: "API_CREDENTIAL",
          tags: [],
          createdAt: now,
        };
        item.title = title;
        fill(item, content);
        items.set(item.id, item);
        return touch(item);
      },
      rename({ vault, title, to }) {
        const item = itemOf(vault, title);
        item.title = to;
        return touch(item);
      },
      remove({ vault, title }) {
        vaultOf(vault).items.delete(itemOf(vault, title).id);
        return {};
      },
      /** Lets a token in; `vaults` (names) and `readOnly` (true, or names) narrow it. `revoked` puts it out. */
      token({ token, revoked = false, readOnly = false, vaults: names }) {
        if (revoked) tokens.delete(token);
        else tokens.set(token, { readOnly, vaults: names });
        return {};
      },
      /**
       * How the server behaves from now on; what is not named is as usual. `delayMs` before each answer · `hang`: no answer
       * · `away`: connections are cut · `cutAfter`: bytes of the body after which the connection is cut · `skewMs`: its clock
       * · `limit: { after, retryAfter }`: 429 after that many requests · `answer: { status, headers, body, times }`: this one.
       */
      behaviour(wanted) {
        behaviour = { ...wanted, since: requests.length };
        return {};
      },
      requests: () => ({ count: requests.length, requests }),
      forget() {
        requests = [];
        return {};
      },
    },
  };
}

/** Connect's API over what the state holds. @returns status, headers and body of an answer */
function answerOf(state, { method, url, headers, body, now }) {
  const { pathname, searchParams } = new URL(url, "http://connect");
  if (pathname === "/heartbeat") return { status: 200, type: "text/plain", body: "." };
  if (pathname === "/health") return json(200, health());
  const grant = authenticate(state, headers.authorization);
  const parts = pathname.replace(/\/+$/, "").split("/").slice(1);
  const [version, collection, vaultId, items, itemId, files, fileId, content, ...more] = parts;
  if (version !== "v1" || more.length > 0) throw new Refusal(404, "Not found");
  if (collection === "activity" && parts.length === 2) return json(200, []);
  if (collection !== "vaults") throw new Refusal(404, "Not found");
  const open = [...state.vaults.values()].filter(
    ({ name }) => grant.vaults === undefined || grant.vaults.includes(name),
  );
  if (vaultId === undefined)
    return json(200, filtered(open, searchParams.get("filter"), "name").map(vaultView));

  if (!idPattern.test(vaultId)) throw new Refusal(400, "Invalid Vault UUID");
  const vault = state.vaults.get(vaultId);
  if (!vault) throw new Refusal(404, `vault ${vaultId} not found`);
  if (!open.includes(vault))
    throw new Refusal(403, `Authorization: token does not have access to vault ${vaultId}`);
  if (items === undefined) return json(200, vaultView(vault));
  if (items !== "items") throw new Refusal(404, "Not found");
  const changes = method !== "GET";
  const { readOnly } = grant;
  if (changes && (readOnly === true || (readOnly || []).includes(vault.name)))
    throw new Refusal(
      403,
      "Authorization: token does not have permission to perform write on vault",
    );
  if (itemId === undefined) {
    if (method === "POST") return json(200, full(create(vault, parse(body)), now));
    return json(
      200,
      filtered([...vault.items.values()], searchParams.get("filter"), "title").map(overview),
    );
  }

  if (!idPattern.test(itemId)) throw new Refusal(400, "Invalid Item UUID");
  const item = vault.items.get(itemId);
  if (!item) throw new Refusal(404, `item ${itemId} not found`);
  if (files === undefined) return itemAnswer(vault, item, method, body, now);
  if (files !== "files") throw new Refusal(404, "Not found");
  if (fileId === undefined)
    return json(
      200,
      item.files.map((file) => fileView(item, file)),
    );
  const file = item.files.find(({ id }) => id === fileId);
  if (!file) throw new Refusal(404, `file ${fileId} not found`);
  if (content === undefined) return json(200, fileView(item, file));
  const disposition = `attachment; filename="${file.name}"`;
  return {
    status: 200,
    type: "application/octet-stream",
    headers: { "content-disposition": disposition },
    body: file.content,
  };
}

function itemAnswer(vault, item, method, body, now) {
  if (method === "GET") return json(200, full(item, now));
  if (method === "DELETE") {
    vault.items.delete(item.id);
    return { status: 204, body: "" };
  }
  if (method !== "PUT" && method !== "PATCH") throw new Refusal(405, "Method not allowed");
  const before = item.version;
  if (method === "PATCH") patch(item, parse(body));
  else {
    const wanted = parse(body);
    if (wanted.id !== item.id || wanted.vault?.id !== vault.id)
      throw new Refusal(400, "The item's UUID or vault does not match");
    Object.assign(item, accepted(wanted));
  }
  item.version = before + 1;
  item.updatedAt = new Date(now).toISOString();
  // Connect answers a PUT with the version that was replaced.
  return json(200, { ...full(item, now), ...(method === "PUT" ? { version: before } : {}) });
}

function create(vault, wanted) {
  if (wanted.vault?.id !== vault.id)
    throw new Refusal(400, "Vault UUID in body and path must match");
  if (typeof wanted.category !== "string") throw new Refusal(400, "Missing category");
  const now = new Date().toISOString();
  const item = {
    id: newId(),
    version: 1,
    vault: { id: vault.id },
    files: [],
    createdAt: now,
    updatedAt: now,
    ...accepted(wanted),
  };
  vault.items.set(item.id, item);
  return item;
}

/** What a client may say of an item. A field's section must be one of the item's. */
function accepted({ title = "", category, tags = [], favorite, urls, sections = [], fields = [] }) {
  const known = new Set(sections.map(({ id }) => id));
  const checked = fields.map((field) => {
    if (field.section && !known.has(field.section.id))
      throw new Refusal(400, "A field's section does not exist");
    const generated = field.generate ? { value: randomBytes(24).toString("base64url") } : {};
    return {
      id: field.id || newId(),
      ...field,
      ...generated,
      type: (field.type ?? "STRING").toUpperCase(),
    };
  });
  return { title, category, tags, favorite, urls, sections, fields: checked };
}

/** The subset of JSON Patch that Connect documents: fields by their id. */
function patch(item, operations) {
  if (!Array.isArray(operations)) throw new Refusal(400, "Invalid patch document");
  for (const { op, path, value } of operations) {
    if (!["add", "remove", "replace"].includes(op)) throw new Refusal(400, "Unsupported operation");
    const [attribute, id, part, ...more] = path
      .slice(1)
      .split("/")
      .map((p) => p.replaceAll("~1", "/").replaceAll("~0", "~"));
    if (more.length > 0) throw new Refusal(400, "Invalid path");
    if (attribute !== "fields") {
      if (op === "remove") delete item[attribute];
      else item[attribute] = value;
    } else if (id === undefined)
      Object.assign(item, accepted({ ...item, fields: [...item.fields, value] }));
    else {
      const at = item.fields.findIndex((field) => field.id === id);
      if (at < 0) throw new Refusal(400, `field ${id} not found`);
      if (part !== undefined) {
        if (op === "remove") delete item.fields[at][part];
        else item.fields[at][part] = value;
      } else item.fields.splice(at, 1, ...(op === "remove" ? [] : [{ id, ...value }]));
    }
  }
}

function authenticate(state, authorization = "") {
  const token = /^Bearer (.+)$/.exec(authorization)?.[1];
  if (token === undefined)
    throw new Refusal(401, "Authentication: Missing or malformed Authorization header");
  const grant = state.tokens.get(token);
  if (!grant) throw new Refusal(401, "Invalid token signature");
  return grant;
}

/** `title eq "X"`, also for vaults, as the official client writes it; `name eq "X"`, as the reference does; `co`: contains. */
function filtered(entries, filter, attribute) {
  if (filter === null) return entries;
  const [, name, verb, wanted] = /^(title|name|tag) (eq|co) "(.*)"$/.exec(filter) ?? [];
  if (wanted === undefined) throw new Refusal(400, "Invalid filter");
  const valuesOf = (entry) => (name === "tag" ? entry.tags : [entry[attribute]]);
  return entries.filter((entry) =>
    valuesOf(entry).some((value) =>
      verb === "eq" ? same(value, wanted) : value.toLowerCase().includes(wanted.toLowerCase()),
    ),
  );
}

const vaultView = ({ id, name, items }) => ({
  id,
  name,
  type: "USER_CREATED",
  items: items.size,
  attributeVersion: 1,
  contentVersion: 1,
});
/** An item in a list: never with fields. */
const overview = ({ fields: _fields, sections: _sections, files: _files, ...head }) => head;
const full = (item, now) => ({
  ...overview(item),
  sections: item.sections,
  fields: item.fields.map((field) => {
    const totp = field.type === "OTP" ? oneTimePassword(field.value ?? "", now) : undefined;
    return totp ? { ...field, totp } : field;
  }),
  ...(item.files.length > 0 ? { files: item.files.map((file) => fileView(item, file)) } : {}),
});
const fileView = (item, { id, name, content, section }) => ({
  id,
  name,
  size: content.length,
  content_path: `/v1/vaults/${item.vault.id}/items/${item.id}/files/${id}/content`,
  ...(section ? { section } : {}),
});
const health = () => ({
  name: "1Password Connect API",
  version: "1.7.3",
  dependencies: [
    { service: "sync", status: "TOKEN_NEEDED" },
    { service: "sqlite", status: "ACTIVE", message: "Connected to 1password.sqlite" },
  ],
});
const json = (status, value) => ({
  status,
  type: "application/json; charset=UTF-8",
  body: JSON.stringify(value),
});

function parse(body) {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw new Refusal(400, "Invalid JSON");
  }
}

function refusalAnswer(error) {
  if (!(error instanceof Refusal)) throw error;
  return {
    ...json(error.status, { status: error.status, message: error.message }),
    headers: error.headers,
  };
}

/** One request, after the behaviour that is set. */
async function serve(state, request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const {
    delayMs = 0,
    hang,
    away,
    cutAfter,
    skewMs = 0,
    limit,
    answer: forced,
    since = 0,
  } = state.behaviour;
  const now = Date.now() + skewMs;
  const { method, url, headers } = request;
  const seen = state.control.requests().count - since;
  const entry = { method, path: url.split("?")[0], status: 0 };
  state.count(entry);
  if (away) return request.socket.destroy();
  if (hang) return undefined;
  await new Promise((done) => setTimeout(done, delayMs));
  let answer;
  try {
    if (limit && seen >= limit.after)
      throw new Refusal(429, "Too many requests", {
        "retry-after": String(limit.retryAfter ?? 60),
      });
    answer =
      forced && seen < (forced.times ?? Number.POSITIVE_INFINITY)
        ? { type: "application/json", body: "", ...forced }
        : answerOf(state, { method, url, headers, body: Buffer.concat(parts), now });
  } catch (error) {
    answer = refusalAnswer(error);
  }
  entry.status = answer.status;
  const body = Buffer.from(answer.body);
  response.sendDate = false;
  response.writeHead(answer.status, {
    date: new Date(now).toUTCString(),
    ...(answer.type ? { "content-type": answer.type } : {}),
    ...(answer.status === 204 ? {} : { "content-length": body.length }),
    ...answer.headers,
  });
  if (cutAfter === undefined) return response.end(body);
  response.write(body.subarray(0, cutAfter), () => request.socket.destroy());
}

/** The control API: `POST /<function>` with its argument as JSON. */
async function serveControl(state, request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const name = request.url.slice(1);
  let answer;
  try {
    if (!Object.hasOwn(state.control, name)) throw new Refusal(404, `control: there is no ${name}`);
    const text = Buffer.concat(parts).toString("utf8");
    answer = json(200, state.control[name](text === "" ? {} : JSON.parse(text)));
  } catch (error) {
    answer = refusalAnswer(error);
  }
  response.writeHead(answer.status, { "content-type": answer.type });
  response.end(answer.body);
}

/** A key and a certificate for these names, signed by itself. */
function selfSigned(names) {
  const folder = mkdtempSync(join(tmpdir(), "connect-"));
  try {
    const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    const alternatives = names
      .map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`))
      .join(",");
    execFileSync(
      "openssl",
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=connect -keyout ${key} -out ${certificate} -addext subjectAltName=${alternatives}`.split(
        " ",
      ),
      { stdio: "ignore" },
    );
    return { key: readFileSync(key, "utf8"), certificate: readFileSync(certificate, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Starts a server. @param options `host` (loopback) · `port`, `controlPort` (any free one) · `names`: serves HTTPS with a
 * certificate for them · `token`: lets it in at once · `vaults`: names of vaults to make
 */
export async function startConnect({
  host = "127.0.0.1",
  port = 0,
  controlPort = 0,
  names,
  token,
  vaults = [],
} = {}) {
  const state = createState();
  if (token) state.control.token({ token });
  for (const name of vaults) state.control.vault({ name });
  const tls = names ? selfSigned(names) : undefined;
  const onRequest = (request, response) =>
    serve(state, request, response).catch(() => response.destroy());
  const onControl = (request, response) =>
    serveControl(state, request, response).catch(() => response.destroy());
  const api = tls
    ? https.createServer({ key: tls.key, cert: tls.certificate }, onRequest)
    : http.createServer(onRequest);
  const control = http.createServer(onControl);
  const listen = (server, wanted) =>
    new Promise((done, failed) =>
      server.once("error", failed).listen(wanted, host, () => done(server.address().port)),
    );
  const ports = [await listen(api, port), await listen(control, controlPort)];
  return {
    url: `${tls ? "https" : "http"}://${host}:${ports[0]}`,
    port: ports[0],
    controlUrl: `http://${host}:${ports[1]}`,
    certificate: tls?.certificate,
    control: state.control,
    async close() {
      for (const server of [api, control]) {
        if (!server.listening) continue;
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  };
}

// Run as a program: its one argument is the options as JSON. Says in one line that it listens.
const [argument] = process.argv.slice(1).filter((word) => word.startsWith("{"));
if (import.meta.main === true && argument !== undefined) {
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
  const { port, certificate } = await startConnect({
    host: "0.0.0.0",
    port: 8080,
    controlPort: 8081,
    ...JSON.parse(argument),
  });
  console.log(JSON.stringify({ listening: port, ...(certificate ? { certificate } : {}) }));
}
