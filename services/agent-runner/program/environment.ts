import type { Declaration } from "../../../spec/declaration.ts";
import type { Secrets } from "./secrets.ts";

/** What a process on the operator's own machine may inherit from his shell. */
const localNames = ["PATH", "LANG", "LC_ALL", "TERM", "TZ"];

/**
 * The program's environment: what the image and the declaration give, loopback proxies, and its secrets.
 * In a container the inherited part is the image's own; for the local driver only a few harmless names are inherited,
 * so that nothing of the operator's shell reaches the agent. The runner's own `BERTH_*` settings stay out.
 */
export function programEnvironment(options: {
  readonly declaration: Declaration;
  readonly inherited: NodeJS.ProcessEnv;
  readonly workspace: string;
  readonly egressPort: number;
  readonly mattermostUrl: string;
  readonly secrets: Secrets;
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
    ...options.secrets,
  };
}
