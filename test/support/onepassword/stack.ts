import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Service } from "../../../spec/names.ts";
import { dockerHost, engine, exec, inspect, until } from "../engine.ts";
import { agentSource, writeFleet } from "../fleet.ts";
import { Person } from "../person.ts";
import { root, Stack } from "../stack.ts";
import type { Said } from "../working-copy.ts";
import { startWorld, type World } from "./world.ts";

/** The SHA-256 of a text, in hex: how a test's program says which value it has. */
export const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** A token of a Connect server's shape. */
function webToken(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256", typ: "JWT" })}.${part({ sub: randomBytes(16).toString("hex") })}.${randomBytes(64).toString("base64url")}`;
}

/** Values in the Connect double, made anew for each run; a sweep looks for all of them. */
export const values = {
  connectToken: webToken(),
  alphaToken: `canary-alpha-token-${randomBytes(16).toString("hex")}`,
  alphaKey: `canary-alpha-key-${randomBytes(16).toString("hex")}"\n\\ \${HOME} {{ op://agents/beta/token }}`,
  alphaModel: `canary-alpha-model-${randomBytes(16).toString("hex")}`,
  betaToken: `canary-beta-token-${randomBytes(16).toString("hex")}`,
} as const;

/** One line of what an agent's program saw. */
export interface Note {
  readonly event: "start" | "key" | "config" | "term";
  readonly sha256?: string;
  readonly names?: readonly string[];
}

/** Notes the hashes of what it has been given, at its start and whenever a file changes. */
const program = `
const fs = require("node:fs"), crypto = require("node:crypto");
const hash = (value) => crypto.createHash("sha256").update(value).digest("hex");
const note = (line) => fs.appendFileSync("/workspace/notes", JSON.stringify(line) + "\\n");
note({ event: "start", sha256: hash(process.env.TOKEN ?? ""), names: Object.keys(process.env).sort() });
const seen = {};
const look = () => {
  for (const [event, path] of [["key", process.env.KEY_FILE], ["config", "/run/berth/config/config.json"]]) {
    if (path === undefined || !fs.existsSync(path)) continue;
    const now = hash(fs.readFileSync(path));
    if (seen[event] !== now) note({ event, sha256: now });
    seen[event] = now;
  }
};
look();
setInterval(look, 100);
process.on("SIGTERM", () => { note({ event: "term" }); process.exit(0); });`;

const command = `program: { command: ["/usr/local/bin/node", "-e", ${JSON.stringify(program)}] }, activation: "always",`;

/** Source of the first agent: a secret of each kind, a config file and an endpoint. */
function alphaSource(service: string): string {
  return agentSource(
    "alpha",
    `${command}
  secrets: { TOKEN: secret("op://agents/alpha/token"), KEY: secret("op://agents/alpha/keys/signing", { as: "file" }) },
  configFiles: { "config.json": jsonTemplate(new URL("./alpha.config.json.tpl", import.meta.url), { reread: true }) },
  endpoints: { model: { url: "${service}/v1", headers: { authorization: "Bearer {{ op://agents/alpha/model }}" } } },`,
  )
    .replace("import { defineAgent }", "import { defineAgent, jsonTemplate, secret }")
    .replace(/\n {2}program: .*\n {2}activation: .*/, "");
}

/** A config file's template, in the form that the sources of the requirements write it (B8). */
export const template = `{
  "platforms": { "mattermost": { "bots": { "alpha": { "token": "{{ op://agents/alpha/token }}" } } } },
  "signing": "{{ op://agents/alpha/keys/signing }}",
  "$schema": "https://example.com/\${schema}.json",
  "limits": [1, 2.5, true, null]
}
`;

/** Source of the second one: it holds its own bot token, and a file whose value berth makes up. */
function betaSource(fields = ""): string {
  return agentSource(
    "beta",
    `${command}
  network: "mattermost",
  secrets: { TOKEN: "op://agents/beta/token", KEY: { from: "op://agents/beta/key", as: "file", generate: 32 } },${fields}`,
  ).replace(/\n {2}program: .*\n {2}activation: .*/, "");
}

/** A real stack whose secrets come from a Connect server, with everything that a test of it asks. */
export class SecretStack {
  readonly stack: Stack;
  readonly world: World;
  /** Where the operator's sealed token lies. */
  readonly credentials: string;
  readonly #children: ChildProcess[] = [];

  private constructor(stack: Stack, world: World) {
    this.stack = stack;
    this.world = world;
    this.credentials = mkdtempSync(join(tmpdir(), "berth-credentials-"));
  }

  /** Starts the Connect server and brings the stack up, still locked. */
  static async up(): Promise<SecretStack> {
    const stack = await Stack.create("onepassword");
    let world: World | undefined;
    try {
      world = await startWorld({
        seed: stack.name,
        token: values.connectToken,
        vaults: ["agents", "others"],
      });
      const secrets = new SecretStack(stack, world);
      await secrets.putItems();
      const { url, certificate } = world.connect;
      stack.configure({
        secrets: JSON.stringify({
          provider: "onepassword",
          via: "connect",
          connectUrl: url,
          connectCa: certificate,
          pollSeconds: 10,
        }),
        // For the endpoint, whose address is private.
        privateEgress: JSON.stringify([]),
      });
      secrets.declare(["alpha", "beta"]);
      await stack.up();
      await world.join(stack.container(Service.egressGateway));
      return secrets;
    } catch (error) {
      await world?.close();
      await stack.remove();
      throw error;
    }
  }

  /** Writes the agents' files. */
  declare(agents: readonly ("alpha" | "beta")[], betaFields = ""): void {
    const sources = {
      alpha: alphaSource(this.world.service.url),
      beta: betaSource(betaFields),
    };
    this.stack.write("agents/alpha.config.json.tpl", template);
    writeFleet(this.stack, Object.fromEntries(agents.map((name) => [name, sources[name]])));
  }

  /** Gives the items their values; `changes` wins. An item of which nothing changes is left alone. */
  async putItems(changes: Partial<Record<keyof typeof values, string>> = {}): Promise<void> {
    const v = { ...values, ...changes };
    const { control } = this.world.connect;
    const changed = Object.keys(changes);
    const isMeant = (agent: string) =>
      changed.length === 0 || changed.some((name) => name.startsWith(agent));
    if (isMeant("alpha"))
      await control("item", {
        vault: "agents",
        title: "alpha",
        fields: [
          { label: "token", type: "CONCEALED", value: v.alphaToken },
          { label: "model", type: "CONCEALED", value: v.alphaModel },
          { label: "signing", section: "keys", type: "CONCEALED", value: v.alphaKey },
        ],
      });
    if (isMeant("beta"))
      await control("item", {
        vault: "agents",
        title: "beta",
        fields: [{ label: "token", type: "CONCEALED", value: v.betaToken }],
      });
  }

  /** The real `berth` command on this stack. */
  async berth(args: readonly string[], input = "", env: NodeJS.ProcessEnv = {}): Promise<Said> {
    const child = this.start(args, env);
    child.stdin?.end(input);
    let [stdout, stderr] = ["", ""];
    child.stdout?.on("data", (part: Buffer) => {
      stdout += part.toString();
    });
    child.stderr?.on("data", (part: Buffer) => {
      stderr += part.toString();
    });
    const code = await new Promise<number>((resolve) =>
      child.on("close", (status) => resolve(status ?? -1)),
    );
    return { code, stdout, stderr };
  }

  /** The same, left running; ended with the stack. */
  start(args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn(process.execPath, [join(root, "cli/berth.ts"), ...args], {
      cwd: root,
      env: {
        ...process.env,
        BERTH_STACK: this.stack.name,
        BERTH_CREDENTIALS: this.credentials,
        DOCKER_HOST: dockerHost,
        NO_COLOR: "1",
        ...env,
      },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#children.push(child);
    return child;
  }

  /** What the store says of itself. */
  async status(): Promise<StoreStatus> {
    const { code, stdout, stderr } = await this.berth(["secrets", "status", "--json"]);
    if (code !== 0) throw new Error(`berth secrets status: ${stderr}`);
    return JSON.parse(stdout) as StoreStatus;
  }

  /** How an agent's secrets stand, by name. */
  async states(agent: string): Promise<Record<string, string>> {
    const { secrets } = await this.status();
    return Object.fromEntries(
      secrets.filter((s) => s.agent === agent).map(({ name, state }) => [name, state]),
    );
  }

  /** Everything that an agent's program noted, in order. */
  async notes(agent: string): Promise<readonly Note[]> {
    const { output } = await exec(this.stack.container(agent), ["/bin/cat", "/workspace/notes"]);
    return output
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Note);
  }

  /** The last note of a kind once there is one that fits. */
  note(agent: string, event: Note["event"], fits: (note: Note) => boolean): Promise<Note> {
    return until(
      `a note "${event}" of ${agent}`,
      async () => {
        const last = (await this.notes(agent)).findLast((note) => note.event === event);
        return last && fits(last) ? last : undefined;
      },
      60_000,
    );
  }

  /** A file of an agent's directory on the host. */
  file(agent: string, path: string): { text: string; mode: number; uid: number } {
    const at = `/run/berth/${this.stack.name}/agents/${agent}/${path}`;
    const { mode, uid } = statSync(at);
    return { text: readFileSync(at, "utf8"), mode: mode & 0o777, uid };
  }

  /** Start time and restarts of an agent's container: the same as long as nothing restarted it. */
  async life(agent: string): Promise<string> {
    const { Id, State, RestartCount } = await inspect(this.stack.container(agent));
    return `${Id} ${State.StartedAt} ${RestartCount}`;
  }

  /** Starts or stops a container by the Engine itself. */
  async turn(part: string, verb: "start" | "stop"): Promise<void> {
    await engine(`/containers/${this.stack.container(part)}/${verb}?t=10`, "POST");
  }

  /** Kills a container's process behind the Engine's back. */
  async crash(part: string): Promise<void> {
    process.kill((await inspect(this.stack.container(part))).State.Pid, "SIGKILL");
  }

  async operator(): Promise<Person> {
    const password = await until(
      "the admin bridge to make a person",
      () => this.stack.addPerson("operator"),
      90_000,
    );
    return Person.login(this.stack.mattermostUrl, "operator", password);
  }

  /** Ends what was started and takes everything away. */
  async remove(): Promise<void> {
    for (const child of this.#children)
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await this.world.close();
    await this.stack.remove();
    rmSync(this.credentials, { recursive: true, force: true });
  }
}

/** What `berth secrets status --json` gives. */
export interface StoreStatus {
  readonly state: string;
  readonly since: string;
  readonly reason?: string;
  readonly nextRead?: string;
  readonly requests: number;
  readonly secrets: readonly {
    readonly agent: string;
    readonly name: string;
    readonly reference: string;
    readonly state: "delivered" | "kept" | "missing";
    readonly reason?: string;
  }[];
}
