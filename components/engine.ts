import * as docker from "@pulumi/docker";

/**
 * The Engine that everything is made on. Explicit, so that no resource reaches another one by default.
 * @param host `unix:///path`, `tcp://host:port` or `ssh://user@host`
 */
export function engineProvider(host: string): docker.Provider {
  return new docker.Provider("engine", { host });
}
