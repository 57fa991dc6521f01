import { runService } from "../common/service.ts";
import { runAgent } from "./runner.ts";
import { readSettings } from "./settings.ts";

runService("agent-runner", ({ log, env, signal }) =>
  runAgent({ log, env, signal, settings: readSettings(env) }),
);
