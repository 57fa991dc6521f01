import { join } from "node:path";
import type { Declaration } from "../../../spec/declaration.ts";
import { configVariable, endpointVariable } from "../../../spec/names.ts";
import { deliveryOf } from "../../../spec/secrets.ts";
import type { Delivered, Directories } from "./delivered.ts";

/** What a process on the operator's own machine may inherit from his shell. */
const localNames = ["PATH", "LANG", "LC_ALL", "TERM", "TZ"];

/**
 * The program's environment: what the image and the declaration give, loopback proxies, its endpoints, and its secrets: the
 * value, or in `NAME_FILE` the path of the file that it reads itself.
 * In a container the inherited part is the image's own; for the local driver only a few harmless names are inherited,
 * so that nothing of the operator's shell reaches the agent. The runner's own `BERTH_*` settings stay out.
 */
export function programEnvironment(options: {
  readonly declaration: Declaration;
  readonly inherited: NodeJS.ProcessEnv;
  readonly workspace: string;
  readonly egressPort: number;
  readonly mattermostUrl: string;
  readonly directories: Directories;
  readonly delivered: Delivered;
}): Record<string, string> {
  const { declaration, inherited } = options;
  const keep = (name: string) =>
    declaration.driver === "local" ? localNames.includes(name) : !name.startsWith("BERTH_");
  const own = Object.fromEntries(
    Object.entries(inherited).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && keep(entry[0]),
    ),
  );
  const proxy = `http://127.0.0.1:${options.egressPort}`;
  const direct = "127.0.0.1,localhost,mattermost";
  return {
    ...own,
    PATH: own.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: own.HOME ?? options.workspace,
    TMPDIR: inherited.TMPDIR ?? "/tmp",
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: direct,
    no_proxy: direct,
    // A program with a bridge of its own talks to Mattermost itself; one behind the runner does not need to.
    ...("command" in declaration.program ? { MATTERMOST_URL: options.mattermostUrl } : {}),
    ...deliveries(declaration, options.directories, proxy),
    ...options.delivered.env,
  };
}

/** Where the program finds what it reads itself. */
function deliveries(
  { secrets, configFiles = {}, endpoints = {} }: Declaration,
  directories: Directories,
  gateway: string,
): Record<string, string> {
  const files = Object.entries(secrets)
    .filter(([, secret]) => deliveryOf(secret) === "file")
    .map(([name]) => [`${name}_FILE`, join(directories.secrets, name)]);
  const urls = Object.keys(endpoints).map((name) => [
    endpointVariable(name),
    `${gateway}/endpoints/${name}`,
  ]);
  const config =
    Object.keys(configFiles).length > 0 ? { [configVariable]: directories.config } : {};
  return { ...Object.fromEntries([...files, ...urls]), ...config };
}
