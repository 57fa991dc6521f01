import * as pulumi from "@pulumi/pulumi";
import {
  type Agent as AgentDefinition,
  defaultImage,
  toDeclaration,
  withMovingTag,
} from "./agents/define.ts";
import { AdminBridge } from "./components/admin-bridge.ts";
import { Agent } from "./components/agent.ts";
import { EgressGateway } from "./components/egress-gateway.ts";
import { engineProvider } from "./components/engine.ts";
import { Mattermost, MattermostKind } from "./components/mattermost.ts";
import { Networks } from "./components/networks.ts";
import { Postgres } from "./components/postgres.ts";
import { SecretStore } from "./components/secret-store.ts";
import { SocketProxy } from "./components/socket-proxy.ts";
import { checkVaults } from "./components/vault-check.ts";
import type { StackConfig } from "./config.ts";
import { imageReference } from "./images/catalog.ts";
import { serviceImages } from "./images/recipes.ts";
import type { Declaration } from "./spec/declaration.ts";
import { type GrantsDocument, renderGrants } from "./spec/grants.ts";
import { Service } from "./spec/names.ts";
import { type Policy, policyOf, problemsOfQuotas } from "./spec/policy.ts";
import { parseReference } from "./spec/references.ts";
import { referencesIn } from "./spec/secrets.ts";

/** What the stack gives to those who use it. */
export interface Outputs {
  readonly stackName: string;
  readonly mattermostUrl: pulumi.Output<string>;
  readonly adminUrl: pulumi.Output<string>;
  /** Which server answers Mattermost's API: `standin` or `official`. */
  readonly mattermost: MattermostKind;
  /** Names of all agents. */
  readonly agents: readonly string[];
  /** What the socket proxy allows, and every container that it would make: a preview shows what changes of it. */
  readonly socketProxy: Policy;
}

/**
 * Declares the whole stack. `images` gives an image's full reference by its catalog name.
 * @throws pulumi.RunError where agents ask for what the config does not allow
 */
export function program(
  config: StackConfig,
  agents: readonly AgentDefinition[],
  images: (name: string) => string = imageReference,
): Outputs {
  refuseMovingTags(config, agents);
  const fleet = [...agents].sort((a, b) => (a.name < b.name ? -1 : 1));
  const declarations = fleet.map((agent) => toDeclaration(agent, { stack: config.stack, images }));
  const grants = renderGrants({ stack: config.instanceQuotas, suspension: config.suspension });
  refuseSmallQuotas(config, grants, declarations);
  refuseReferences(config, declarations);
  void checkVaults(config.secrets, declarations);
  const { stack, bindAddress, protectData, team, operators } = config;
  const opts = { providers: [engineProvider(config.dockerHost)] };
  const imageOf = (service: Service) => images(serviceImages[service]);
  const official = config.mattermostImage !== "standin";

  const networks = new Networks(
    "networks",
    { stack, isolatedGateway: config.isolatedGateway },
    opts,
  );
  const socketProxy = new SocketProxy(
    Service.socketProxy,
    {
      stack,
      image: imageOf(Service.socketProxy),
      engineSocket: config.engineSocket,
      grants,
      network: networks.socketProxy,
      protectData,
    },
    opts,
  );
  const postgres = new Postgres(
    Service.postgres,
    { stack, image: imageOf(Service.postgres), protectData },
    opts,
  );
  const mattermost = new Mattermost(
    Service.mattermost,
    {
      stack,
      image: official ? config.mattermostImage : imageOf(Service.mattermost),
      kind: official ? MattermostKind.Official : MattermostKind.Standin,
      bindAddress,
      port: config.mattermostPort,
      siteUrl: config.siteUrl,
      network: networks.mattermost,
      ingress: networks.ingress,
      postgresSocket: postgres.socket,
      postgres: postgres.container,
      protectData,
    },
    opts,
  );
  const adminBridge = new AdminBridge(
    Service.adminBridge,
    {
      stack,
      image: imageOf(Service.adminBridge),
      defaultImage: images(`agent-${defaultImage}`),
      team,
      channel: config.channel,
      operators,
      bindAddress,
      port: config.adminPort,
      allowedHosts: [bindAddress, new URL(config.siteUrl).hostname],
      network: networks.mattermost,
      socketProxyNetwork: networks.socketProxy,
      ingress: networks.ingress,
      mattermostSocket: mattermost.localSocket,
      mattermost: mattermost.container,
      protectData,
    },
    opts,
  );
  new EgressGateway(
    Service.egressGateway,
    {
      stack,
      image: imageOf(Service.egressGateway),
      team,
      privateEgress: config.privateEgress,
      network: networks.mattermost,
      egress: networks.egress,
      tokens: adminBridge.tokens,
      ...storeEgressOf(config),
    },
    opts,
  );
  new SecretStore(
    Service.secretStore,
    {
      stack,
      image: imageOf(Service.secretStore),
      secrets: config.secrets,
      ...(config.secretsDirectory ? { secretsDirectory: config.secretsDirectory } : {}),
    },
    opts,
  );
  for (const declaration of declarations) {
    new Agent(
      declaration.name,
      { declaration, protectData, mattermostNetwork: networks.mattermost, socketProxy },
      opts,
    );
  }
  return {
    stackName: stack,
    mattermostUrl: mattermost.url,
    adminUrl: adminBridge.url,
    mattermost: official ? MattermostKind.Official : MattermostKind.Standin,
    agents: fleet.map((agent) => agent.name),
    socketProxy: policyOf(grants, declarations),
  };
}

/** Where the secret store may go; it goes nowhere unless values come from 1Password. */
function storeEgressOf({ secrets }: StackConfig) {
  if (secrets.provider !== "onepassword") return {};
  const { hosts, connectUrl } = secrets;
  // The operator's own server is likely to be on a private network.
  const privateHosts = connectUrl === undefined ? [] : [new URL(connectUrl).hostname];
  return { storeEgress: { hosts, privateHosts } };
}

/** A reference that no source of this stack resolves would only show when its agent waits for the value. */
function refuseReferences(config: StackConfig, declarations: readonly Declaration[]): void {
  const { provider, development } = config.secrets;
  const lines = declarations.flatMap((declaration) =>
    referencesIn(declaration).flatMap(({ place, reference }) => {
      const { scheme } = parseReference(reference);
      if (scheme === "op" ? provider === "onepassword" : development) return [];
      const cure =
        scheme === "op"
          ? 'needs berth:secrets: { "provider": "onepassword" }'
          : `is for development only; write op://, or set "development": true in berth:secrets`;
      return [`  - agents/${declaration.name}.ts: ${place}: "${reference}" ${cure}`];
    }),
  );
  if (lines.length === 0) return;
  throw new pulumi.RunError(
    `References that Pulumi.${config.stack}.yaml gives no value for:\n${lines.join("\n")}`,
  );
}

/** A name that moves must be wanted twice: in the agent's file and in the stack's config. */
function refuseMovingTags(config: StackConfig, agents: readonly AgentDefinition[]): void {
  const moving = config.allowMovingTags ? [] : withMovingTag(agents);
  if (moving.length === 0) return;
  const lines = moving.map(
    ({ name, image }) =>
      `  - agents/${name}.ts: image: "${image}" may come to mean another image; write it by digest (name@sha256:…), or set berth:allowMovingTags: true in Pulumi.${config.stack}.yaml`,
  );
  throw new pulumi.RunError(`Images that may change behind their name:\n${lines.join("\n")}`);
}

/** A template of which nothing can ever be made is a mistake that would only show when somebody needs it. */
function refuseSmallQuotas(
  config: StackConfig,
  grants: GrantsDocument,
  declarations: readonly Declaration[],
): void {
  const problems = problemsOfQuotas(grants.stack, declarations);
  if (problems.length === 0) return;
  const lines = problems.map(
    ({ template, problem }) => `  - ${template}: ${problem}; raise it, or lower the resources`,
  );
  throw new pulumi.RunError(
    `Templates that do not fit into the quotas of Pulumi.${config.stack}.yaml:\n${lines.join("\n")}`,
  );
}
