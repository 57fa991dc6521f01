import { Path } from "../../spec/names.ts";
import { watchDeclarations } from "../common/declarations.ts";
import { serveHealth } from "../common/health.ts";
import { runService } from "../common/service.ts";
import { systemWire } from "./egress/reach.ts";
import { secretStore } from "./endpoints/store.ts";
import { Gateway } from "./gateway.ts";
import { defaultLimits } from "./limits.ts";
import { followRenewals } from "./mattermost/renewals.ts";
import { adminBridgeChannels, adminBridgeMint } from "./mattermost/tokens.ts";
import { Upstream } from "./mattermost/upstream.ts";
import { ownAddresses, readSettings } from "./settings.ts";
import { StoreWay } from "./store-way.ts";

runService("egress-gateway", async ({ log, env, signal }) => {
  const { mattermostUrl, privateHosts, stack, team, store } = readSettings(env);
  const upstream = new Upstream(mattermostUrl, defaultLimits);
  const tokens = { socketPath: Path.tokenSocket };
  const outside = { wire: systemWire(), forbidden: await ownAddresses() };
  const gateway = new Gateway(
    { directory: Path.agentsRun, stack },
    {
      log,
      limits: defaultLimits,
      egress: { ...outside, privateHosts },
      upstream,
      mint: adminBridgeMint(tokens),
      findChannels: adminBridgeChannels(tokens),
      askStore: secretStore({ socketPath: Path.storeSocket }, defaultLimits.storeMs),
      team,
    },
  );
  const storeWay =
    store &&
    new StoreWay(Path.storeEgressSocket, store.rules, {
      log,
      limits: defaultLimits,
      egress: { ...outside, privateHosts: store.privateHosts },
    });
  await storeWay?.open();
  await serveHealth(async () => {
    await gateway.health();
    await storeWay?.health();
  });
  const ended = new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true }),
  );
  await Promise.race([
    ended,
    followRenewals(tokens, { log, signal, onAgent: (name) => gateway.renewToken(name) }),
    watchDeclarations(
      { socketPath: Path.proxySocket },
      { log, signal, onChange: (declarations) => gateway.apply(declarations) },
    ),
  ]);
  await Promise.all([gateway.close(), storeWay?.close()]);
  upstream.close();
});
