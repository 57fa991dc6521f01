import { Path } from "../../spec/names.ts";
import { watchDeclarations } from "../common/declarations.ts";
import { serveHealth } from "../common/health.ts";
import { runService } from "../common/service.ts";
import { systemWire } from "./egress/reach.ts";
import { Gateway } from "./gateway.ts";
import { defaultLimits } from "./limits.ts";
import { adminBridgeChannels, adminBridgeMint } from "./mattermost/tokens.ts";
import { Upstream } from "./mattermost/upstream.ts";
import { ownAddresses, readSettings } from "./settings.ts";

runService("egress-gateway", async ({ log, env, signal }) => {
  const { mattermostUrl, privateHosts, stack, team } = readSettings(env);
  const upstream = new Upstream(mattermostUrl, defaultLimits);
  const gateway = new Gateway(
    { directory: Path.agentsRun, stack },
    {
      log,
      limits: defaultLimits,
      egress: { wire: systemWire(), privateHosts, forbidden: await ownAddresses() },
      upstream,
      mint: adminBridgeMint({ socketPath: Path.tokenSocket }),
      findChannels: adminBridgeChannels({ socketPath: Path.tokenSocket }),
      team,
    },
  );
  await serveHealth(() => gateway.health());
  const ended = new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true }),
  );
  await Promise.race([
    ended,
    watchDeclarations(
      { socketPath: Path.proxySocket },
      { log, signal, onChange: (declarations) => gateway.apply(declarations) },
    ),
  ]);
  await gateway.close();
  upstream.close();
});
