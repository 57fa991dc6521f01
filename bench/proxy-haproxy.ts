import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "../cli/console.ts";
import { onPath } from "../cli/paths.ts";
import { mustRun, run, tail } from "../cli/run.ts";

/** HAProxy, ready to be started. */
export interface Haproxy {
  readonly program: string;
  readonly env: NodeJS.ProcessEnv;
  readonly version: string;
}

/**
 * The HAProxy on PATH, else Debian's package with the libraries that the machine lacks, unpacked into the cache; nothing is
 * installed on the machine. @throws CliError where there is neither
 */
export async function findHaproxy(cache: string, say: (line: string) => void): Promise<Haproxy> {
  const installed = onPath("haproxy", { PATH: `${process.env.PATH}:/usr/sbin` }, existsSync);
  if (installed) return checked(installed, process.env);
  const folder = join(cache, "haproxy");
  if (!existsSync(folder)) {
    say("haproxy: taking Debian's package into the cache, since it is not installed");
    await unpackPackages(folder);
  }
  const libraries = readdirSync(join(folder, "usr/lib")).map((name) =>
    join(folder, "usr/lib", name),
  );
  return checked(join(folder, "usr/sbin/haproxy"), {
    ...process.env,
    LD_LIBRARY_PATH: libraries.join(":"),
  });
}

async function checked(program: string, env: NodeJS.ProcessEnv): Promise<Haproxy> {
  const output = await mustRun(program, ["-v"], { env, timeoutMs: 10_000 });
  return { program, env, version: /version (\S+)/.exec(output)?.[1] ?? "?" };
}

async function unpackPackages(folder: string): Promise<void> {
  const part = `${folder}.${process.pid}`;
  try {
    mkdirSync(join(part, "packages/partial"), { recursive: true });
    const fetch = ["--download-only", "--no-install-recommends", "-o", "Debug::NoLocking=1"];
    const got = await run(
      "apt-get",
      [
        "install",
        "-y",
        ...fetch,
        "-o",
        `Dir::Cache::archives=${join(part, "packages")}`,
        "haproxy",
      ],
      { timeoutMs: 120_000 },
    ).catch((error: Error) => ({ code: -1, output: error.message }));
    if (got.code !== 0) {
      throw new CliError(
        `HAProxy, which is measured beside the socket proxy, is not installed and its package cannot be had: ` +
          `install haproxy (on Debian or Ubuntu: apt-get update, then apt-get install haproxy)\n${tail(got.output, 3)}`,
      );
    }
    for (const name of readdirSync(join(part, "packages"))) {
      if (name.endsWith(".deb"))
        await mustRun("dpkg-deb", ["-x", join(part, "packages", name), part]);
    }
    rmSync(join(part, "packages"), { recursive: true });
    renameSync(part, folder);
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

/**
 * A filter by sections of the API, as the usual socket proxies are configured: method and path decide, bodies do not. Kept
 * connections on both sides, every core, no log: all that makes it fast.
 */
function configuration(socket: string, engineSocket: string): string {
  const version = "^(/v[0-9.]+)?";
  return `global
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 10m
  timeout server 10m
frontend filter
  bind ${socket} mode 600
  acl reading method GET HEAD
  acl read_section path_reg ${version}/(_ping|version|containers|images|networks|events)(/|$)
  acl writing method POST
  acl write_section path_reg ${version}/containers/(create|[A-Za-z0-9_.-]+/(start|stop|wait))$
  http-request deny deny_status 403 unless reading read_section or writing write_section
  default_backend engine
backend engine
  server engine unix@${engineSocket}
`;
}

/** Starts the filter on a socket in `folder`. It is not ready yet when this returns. */
export function startHaproxy(
  haproxy: Haproxy,
  folder: string,
  engineSocket: string,
): { readonly socket: string; readonly process: ChildProcess } {
  const socket = join(folder, "haproxy.sock");
  const file = join(folder, "haproxy.cfg");
  writeFileSync(file, configuration(socket, engineSocket));
  const child = spawn(haproxy.program, ["-db", "-f", file], {
    env: haproxy.env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  return { socket, process: child };
}
