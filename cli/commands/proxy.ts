import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { reasonOf } from "../../services/common/log.ts";
import { type Declaration, decodeDeclaration } from "../../spec/declaration.ts";
import { decodeGrants, type GrantsDocument, renderGrants } from "../../spec/grants.ts";
import { Label, objectName, Service } from "../../spec/names.ts";
import { type Command, readArguments } from "../command.ts";
import { CliError } from "../console.ts";
import { DockerLineError, isDockerLine, readDockerLine, requestOf } from "../docker-line.ts";
import { type EngineClient, engineJson } from "../engine-api.ts";
import { explain } from "../explain.ts";
import { assumedWorld, liveWorld, type World } from "../explain-engine.ts";
import { linesOf } from "../explain-words.ts";
import { openSession, type Session } from "../session.ts";
import { findEngine, ownEngine } from "../toolchain/engine.ts";

/** Says what the socket proxy does with a request, and why. Nothing is sent. */
export const proxy: Command = {
  usage:
    "proxy explain <file|-> [--client NAME] [--grants FILE] [--declarations FILE] [--exact] [--json]",
  summary: "say what the socket proxy does with a request or a docker run line, and why",
  async run(args) {
    const { values, positionals } = readArguments(
      args,
      {
        client: { type: "string", default: Service.adminBridge },
        grants: { type: "string" },
        declarations: { type: "string" },
        exact: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      },
      { least: 2, most: 2, usage: proxy.usage },
    );
    const [action, path = ""] = positionals;
    if (action !== "explain") throw new CliError(`usage: berth ${proxy.usage}`, 2);
    const input = readInput(await bytesOf(path), values.exact);
    const session = openSession({ quiet: true });
    const { stack } = session;
    const engine = values.declarations === undefined ? await engineOf(session) : undefined;
    const world = await worldOf(stack, values.declarations, engine);
    const { grants, says } = await grantsOf(stack, values.grants, engine);
    if (!Object.hasOwn(grants.clients, values.client)) {
      const known = Object.keys(grants.clients).join(", ");
      throw new CliError(`--client: "${values.client}" has no grant; there are: ${known}`, 2);
    }
    const found = await explain(input.bytes, { stack, client: values.client, grants, world });
    const from = { world: world.says, grants: says, input: input.says };
    const lines = values.json
      ? [JSON.stringify({ ...found, from }, null, 2)]
      : linesOf(found, from);
    for (const line of lines) session.console.print(line);
    return found.allowed ? 0 : 1;
  },
};

interface Input {
  readonly bytes: Buffer;
  readonly says: readonly string[];
}

/**
 * The bytes of a request. A line for the docker command becomes the request that it makes; line ends of a text file become
 * those of HTTP, unless `exact`.
 */
export function readInput(bytes: Buffer, exact = false): Input {
  const text = bytes.toString("utf8");
  if (isDockerLine(text)) {
    try {
      return {
        bytes: requestOf(readDockerLine(text)),
        says: ["the create of a docker line; start, wait and logs are requests of their own"],
      };
    } catch (error) {
      if (!(error instanceof DockerLineError)) throw error;
      throw new CliError(`the docker line is not understood: ${error.message}`, 2);
    }
  }
  if (bytes.length === 0) throw new CliError("the input is empty", 2);
  if (exact || bytes.includes("\r")) return { bytes, says: [] };
  const at = bytes.indexOf("\n\n");
  const head = (at < 0 ? bytes : bytes.subarray(0, at)).toString("latin1").replace(/\n+$/, "");
  const body = at < 0 ? Buffer.alloc(0) : bytes.subarray(at + 2);
  const lines = Buffer.from(`${head.replaceAll("\n", "\r\n")}\r\n\r\n`, "latin1");
  return {
    bytes: Buffer.concat([lines, body]),
    says: ["line ends of the head read as CRLF (--exact takes the bytes as they are)"],
  };
}

async function bytesOf(path: string): Promise<Buffer> {
  if (path === "-") return buffer(process.stdin);
  try {
    return await readFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown reason";
    throw new CliError(`${path}: cannot be read (${code})`, 2);
  }
}

async function engineOf(session: Session): Promise<EngineClient | undefined> {
  const found = await findEngine(session.env, ownEngine(session.cache)).catch(() => undefined);
  return found?.client;
}

/** The stack as it is up; else as a file, or this folder's agents, declare it. */
async function worldOf(
  stack: string,
  file: string | undefined,
  engine: EngineClient | undefined,
): Promise<World> {
  const assumed = "images, volumes and networks are taken to be there, and no container";
  if (file !== undefined) {
    const declarations = readDeclarations((await bytesOf(file)).toString("utf8"), stack, file);
    return assumedWorld(stack, declarations, `declarations of ${file}; ${assumed}`);
  }
  if (engine && (await isUp(engine, stack))) {
    return liveWorld(engine, `the stack ${stack} as it is up, read through the Engine`);
  }
  const { agents } = await import("../../agents/index.ts");
  const { toDeclaration } = await import("../../agents/define.ts");
  const { imageReference } = await import("../../images/catalog.ts");
  const declarations = agents.map((agent) =>
    toDeclaration(agent, { stack, images: imageReference }),
  );
  return assumedWorld(
    stack,
    declarations,
    `agents/ of this folder, since the stack ${stack} is not up; ${assumed}`,
  );
}

async function isUp(engine: EngineClient, stack: string): Promise<boolean> {
  const filters = JSON.stringify({ label: [`${Label.stack}=${stack}`, Label.declaration] });
  const { Volumes } = await engineJson<{ Volumes: unknown[] | null }>(engine, {
    path: `/volumes?filters=${encodeURIComponent(filters)}`,
  });
  return (Volumes ?? []).length > 0;
}

/** Reads a JSON list of declarations, each as strictly as the proxy does. @throws CliError that names the entry */
export function readDeclarations(text: string, stack: string, file: string): Declaration[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list)) throw new CliError(`${file}: must be a JSON list of declarations`, 2);
  return list.map((item, i) => {
    try {
      const declaration = decodeDeclaration(JSON.stringify(item));
      if (declaration.stack === stack) return declaration;
      throw new Error(
        `declaration.stack: is "${declaration.stack}"; set BERTH_STACK to it (now "${stack}")`,
      );
    } catch (error) {
      throw new CliError(`${file}: entry ${i}: ${reasonOf(error)}`, 2);
    }
  });
}

/** The rights of the running proxy; else those of a file, or the program's defaults. */
async function grantsOf(
  stack: string,
  file: string | undefined,
  engine: EngineClient | undefined,
): Promise<{ readonly grants: GrantsDocument; readonly says: string }> {
  if (file !== undefined) {
    try {
      const text = (await bytesOf(file)).toString("utf8");
      return { grants: decodeGrants(text), says: `grants of ${file}` };
    } catch (error) {
      if (error instanceof CliError) throw error;
      throw new CliError(`${file}: ${reasonOf(error)}`, 2);
    }
  }
  const name = objectName(stack, Service.socketProxy);
  const running = await engine?.request({ path: `/containers/${name}/json` });
  if (running?.status === 200) {
    const { Config } = JSON.parse(running.text) as { Config?: { Env?: readonly string[] } };
    const written = Config?.Env?.find((entry) => entry.startsWith("BERTH_GRANTS="));
    if (written !== undefined) {
      const grants = decodeGrants(written.slice("BERTH_GRANTS=".length));
      return { grants, says: `grants of the container ${name}` };
    }
  }
  return { grants: renderGrants(), says: "grants as the program renders them by default" };
}
