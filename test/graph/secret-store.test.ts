import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SecretStore, type SecretsArgs } from "../../components/secret-store.ts";
import { agentList } from "../support/arbitraries.ts";
import { graphOf, ofType, type Registered, steps } from "../support/graph.ts";
import { graphWith, imageOf, runs } from "./run.ts";

// The store's container, on an engine double; `test/integration` asks the running one.

const development: SecretsArgs = {
  provider: "development",
  via: "sdk",
  connectUrl: undefined,
  connectCa: undefined,
  opPath: undefined,
  pollSeconds: 60,
  development: true,
};
const onepassword: SecretsArgs = { ...development, provider: "onepassword", development: false };
const connect: SecretsArgs = {
  ...onepassword,
  via: "connect",
  connectUrl: "https://connect.example.com",
  connectCa: "-----BEGIN CERTIFICATE-----",
};
const op: SecretsArgs = { ...onepassword, via: "op", opPath: "/usr/local/bin/op" };

async function storeWith(secrets: SecretsArgs, secretsDirectory?: string): Promise<Registered> {
  const graph = await graphOf(() => {
    new SecretStore("secret-store", {
      stack: "dev",
      image: imageOf("secret-store"),
      secrets,
      ...(secretsDirectory ? { secretsDirectory } : {}),
    });
    return {};
  });
  const [container] = ofType(graph, "Container");
  if (!container) throw new Error("no container");
  return container;
}

interface Bind {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
}
const bindsOf = ({ inputs }: Registered) =>
  (inputs.volumes as readonly Bind[]).map(
    ({ hostPath, containerPath, readOnly }) =>
      `${hostPath}:${containerPath}${readOnly ? ":ro" : ""}`,
  );
const environmentOf = ({ inputs }: Registered) =>
  Object.fromEntries(
    (inputs.envs as readonly string[]).map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );

const ownBinds = [
  "/run/berth/dev/agents:/run/berth/agents",
  "/run/berth/dev/proxy/secret-store:/run/berth/proxy:ro",
  "/run/berth/dev/secret-store:/run/berth/secret-store",
  "/run/berth/dev/store:/run/berth/store",
];
const outside = "/run/berth/dev/store-egress:/run/berth/store-egress:ro";

describe("the secret store's container", () => {
  it("for development has no way out: no network, no egress socket, no proxy, 256 MiB", async () => {
    const container = await storeWith(development, "/srv/secrets");
    expect(bindsOf(container).sort()).toEqual([...ownBinds, "/srv/secrets:/srv/secrets:ro"].sort());
    expect(container.inputs.networkMode).toBe("none");
    expect(container.inputs.memory).toBe(256);
    expect(environmentOf(container)).toEqual({
      BERTH_STACK: "dev",
      BERTH_SECRETS: '{"provider":"development","via":"sdk","pollSeconds":60,"development":true}',
      BERTH_SECRETS_DIRECTORY: "/srv/secrets",
    });
  });

  it.each([
    ["sdk", onepassword, []],
    ["connect", connect, []],
    ["op", op, ["/usr/local/bin/op:/opt/op/op:ro"]],
  ] as const)(
    "B8: with 1Password by %s it has one way out: the gateway's socket, read-only",
    async (_via, secrets, more) => {
      const container = await storeWith(secrets);
      expect(bindsOf(container).sort()).toEqual([...ownBinds, outside, ...more].sort());
      expect(container.inputs.networkMode).toBe("none");
      expect(container.inputs.networksAdvanced).toBeUndefined();
      expect(container.inputs.memory).toBe(512);
      const { BERTH_STACK: _, BERTH_SECRETS = "", ...rest } = environmentOf(container);
      const proxy = "http://127.0.0.1:3128";
      expect(rest).toEqual({
        HTTP_PROXY: proxy,
        HTTPS_PROXY: proxy,
        http_proxy: proxy,
        https_proxy: proxy,
        NO_PROXY: "127.0.0.1,localhost",
        no_proxy: "127.0.0.1,localhost",
        NODE_USE_ENV_PROXY: "1",
      });
      expect(JSON.parse(BERTH_SECRETS)).toEqual({
        provider: "onepassword",
        via: secrets.via,
        pollSeconds: 60,
        development: false,
        ...(secrets.via === "connect"
          ? { connectUrl: secrets.connectUrl, connectCa: secrets.connectCa }
          : {}),
        // Its place in the container.
        ...(secrets.via === "op" ? { opPath: "/opt/op/op" } : {}),
      });
    },
  );

  it("may hand files to the agents' user, and nothing else", async () => {
    for (const secrets of [development, onepassword, connect, op]) {
      const { inputs } = await storeWith(secrets);
      expect(inputs.capabilities).toEqual({ adds: ["CAP_CHOWN"], drops: ["ALL"] });
      expect([inputs.user, inputs.readOnly, inputs.ports]).toEqual(["0:0", true, undefined]);
    }
  });

  it("is the same whatever the agents and what they declare", () =>
    fc.assert(
      fc.asyncProperty(agentList(), agentList(), async (before, after) => {
        const made = steps(await graphWith(before), await graphWith(after));
        const touched = [...made.creates, ...made.updates, ...made.replaces, ...made.deletes];
        expect(touched.filter((urn) => urn.includes("SecretStore"))).toEqual([]);
      }),
      runs,
    ));
});
