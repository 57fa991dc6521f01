import { join } from "node:path";
import { type Console, Stages, terminal } from "./console.ts";
import { cacheDirectory, ownDirectory, stackName } from "./paths.ts";
import type { StackContext } from "./pulumi-stack.ts";
import { type HostConfig, hostConfigOf } from "./stack-config.ts";
import { ensureEngine, type FoundEngine } from "./toolchain/engine.ts";
import { removeDeadLocks } from "./toolchain/locks.ts";
import { ensureDockerPlugin } from "./toolchain/plugin.ts";
import { ensurePulumi } from "./toolchain/pulumi.ts";
import { type PulumiState, pulumiState } from "./toolchain/state.ts";

/** What every command starts from. */
export interface Session {
  readonly console: Console;
  readonly stages: Stages;
  readonly env: NodeJS.ProcessEnv;
  readonly cache: string;
  readonly stack: string;
  readonly config: HostConfig;
}

/** Pulumi, ready to be run. */
export interface Tools {
  readonly cli: string;
  readonly state: PulumiState;
  /** What a shell has to export to have the same tools, `DOCKER_HOST` aside. */
  readonly variables: Readonly<Record<string, string>> & { readonly PATH: string };
}

/** A session over this process's environment; a quiet one tells only what takes long. @throws CliError for a bad `BERTH_STACK` */
export function openSession(
  options: { readonly quiet?: boolean; readonly console?: Console } = {},
): Session {
  const { console = terminal, quiet = false } = options;
  const stack = stackName(process.env);
  const config = hostConfigOf(stack);
  // The program takes the Engine of the config file before DOCKER_HOST; so must every command.
  const env = config.dockerHost ? { ...process.env, DOCKER_HOST: config.dockerHost } : process.env;
  return {
    console,
    stages: new Stages(console, quiet),
    env,
    cache: cacheDirectory(env),
    stack,
    config,
  };
}

/** Makes the Pulumi CLI, its language host, the docker plugin and a place for state available; one line each. */
export async function prepareTools(session: Session): Promise<Tools> {
  const { stages, cache, env } = session;
  const say = session.console.say;
  const pulumi = await stages.step("pulumi", () => ensurePulumi({ cache, env, say }));
  const state = await stages.step("pulumi state", async () =>
    pulumiState(env, { own: ownDirectory, cache }),
  );
  const PATH = joinPath(pulumi.folders, env.PATH ?? "");
  const variables = { PATH, ...state.variables };
  await stages.step("docker plugin", () =>
    ensureDockerPlugin({
      pulumi: pulumi.cli,
      home: state.home,
      cache,
      env: { ...env, ...variables },
      say,
    }),
  );
  return { cli: pulumi.cli, state, variables };
}

/** Finds or starts the Engine; one line. */
export function prepareEngine(session: Session): Promise<FoundEngine> {
  const { cache, env } = session;
  return session.stages.step("engine", () =>
    ensureEngine({ cache, env, say: session.console.say }),
  );
}

/** Makes the Engine have every image of the stack; one line, and one for each that takes time. */
export async function prepareImages(session: Session, engine: FoundEngine): Promise<void> {
  await session.stages.step("images", async () => {
    const { buildImages } = await import("../images/build.ts");
    let worked = false;
    const images = await buildImages({
      engine: engine.client,
      cacheDirectory: join(session.cache, "images"),
      log: (line) => {
        worked = true;
        session.console.say(`images: ${line}`);
      },
    });
    const count = Object.keys(images).length;
    return { says: worked ? `${count} ready` : `reusing all ${count}` };
  });
}

/** The environment of a program that uses tools and Engine. */
export function environmentOf(
  session: Session,
  tools: Tools,
  engine?: FoundEngine,
): NodeJS.ProcessEnv {
  return {
    ...session.env,
    ...tools.variables,
    ...(engine ? { DOCKER_HOST: engine.url } : {}),
  };
}

/** Pulumi on the session's stack. Locks that a killed Pulumi has left there are removed first. */
export function stackContext(session: Session, tools: Tools, engine: FoundEngine): StackContext {
  if (tools.state.own) {
    for (const pid of removeDeadLocks(tools.state.folder, session.stack)) {
      session.console.say(`pulumi: removed the lock of a run that was killed (process ${pid})`);
    }
  }
  return {
    cli: tools.cli,
    stack: session.stack,
    env: environmentOf(session, tools, engine),
  };
}

/** Puts folders first on a PATH, each folder once. */
export function joinPath(first: readonly string[], path: string): string {
  return [...new Set([...first, ...path.split(":")])].filter((folder) => folder !== "").join(":");
}
