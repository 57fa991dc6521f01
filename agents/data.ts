import { defineAgent } from "./define.ts";

/** Runs all the time and greets; see `lal.ts` for how to give it a model. */
export const data = defineAgent({
  name: "data",
  image: "node",
  program: { acp: ["demo-agent"] },
  activation: "always",
  chat: {
    channels: ["town-square"],
    trigger: "mention",
    access: { mode: "allowlist", users: ["operator"] },
  },
});
