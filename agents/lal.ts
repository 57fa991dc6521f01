import { defineAgent } from "./define.ts";

/**
 * Sleeps until somebody mentions it. `demo-agent` needs no model and no key; for GitHub Copilot write
 * `program: { acp: ["copilot", "--acp"] }`, `egress: ["api.githubcopilot.com", "*.githubusercontent.com"]` and
 * `secrets: { COPILOT_GITHUB_TOKEN: secret("op://agents/lal/copilot-token") }`, on an image that holds the program; the stack's
 * config says where the value comes from (`berth:secrets`, docs/secrets.md).
 */
export const lal = defineAgent({
  name: "lal",
  image: "node",
  program: { acp: ["demo-agent"] },
  activation: "on-demand",
  chat: {
    channels: ["town-square"],
    trigger: "mention",
    access: { mode: "allowlist", users: ["operator"] },
  },
});
