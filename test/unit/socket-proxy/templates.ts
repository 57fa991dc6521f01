import type { Template } from "../../../spec/declaration.ts";
import { presets } from "../../../spec/presets.ts";

/** A worker with one parameter that must be there and one that need not. */
export const review: Template = {
  preset: "worker",
  image: "localhost/berth/node:0123456789ab",
  command: ["/usr/local/bin/node", "worker.mjs"],
  env: { LOG_LEVEL: "info" },
  parameters: {
    TASK_ID: { pattern: "[a-z0-9-]{1,40}", maxLength: 40 },
    TASK_KIND: { pattern: "review|implement", maxLength: 16, optional: true },
  },
  limits: presets.worker,
  network: "sealed",
  workspace: "shared",
  instances: { max: 2, timeoutSeconds: 300 },
};
