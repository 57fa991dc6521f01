import { spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { dockerHost, engineAnswer, exec, labelled, stackName } from "./engine.ts";

/** The project's root. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** What the program is made of; a test works on a copy, so that it may add agents. */
const parts = [
  "Pulumi.yaml",
  "package.json",
  "tsconfig.json",
  "index.ts",
  "program.ts",
  "config.ts",
  "config-rules.ts",
  "config-secrets.ts",
  "package-lock.json",
  "agents",
  "components",
  "spec",
  "services",
  "images",
];

/** One engine event of a Pulumi operation, as far as tests read it. */
interface EngineEvent {
  readonly resourcePreEvent?: {
    readonly metadata: { readonly op: string; readonly urn: string; readonly type: string };
  };
}

export interface Run {
  readonly code: number;
  readonly output: string;
  /** `op type name` of every step that is not `same`, sorted. */
  readonly changes: readonly string[];
  /** Pulumi's event log as it stands: every step with its inputs, and all that was said. */
  readonly eventLog: string;
}

/** What a stack is known by, as plain data. */
export interface StackFacts {
  readonly name: string;
  readonly directory: string;
  readonly mattermostPort: number;
  readonly adminPort: number;
}

/** A real stack of the real program, in a copy of the project, on the Engine of `DOCKER_HOST`. */
export class Stack {
  readonly name: string;
  readonly directory: string;
  readonly mattermostPort: number;
  readonly adminPort: number;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(name: string, directory: string, mattermostPort: number, adminPort: number) {
    this.name = name;
    this.directory = directory;
    this.mattermostPort = mattermostPort;
    this.adminPort = adminPort;
    const state = join(directory, ".state");
    mkdirSync(state, { recursive: true });
    this.#env = {
      ...process.env,
      PULUMI_BACKEND_URL: `file://${state}`,
      PULUMI_CONFIG_PASSPHRASE: "test",
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_DEBUG_COMMANDS: "true", // `--event-log`, which tells each step apart
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      DOCKER_HOST: dockerHost,
      NODE_PATH: join(root, "node_modules"),
    };
    delete this.#env.PULUMI_CONFIG_PASSPHRASE_FILE;
  }

  /** Copies the project, picks free ports and writes the stack's config. `config` wins over the defaults. */
  static async create(seed: string, config: Readonly<Record<string, string>> = {}): Promise<Stack> {
    const directory = mkdtempSync(join(tmpdir(), `berth-${seed}-`));
    for (const part of parts) {
      if (existsSync(join(root, part))) {
        cpSync(join(root, part), join(directory, part), {
          recursive: true,
          filter: (f) => !f.includes("node_modules"),
        });
      }
    }
    symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
    const [mattermostPort, adminPort] = [await freePort(), await freePort()];
    const stack = new Stack(stackName(seed), directory, mattermostPort, adminPort);
    stack.configure(config);
    await stack.#must(["stack", "init", stack.name]);
    return stack;
  }

  /** The same stack in another process: what {@link facts} gave. */
  static attach(facts: StackFacts): Stack {
    return new Stack(facts.name, facts.directory, facts.mattermostPort, facts.adminPort);
  }

  get facts(): StackFacts {
    const { name, directory, mattermostPort, adminPort } = this;
    return { name, directory, mattermostPort, adminPort };
  }

  get mattermostUrl(): string {
    return `http://127.0.0.1:${this.mattermostPort}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  /** Engine name of one of the stack's containers. */
  container(part: string): string {
    return `berth-${this.name}-${part}`;
  }

  /** Writes `Pulumi.<stack>.yaml`. Values are YAML. Pulumi's own lines in it (the salt) are kept. */
  configure(config: Readonly<Record<string, string>>): void {
    const file = join(this.directory, `Pulumi.${this.name}.yaml`);
    const kept = existsSync(file)
      ? (/^encryptionsalt:.*\n/m.exec(readFileSync(file, "utf8"))?.[0] ?? "")
      : "";
    const values = {
      dockerHost: JSON.stringify(dockerHost),
      mattermostPort: String(this.mattermostPort),
      adminPort: String(this.adminPort),
      ...config,
    };
    const lines = Object.entries(values).map(([key, value]) => `  berth:${key}: ${value}\n`);
    writeFileSync(file, `${kept}config:\n${lines.join("")}`);
  }

  /** Writes or replaces a file of the project's copy. */
  write(path: string, text: string): void {
    writeFileSync(join(this.directory, path), text);
  }

  read(path: string): string {
    return readFileSync(join(this.directory, path), "utf8");
  }

  /** `pulumi up`; throws with the output where it fails, unless `mayFail`. */
  up(
    options: { expectNoChanges?: boolean; refresh?: boolean; mayFail?: boolean } = {},
  ): Promise<Run> {
    const args = ["up", "--yes", "--skip-preview"];
    if (options.expectNoChanges) args.push("--expect-no-changes");
    if (options.refresh) args.push("--refresh");
    return this.#operation(args, options.mayFail ?? false);
  }

  preview(mayFail = false): Promise<Run> {
    return this.#operation(["preview"], mayFail);
  }

  /** A preview with every field that changes, the stack's outputs last. */
  previewDiff(): Promise<Run> {
    return this.#operation(["preview", "--diff"], false);
  }

  destroy(): Promise<Run> {
    return this.#operation(["destroy", "--yes", "--skip-preview", "--parallel", "32"], false);
  }

  /** The state as Pulumi exports it. */
  async state(): Promise<string> {
    return (await this.#must(["stack", "export"])).output;
  }

  /** Destroys what is there and removes the copy; for `afterAll`, so it goes on where something is gone already. */
  async remove(): Promise<void> {
    await this.#operation(["destroy", "--yes", "--skip-preview", "--parallel", "32"], true);
    await removeObjects(this.name);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Makes a person through the admin bridge, as `berth user add` does; the password it prints. */
  async addPerson(name: string): Promise<string> {
    const { output, exitCode } = await exec(this.container("admin-bridge"), [
      "/usr/local/bin/node",
      "/opt/berth/admin-bridge.mjs",
      "user-add",
      name,
    ]);
    const password = /^password: (\S+)$/m.exec(output)?.[1];
    if (exitCode !== 0 || !password)
      throw new Error(`user-add ${name}: exit code ${exitCode}: ${output}`);
    return password;
  }

  async #operation(args: readonly string[], mayFail: boolean): Promise<Run> {
    const log = join(this.directory, `events-${Date.now()}.json`);
    const run = await this.#pulumi([
      ...args,
      "--non-interactive",
      "--color",
      "never",
      "--event-log",
      log,
    ]);
    if (run.code !== 0 && !mayFail)
      throw new Error(`pulumi ${args.join(" ")}: exit code ${run.code}\n${run.output}`);
    const eventLog = existsSync(log) ? readFileSync(log, "utf8") : "";
    rmSync(log, { force: true });
    return { ...run, changes: changesOf(eventLog), eventLog };
  }

  async #must(args: readonly string[]): Promise<{ code: number; output: string }> {
    const run = await this.#pulumi(args);
    if (run.code !== 0)
      throw new Error(`pulumi ${args.join(" ")}: exit code ${run.code}\n${run.output}`);
    return run;
  }

  #pulumi(args: readonly string[]): Promise<{ code: number; output: string }> {
    return new Promise((resolve, reject) => {
      const stack = args[0] === "stack" && args[1] === "init" ? [] : ["--stack", this.name];
      const child = spawn("pulumi", [...args, ...stack], {
        cwd: this.directory,
        env: this.#env,
        stdio: ["ignore", "pipe", "pipe"],
      });
      let output = "";
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (part: Buffer) => (output += part.toString()));
      child.on("error", reject);
      child.on("close", (code) => resolve({ code: code ?? -1, output }));
    });
  }
}

/** Removes whatever a stack has on the Engine and in its host directory, without Pulumi. */
export async function removeObjects(stack: string): Promise<void> {
  for (const object of await labelled(stack)) {
    const [kind, name] = object.split(":");
    await engineAnswer(`/${kind}s/${name}?force=1`, "DELETE");
  }
  for (const path of [`/run/berth/${stack}`, `/run/berth/${stack}-secret-files`]) {
    rmSync(path, { recursive: true, force: true });
  }
}

function changesOf(log: string): string[] {
  const events = log
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as EngineEvent);
  return events
    .flatMap((event) => (event.resourcePreEvent ? [event.resourcePreEvent.metadata] : []))
    .filter((step) => !["same", "read", "refresh"].includes(step.op))
    .map((step) => `${step.op} ${step.type} ${step.urn.split("::").at(-1)}`)
    .sort();
}

/** A TCP port of 127.0.0.1 that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === "object"
          ? resolve(address.port)
          : reject(new Error("no port")),
      );
    });
  });
}
