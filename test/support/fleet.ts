import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Stack } from "./stack.ts";

/** A secret value that must be found where it belongs and nowhere else. */
export const canary = "canary-7f3e9a51c2d84b60-do-not-leak";

/** Source of a test agent's file. `fields` are TypeScript members of the object that `defineAgent` takes. */
export function agentSource(name: string, fields = ""): string {
  return `import { defineAgent } from "./define.ts";

export const ${name} = defineAgent({
  name: "${name}",
  image: "node",
  program: { acp: ["demo-agent"] },
  activation: "on-demand",
  chat: { channels: ["town-square"], trigger: "mention", access: { mode: "allowlist", users: ["operator"] } },
  workspace: { retain: false },
  ${fields}
});
`;
}

/** Writes an agent's file and the list that names every agent given, in the project's own form. */
export function writeFleet(
  stack: Stack,
  agents: Readonly<Record<string, string | undefined>>,
): void {
  for (const [name, source] of Object.entries(agents))
    if (source) stack.write(`agents/${name}.ts`, source);
  const names = Object.keys(agents).sort();
  const imports = names.map((name) => `import { ${name} } from "./${name}.ts";\n`).join("");
  stack.write(
    "agents/index.ts",
    `import { defineFleet } from "./define.ts";
${imports}
export const agents = defineFleet([${names.join(", ")}]);
`,
  );
}

/**
 * A directory with secret files for `file:` references, where every Engine sees it (one in a root tree of its own sees
 * only what its start names); removed with the stack.
 */
export function secretsDirectory(stack: Stack, values: Readonly<Record<string, string>>): string {
  const directory = `/run/berth/${stack.name}-secret-files`;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const [name, value] of Object.entries(values)) {
    writeFileSync(join(directory, name), `${value}\n`, { mode: 0o600 });
  }
  return directory;
}

/** Agents of the stack that the real-run files share, by name; undefined: the project's own file. */
export function sharedFleet(secrets: string): Record<string, string | undefined> {
  return {
    data: undefined,
    lal: undefined,
    // Sealed, and may reach one host of the outside world.
    probe: agentSource("probe", 'egress: ["allowed.example.test:80", "allowed.example.test:443"],'),
    // On the chat network, with a secret and a config file that holds it.
    scout: agentSource(
      "scout",
      `network: "mattermost", secrets: { CANARY: "file:${secrets}/canary" },
  configFiles: { "config.json": { template: { bot: { token: "{{ file:${secrets}/canary }}" } } } },`,
    ),
    // Nobody but one test wakes it.
    sleeper: agentSource("sleeper"),
  };
}

/** Names of {@link sharedFleet}. */
export const sharedAgents = ["data", "lal", "probe", "scout", "sleeper"] as const;
