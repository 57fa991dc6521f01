/**
 * Stands in for the resource plugin of npm `@1password/pulumi-onepassword`, which no package registry has. It speaks Pulumi's
 * provider protocol as that plugin does where secrets are concerned:
 * - CheckConfig answers with what it finds in the environment, tokens included and marked secret, as inputs of the provider;
 * - getVault and getItem ask 1Password Connect, by name or id, and answer with every value of the item, marked as nothing;
 * - errors have the words of the provider and of Connect's Go client.
 * Create answers with its inputs, so that a test can see what Pulumi keeps of an Item.
 */
import { createRequire } from "node:module";

const load = createRequire(import.meta.resolve("@pulumi/pulumi"));
const grpc = load("@grpc/grpc-js");
const { Struct } = load("google-protobuf/google/protobuf/struct_pb.js");
const { Empty } = load("google-protobuf/google/protobuf/empty_pb.js");
const { ResourceProviderService } = load("./proto/provider_grpc_pb.js");
const messages = load("./proto/provider_pb.js");
const { PluginInfo } = load("./proto/plugin_pb.js");

const environment = {
  url: "OP_CONNECT_HOST",
  token: "OP_CONNECT_TOKEN",
  serviceAccountToken: "OP_SERVICE_ACCOUNT_TOKEN",
  account: "OP_ACCOUNT",
};
const sensitive = ["token", "serviceAccountToken"];
/** How a secret stands in Pulumi's protocol. */
const secretKey = "4dabf18193072939515e22adb298388d";
const secretMark = "1b47061264138c4ac30d75fd1eb44270";
const secret = (value) => ({ [secretKey]: secretMark, value });
const plain = (value) => (value?.[secretKey] === secretMark ? value.value : value);

let connect = { url: "", token: "" };

async function ask(path) {
  const response = await fetch(`${connect.url}${path}`, {
    headers: { authorization: `Bearer ${connect.token}` },
  });
  const body = await response.json();
  if (!response.ok) throw new Error(`status ${response.status}: ${body.message}`);
  return body;
}

const byTitle = (title) => `?filter=${encodeURIComponent(`title eq "${title}"`)}`;

async function getVault({ name, uuid }) {
  const clientError = (error) => {
    throw new Error(`Unable to read vault, got error: ${error.message}`);
  };
  if (uuid) return vaultResult(await ask(`/v1/vaults/${uuid}`).catch(clientError));
  const found = await ask(`/v1/vaults${byTitle(name)}`).catch(clientError);
  if (found.length === 0) throw new Error(`No vault found with name '"${name}"'`);
  if (found.length > 1) throw new Error(`Multiple vaults found with name '"${name}"'`);
  return vaultResult(await ask(`/v1/vaults/${found[0].id}`).catch(clientError));
}

function vaultResult({ id, name, description = "" }) {
  return { id: `vaults/${id}`, uuid: id, name, description };
}

async function getItem({ vault, title, uuid }) {
  try {
    let id = uuid;
    if (title) {
      const found = await ask(`/v1/vaults/${vault}/items${byTitle(title)}`);
      if (found.length !== 1)
        throw new Error(`Found ${found.length} item(s) in vault "${vault}" with title "${title}"`);
      id = found[0].id;
    }
    return itemResult(vault, await ask(`/v1/vaults/${vault}/items/${id}`));
  } catch (error) {
    throw new Error(`Unable to read item, got error: ${error.message}`);
  }
}

function itemResult(vault, item) {
  const fields = item.fields ?? [];
  const sections = (item.sections ?? []).map((section) => ({
    ...section,
    fields: fields.filter((field) => field.section?.id === section.id),
  }));
  const field = (name) =>
    fields.find(({ label, purpose }) => label === name || purpose === name.toUpperCase())?.value ??
    "";
  return {
    id: `vaults/${vault}/items/${item.id}`,
    uuid: item.id,
    vault,
    title: item.title,
    category: String(item.category).toLowerCase(),
    username: field("username"),
    password: field("password"),
    credential: field("credential"),
    noteValue: field("notesPlain"),
    sections,
  };
}

const functions = {
  "onepassword:index/getVault:getVault": getVault,
  "onepassword:index/getItem:getItem": getItem,
};

const service = {
  getPluginInfo: () => {
    const info = new PluginInfo();
    info.setVersion("1.1.3");
    return info;
  },
  checkConfig: (request) => {
    const inputs = request.getNews().toJavaScript();
    for (const [name, variable] of Object.entries(environment)) {
      const value = inputs[name] ?? process.env[variable];
      if (value) inputs[name] = sensitive.includes(name) ? secret(plain(value)) : value;
    }
    const response = new messages.CheckResponse();
    response.setInputs(Struct.fromJavaScript(inputs));
    return response;
  },
  diffConfig: () => new messages.DiffResponse(),
  configure: (request) => {
    const inputs = request.getArgs().toJavaScript();
    connect = { url: plain(inputs.url) ?? "", token: plain(inputs.token) ?? "" };
    if (inputs.serviceAccountToken || inputs.account) {
      if (connect.url || connect.token) throw new Error("Config conflict: Both are set.");
    } else if (!connect.url || !connect.token) {
      throw new Error("Invalid provider configuration: credentials should be set.");
    }
    const response = new messages.ConfigureResponse();
    response.setAcceptsecrets(true);
    response.setSupportspreview(true);
    response.setAcceptresources(true);
    response.setAcceptoutputs(true);
    return response;
  },
  invoke: async (request) => {
    const known = functions[request.getTok()];
    if (!known) throw new Error(`unknown function ${request.getTok()}`);
    const response = new messages.InvokeResponse();
    response.setReturn(Struct.fromJavaScript(await known(request.getArgs().toJavaScript())));
    return response;
  },
  check: (request) => {
    const response = new messages.CheckResponse();
    response.setInputs(request.getNews());
    return response;
  },
  diff: () => new messages.DiffResponse(),
  create: (request) => {
    const response = new messages.CreateResponse();
    if (!request.getPreview()) response.setId("vaults/v/items/i");
    response.setProperties(request.getProperties());
    return response;
  },
  delete: () => new Empty(),
  cancel: () => new Empty(),
};

const handlers = Object.entries(service).map(([name, answer]) => [
  name,
  async ({ request }, done) => {
    try {
      done(null, await answer(request));
    } catch (error) {
      done({ code: grpc.status.UNKNOWN, details: error.message });
    }
  },
]);
const server = new grpc.Server({ "grpc.max_receive_message_length": 400 * 1024 * 1024 });
server.addService(ResourceProviderService, Object.fromEntries(handlers));
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`${port}\n`);
});
