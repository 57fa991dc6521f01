#!/usr/bin/env node
// A stand-in for 1Password's `op` program, for tests: it checks what it is given and answers from `op-data.json` beside it in
// the forms that op documents. Each call is a line of `op-calls.ndjson` there. `installOp` puts a copy of this file somewhere
// as the executable `op`; it needs nothing but Node.
import {
  appendFileSync,
  chmodSync,
  fstatSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** All that op may find in its environment. */
const allowedNames =
  /^(?:HOME|XDG_CONFIG_HOME|OP_SERVICE_ACCOUNT_TOKEN|OP_CACHE|OP_BIOMETRIC_UNLOCK_ENABLED|https?_proxy|no_proxy|SSL_CERT_FILE|SSL_CERT_DIR)$/i;

/** Makes the executable in a folder. @returns its path, and functions to read and change what it knows */
export function installOp(folder, data, node = process.execPath) {
  const path = join(folder, "op");
  const dataFile = join(folder, "op-data.json");
  const callsFile = join(folder, "op-calls.ndjson");
  const self = readFileSync(new URL(import.meta.url), "utf8");
  writeFileSync(path, `#!${node}\n${self.slice(self.indexOf("\n") + 1)}`);
  chmodSync(path, 0o755);
  writeFileSync(dataFile, JSON.stringify(data));
  writeFileSync(callsFile, "");
  const read = () => JSON.parse(readFileSync(dataFile, "utf8"));
  return {
    path,
    read,
    change: (change) => {
      const known = read();
      change(known);
      writeFileSync(dataFile, JSON.stringify(known));
    },
    calls: () =>
      readFileSync(callsFile, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line)),
  };
}

/** What op would refuse, or what its caller must not do. */
function problemsOf(args, env, token) {
  const problems = [];
  for (const name of Object.keys(env)) {
    if (name.startsWith("OP_CONNECT_")) problems.push(`${name} would win over the token`);
    else if (!allowedNames.test(name)) problems.push(`${name} is none of op's business`);
  }
  if (args.some((arg) => arg.includes(token) || arg.includes("ops_")))
    problems.push("the token stands in an argument");
  if (args.some((arg) => /\[[a-z]+\]=/.test(arg))) problems.push("a value stands in an argument");
  if (env.OP_CACHE !== "false") problems.push("the cache is on: it starts a daemon");
  const home = env.HOME ? statSync(env.HOME, { throwIfNoEntry: false }) : undefined;
  if (!home?.isDirectory() || (home.mode & 0o077) !== 0)
    problems.push("HOME is no private directory");
  const reads = args[1] !== "create" && args[1] !== "edit";
  if (reads && !fstatSync(0).isCharacterDevice())
    problems.push("standard input is a pipe, from which op would read names of items");
  if (args[0] === "item" && !args.includes("--vault"))
    problems.push("a service account must name the vault");
  return problems;
}

class Failure extends Error {}
const fail = (message) => {
  throw new Failure(message);
};

/** What op prints on standard output. */
function answer(data, args, input) {
  const flags = new Map();
  const words = [];
  for (let at = 0; at < args.length; at++) {
    if (args[at] === "--no-newline") flags.set("no-newline", true);
    else if (args[at].startsWith("--")) flags.set(args[at].slice(2), args[++at]);
    else words.push(args[at]);
  }
  const [noun, verb, name] = words;
  if (noun === "read") return read(data, verb);
  if (flags.get("format") !== "json") fail("stand-in: only --format json");
  const json = (value) => JSON.stringify(value, null, 2);
  if (noun === "vault" && verb === "list") return json(data.vaults);
  const vault = vaultOf(data, flags.get("vault"));
  const items = data.items.filter((item) => item.vault.id === vault.id);
  if (verb === "list")
    return json(
      items
        .filter(({ state }) => state !== "ARCHIVED")
        .map(({ fields, sections, files, ...head }) => head),
    );
  if (verb === "create") {
    if (vault.readOnly) fail("(403) Forbidden: You don't have permission to perform this action.");
    const made = { ...completed(JSON.parse(input), data), id: newId(data), version: 1, vault };
    data.items.push(made);
    return json(made);
  }
  const item = itemOf(items, vault, name);
  if (verb === "get") return json(item);
  if (verb !== "edit") fail(`unknown command "${verb}" for "op ${noun}"`);
  if (vault.readOnly) fail("(403) Forbidden: You don't have permission to perform this action.");
  Object.assign(item, completed(JSON.parse(input), data), {
    id: item.id,
    version: item.version + 1,
  });
  return json(item);
}

function read(data, reference) {
  const [, vaultName, itemName, name] =
    /^op:\/\/([^/]+)\/([^/]+)\/(?:[^/]+\/)?([^/?]+)$/.exec(reference) ??
    fail("invalid secret reference");
  const vault = vaultOf(data, vaultName);
  const item = itemOf(
    data.items.filter((one) => one.vault.id === vault.id),
    vault,
    itemName,
  );
  const file = (item.files ?? []).find((one) => one.id === name || one.name === name);
  if (file) return Buffer.from(data.contents[file.id], "base64");
  const field = item.fields.find((one) => one.id === name || one.label === name);
  return field?.value ?? fail(`item '${vaultName}/${itemName}' does not have a field '${name}'`);
}

function vaultOf(data, name) {
  return (
    data.vaults.find((vault) => vault.id === name || vault.name === name) ??
    fail(`"${name}" isn't a vault in this account. Specify the vault with its ID or name.`)
  );
}

function itemOf(items, vault, name) {
  return (
    items.find((item) => item.id === name || item.title === name) ??
    fail(
      `"${name}" isn't an item in the "${vault.name}" vault. Specify the item with its UUID, name, or domain.`,
    )
  );
}

/** Gives new fields an id, as op does. */
function completed(item, data) {
  const fields = (item.fields ?? []).map((field) => ({ ...field, id: field.id || newId(data) }));
  return { ...item, fields };
}

function newId(data) {
  data.made = (data.made ?? 0) + 1;
  return String(data.made).padStart(26, "m");
}

async function main() {
  const folder = import.meta.dirname;
  const dataFile = join(folder, "op-data.json");
  const data = JSON.parse(readFileSync(dataFile, "utf8"));
  const args = process.argv.slice(2);
  const token = process.env.OP_SERVICE_ACCOUNT_TOKEN ?? "";
  const problems = problemsOf(args, process.env, data.token);
  const input = args.includes("create") || args.includes("edit") ? readFileSync(0, "utf8") : "";
  const call = {
    args,
    names: Object.keys(process.env).sort(),
    home: process.env.HOME,
    pid: process.pid,
    input: input.length,
    problems,
  };
  appendFileSync(join(folder, "op-calls.ndjson"), `${JSON.stringify(call)}\n`);
  const { behaviour = {} } = data;
  if (problems.length > 0) fail(`stand-in: ${problems.join("; ")}`);
  if (behaviour.hang) await new Promise((done) => setTimeout(done, 60_000));
  if (behaviour.error !== undefined) fail(behaviour.error);
  if (behaviour.flood !== undefined)
    return process.stdout.write(Buffer.alloc(behaviour.flood, "x"));
  if (behaviour.output !== undefined) return process.stdout.write(behaviour.output);
  if (!token.startsWith("ops_"))
    fail(
      "failed to session.DecodeSACredentials: failed to DecodeSACredentials: invalid credentials provided",
    );
  if (token !== data.token) fail("(401) Unauthorized: You are unauthorized to make this request.");
  const printed = answer(data, args, input);
  if (input !== "") writeFileSync(dataFile, JSON.stringify(data));
  process.stdout.write(printed);
}

const self = process.argv[1] === undefined ? "" : realpathSync(process.argv[1]);
if (import.meta.main === true && self === import.meta.filename) {
  await main().catch((error) => {
    const now = new Date().toISOString().slice(0, 19).replaceAll("-", "/").replace("T", " ");
    process.stderr.write(
      `[ERROR] ${now} ${error instanceof Failure ? error.message : error.stack}\n`,
    );
    process.exitCode = 1;
  });
}
