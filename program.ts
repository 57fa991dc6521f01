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
import type { StackConfig } from "./config.ts";
import { imageReference } from "./images/catalog.ts";
import { serviceImages } from "./images/recipes.ts";
import { Service } from "./spec/names.ts";

/** What the stack gives to those who use it. */
export interface Outputs {
  readonly stackName: string;
  readonly mattermostUrl: pulumi.Output<string>;
  readonly adminUrl: pulumi.Output<string>;
  /** Which server answers Mattermost's API: `standin` or `official`. */
  readonly mattermost: MattermostKind;
  /** Names of all agents. */
  readonly agents: readonly string[];
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
  const { stack, bindAddress, protectData, team, operators } = config;
  const opts = { providers: [engineProvider(config.dockerHost)] };
  const imageOf = (service: Service) => images(serviceImages[service]);
  const official = config.mattermostImage !== "standin";

  const networks = new Networks(
    "networks",
    { stack, isolatedGateway: config.isolatedGateway },
    opts,
  );
  new SocketProxy(
    Service.socketProxy,
    {
      stack,
      image: imageOf(Service.socketProxy),
      engineSocket: config.engineSocket,
      network: networks.socketProxy,
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
    },
    opts,
  );
  new SecretStore(
    Service.secretStore,
    {
      stack,
      image: imageOf(Service.secretStore),
      ...(config.secretsDirectory ? { secretsDirectory: config.secretsDirectory } : {}),
    },
    opts,
  );
  const fleet = [...agents].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const agent of fleet) {
    const declaration = toDeclaration(agent, { stack, images });
    new Agent(
      agent.name,
      { declaration, protectData, mattermostNetwork: networks.mattermost },
      opts,
    );
  }
  return {
    stackName: stack,
    mattermostUrl: mattermost.url,
    adminUrl: adminBridge.url,
    mattermost: official ? MattermostKind.Official : MattermostKind.Standin,
    agents: fleet.map((agent) => agent.name),
  };
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
