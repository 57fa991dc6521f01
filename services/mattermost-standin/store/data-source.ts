/** How to reach Postgres. */
export interface DataSource {
  readonly user: string;
  readonly database: string;
  /** Host name, or the directory of the socket. */
  readonly host: string;
  readonly port: number;
  readonly connectTimeoutMs: number;
}

/**
 * Reads Mattermost's form of a data source, as its driver (lib/pq) does:
 * `postgres://user@/database?host=/run/postgresql&sslmode=disable&connect_timeout=10`.
 * A host in the URL wins over `?host=`. No passwords: identity is the socket's peer.
 * @throws Error that names the variable and what is wrong with it
 */
export function parseDataSource(text: string, variable: string): DataSource {
  const fail = (problem: string) =>
    new Error(
      `${variable}: ${problem}; write postgres://user@/database?host=/socket/directory&sslmode=disable`,
    );
  const parts = /^postgres(?:ql)?:\/\/(?:([^@/?]*)@)?([^/?]*)\/([^/?]+)(?:\?(.*))?$/.exec(text);
  if (!parts) throw fail(text === "" ? "is missing" : "is no Postgres URL");
  const [, user = "", authority = "", database = "", query = ""] = parts;
  if (user.includes(":")) throw fail("has a password, which this stack does not use");
  const options = new URLSearchParams(query);
  const at = /^(.*?)(?::([0-9]{1,5}))?$/.exec(authority);
  const host = at?.[1] || options.get("host") || "";
  if (host === "") throw fail("names no host");
  const sslmode = options.get("sslmode") ?? "disable";
  if (sslmode !== "disable") throw fail(`sslmode=${sslmode} is not supported`);
  const port = Number(at?.[2] ?? options.get("port") ?? "5432");
  const timeout = Number(options.get("connect_timeout") ?? "10");
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw fail("has a wrong port");
  if (!Number.isInteger(timeout) || timeout < 1) throw fail("has a wrong connect_timeout");
  return {
    user: decodeURIComponent(user) || "mattermost",
    database: decodeURIComponent(database),
    host,
    port,
    connectTimeoutMs: timeout * 1000,
  };
}
