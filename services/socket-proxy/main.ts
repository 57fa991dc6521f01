import { chmod } from "node:fs/promises";
import { healthSocket, serveHealth } from "../common/health.ts";
import { runService } from "../common/service.ts";
import { anchorDaily, createAudit, writeLine } from "./audit.ts";
import { AuditFile } from "./audit-file.ts";
import { readConfig } from "./config.ts";
import { dropPrivileges } from "./privileges.ts";
import { checkEngine, startProxy } from "./run.ts";

runService("socket-proxy", async ({ log, env, signal }) => {
  const config = readConfig(env);
  const group = await dropPrivileges(config);
  log.info("privileges", { uid: process.getuid?.() ?? -1, socketGroup: group ?? null });
  const audit = createAudit(new AuditFile(config.auditDirectory), { copy: writeLine, log });
  anchorDaily(audit, signal);
  await checkEngine(config, log);
  const proxy = await startProxy(config, { log, signal, audit });
  await serveHealth(proxy.healthy);
  // The healthcheck runs as the container's first user, root without rights over other users' files.
  await chmod(healthSocket, 0o666);
  await proxy.done;
});
