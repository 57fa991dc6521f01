import fc from "fast-check";
import {
  type Agent,
  type AgentInput,
  defineAgent,
  jsonTemplate,
  secret,
} from "../../agents/define.ts";
import type { Json } from "../../spec/canonical.ts";

/** Random valid agents, for the laws that hold of any fleet. */

const digest = fc
  .array(fc.constantFrom(..."0123456789abcdef"), { minLength: 64, maxLength: 64 })
  .map((digits) => `registry.example.com/agents/one@sha256:${digits.join("")}`);

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

/** Valid agent names that no part of the platform uses. */
export const agentName: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz"),
    fc.array(fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz0123456789-"), {
      minLength: 2,
      maxLength: 10,
    }),
  )
  .map(([first, rest]) => `${first}x${rest.join("")}`);

const host = fc.constantFrom(
  "api.example.com",
  "*.example.org",
  "models.example.net:8443",
  "*.cdn.example.com:444",
);
/** Stands for the agent's name in what is generated beside it: an item belongs to one agent. */
const ownName = "(own-name)";
const development = ["file:/run/secrets/token", "env:TOKEN", "generated:32"];
const ownItem = [
  `op://agents/${ownName}/token`,
  `op://agents/${ownName}/keys/token?attribute=otp`,
  `{{ op://Agents/${ownName}/ssh?ssh-format=openssh }}`,
];
/** Needs `vaults`. */
const otherItem = `{{ op://Vault/${ownName}-bridge/lal-token }}`;

/** The members that hold references, as an agent's file writes them. */
function secretMembers(
  vaults: readonly string[] | undefined,
): Record<string, fc.Arbitrary<unknown>> {
  const items = vaults === undefined ? ownItem : [...ownItem, otherItem];
  const reference = fc.constantFrom(...items, ...development);
  const declared = fc.oneof(
    reference,
    reference.map((from) => secret(from)),
    reference.map((from) => secret(from, { as: "file" })),
    fc
      .integer({ min: 16, max: 1024 })
      .map((generate) => secret(`op://agents/${ownName}/made`, { generate })),
  );
  const text = fc.oneof(
    fc.constantFrom("plain", "", "a $HOME b", 'ümlaut "quoted"\n'),
    fc.constantFrom(...items).map((item) => item.replace(/^\{\{ | \}\}$/g, "")),
    reference.map((item) => `Bearer {{${item.replace(/^\{\{ | \}\}$/g, "")}}}, and so on`),
  );
  const template = fc.dictionary(
    fc.constantFrom("token", "bot", "$schema", "a key"),
    fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null), fc.array(text, { maxLength: 2 })),
    { maxKeys: 3 },
  );
  const header = fc.constantFrom("Bearer {{ env:MODEL_KEY }}", ...items);
  return {
    vaults: fc.constant(vaults),
    secrets: optional(
      fc.dictionary(fc.constantFrom("TOKEN", "API_KEY", "GH_TOKEN"), declared, { maxKeys: 3 }),
    ),
    configFiles: optional(
      fc.dictionary(
        fc.constantFrom("config.json", "mcp.json"),
        fc
          .tuple(template, fc.boolean())
          .map(([json, reread]) => jsonTemplate(json as Record<string, Json>, { reread })),
        { maxKeys: 2 },
      ),
    ),
    endpoints: optional(
      fc.dictionary(
        fc.constantFrom("model", "big-model"),
        fc.record(
          {
            url: fc.constantFrom("https://api.example.com/v1", "http://10.1.2.3:8000"),
            headers: fc.dictionary(fc.constantFrom("authorization", "x-api-key"), header, {
              maxKeys: 2,
            }),
          },
          { requiredKeys: ["url"] },
        ),
        { maxKeys: 2 },
      ),
    ),
  };
}
const people = fc.uniqueArray(fc.constantFrom("ada", "grace", "operator"), { maxLength: 3 });
const channels = fc.uniqueArray(fc.constantFrom("town-square", "builds", "off-topic"), {
  maxLength: 3,
});

/** Chat of agents that cannot answer each other without end: who hears everything admits named people only. */
const chat = fc.oneof(
  fc.record({
    channels,
    trigger: fc.constant("mention" as const),
    access: fc.oneof(
      fc.record({
        mode: fc.constantFrom("allowlist" as const, "blocklist" as const),
        users: people,
      }),
      fc.constant({ mode: "open" as const }),
    ),
  }),
  fc.record({
    channels,
    trigger: fc.constant("all" as const),
    access: fc.record({ mode: fc.constant("allowlist" as const), users: people }),
  }),
);

const command = fc.array(fc.constantFrom("node", "--flag", "serve"), {
  minLength: 1,
  maxLength: 3,
});

const resources = fc.record(
  {
    memory: fc.constantFrom("64m", "512m", "1g"),
    cpus: fc.constantFrom(0.25, 0.5, 1, 1.5, 4),
    pids: fc.integer({ min: 8, max: 1024 }),
    tmp: fc.constantFrom("1m", "64m"),
    stopGraceSeconds: fc.integer({ min: 30, max: 120 }),
  },
  { requiredKeys: [] },
);

const parameter = fc.record(
  {
    pattern: fc.constantFrom("[a-z0-9-]{1,40}", "\\d+", ".+", "yes|no", "[A-Z]{2}-\\d{1,6}"),
    maxLength: fc.integer({ min: 5, max: 4096 }),
    optional: fc.constant(true as const),
  },
  { requiredKeys: ["pattern", "maxLength"] },
);
/** What a template may say, whatever its agent is: it shares nothing and reaches nothing unless it says so. */
const alone = {
  command,
  image: optional(fc.oneof(fc.constantFrom("base", "node"), digest)),
  env: optional(
    fc.dictionary(fc.constantFrom("LOG_LEVEL", "LANG", "CI"), fc.constantFrom("1", "de", "a=b c"), {
      maxKeys: 3,
    }),
  ),
  parameters: optional(
    fc.dictionary(fc.constantFrom("TASK_ID", "TASK_REF", "TASK_MODE"), parameter, { maxKeys: 3 }),
  ),
  resources: optional(
    fc.record({ memory: fc.constantFrom("512m", "1g"), tmp: fc.constantFrom("1m", "64m") }),
  ),
  timeout: optional(fc.integer({ min: 10, max: 7200 })),
  max: optional(fc.integer({ min: 1, max: 100 })),
};
const workspace = fc.constantFrom("shared" as const, "read-only" as const, "scratch" as const);

function templates(
  own: Record<string, fc.Arbitrary<unknown>>,
): Record<string, fc.Arbitrary<unknown>> {
  // Without members that say nothing, as people write them.
  const one = fc.record({ ...alone, ...own }).map((input) => withoutUndefined(input));
  return {
    workers: optional(fc.dictionary(fc.constantFrom("review", "build", "w"), one, { maxKeys: 2 })),
    sandboxes: optional(fc.dictionary(fc.constantFrom("shell", "try-it"), one, { maxKeys: 2 })),
  };
}
const instances = optional(
  fc.record(
    { max: fc.integer({ min: 1, max: 100 }), timeout: fc.integer({ min: 10, max: 7200 }) },
    { requiredKeys: [] },
  ),
);
const sealedTemplates = {
  instances,
  ...templates({
    network: optional(fc.constantFrom("sealed" as const, "none" as const)),
    workspace: optional(workspace),
  }),
};
const closedTemplates = {
  instances,
  ...templates({
    network: optional(fc.constant("none" as const)),
    workspace: optional(workspace),
  }),
};
const detachedTemplates = templates({
  network: optional(fc.constantFrom("sealed" as const, "none" as const)),
  workspace: fc.constant("scratch" as const),
});

const common = {
  activation: optional(fc.constantFrom("always" as const, "on-demand" as const, "manual" as const)),
  preset: optional(fc.constantFrom("agent" as const, "worker" as const, "sandbox" as const)),
  resources: optional(resources),
  workspace: optional(fc.record({ retain: fc.boolean() })),
};
const reaching = {
  ...common,
  chat: optional(chat),
  egress: optional(fc.array(host, { maxLength: 4 })),
};
/** The default allow-list, which has the agent's own item, or one that says more. */
const withSecrets = (rest: Record<string, fc.Arbitrary<unknown>>) =>
  fc.oneof(
    fc.record({ ...rest, ...secretMembers(undefined) }),
    fc.record({ ...rest, ...secretMembers(["Vault", `agents/${ownName}`]) }),
  );

/** What an agent's file may say, its name apart: every driver, image, network and program that goes together. */
const body: fc.Arbitrary<Record<string, unknown>> = fc.oneof(
  withSecrets({
    ...reaching,
    ...sealedTemplates,
    image: optional(fc.constantFrom("base", "node")),
    network: optional(fc.constantFrom("sealed" as const, "mattermost" as const)),
    program: fc.oneof(fc.record({ acp: command }), fc.record({ command })),
  }),
  withSecrets({
    ...reaching,
    ...sealedTemplates,
    image: digest,
    network: optional(fc.constantFrom("sealed" as const, "mattermost" as const)),
    program: fc.record({ command }),
  }),
  withSecrets({
    ...reaching,
    ...detachedTemplates,
    driver: fc.constant("local" as const),
    program: fc.record({ acp: command }),
  }),
  fc.record({
    ...common,
    ...closedTemplates,
    image: optional(digest),
    network: fc.constant("none" as const),
    program: fc.record({ command }),
  }),
);

/** A valid input of `defineAgent`. */
export function agentInput(name: fc.Arbitrary<string> = agentName): fc.Arbitrary<AgentInput> {
  return fc.tuple(name, body).map(([own, rest]) => {
    // As text, so that what is generated does not depend on the name, and shrinks on its own.
    const written = JSON.stringify({ name: own, ...rest }).replaceAll(ownName, own);
    return JSON.parse(written) as AgentInput;
  });
}

function withoutUndefined(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));
}

/** Valid agents of different names, in any order. */
export function agentList(
  size: { readonly minLength?: number; readonly maxLength?: number } = {},
): fc.Arbitrary<Agent[]> {
  return fc
    .uniqueArray(agentInput(), { maxLength: 5, ...size, selector: (input) => input.name })
    .map((inputs) => inputs.map(defineAgent));
}
