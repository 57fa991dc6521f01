/**
 * The Engine's own table of routes, of API 1.41 to 1.55, written down here a second time: method and pattern, in the order
 * of registration, in which the first that fits wins.
 */
const table = `
GET /containers/{name:.*}/checkpoints
POST /containers/{name:.*}/checkpoints
DELETE /containers/{name}/checkpoints/{checkpoint}
HEAD /containers/{name:.*}/archive
GET /containers/json
GET /containers/{name:.*}/export
GET /containers/{name:.*}/changes
GET /containers/{name:.*}/json
GET /containers/{name:.*}/top
GET /containers/{name:.*}/logs
GET /containers/{name:.*}/stats
GET /containers/{name:.*}/attach/ws
GET /exec/{id:.*}/json
GET /containers/{name:.*}/archive
POST /containers/create
POST /containers/{name:.*}/kill
POST /containers/{name:.*}/pause
POST /containers/{name:.*}/unpause
POST /containers/{name:.*}/restart
POST /containers/{name:.*}/start
POST /containers/{name:.*}/stop
POST /containers/{name:.*}/wait
POST /containers/{name:.*}/resize
POST /containers/{name:.*}/attach
POST /containers/{name:.*}/copy
POST /containers/{name:.*}/exec
POST /exec/{name:.*}/start
POST /exec/{name:.*}/resize
POST /containers/{name:.*}/rename
POST /containers/{name:.*}/update
POST /containers/prune
POST /commit
PUT /containers/{name:.*}/archive
DELETE /containers/{name:.*}
GET /images/json
GET /images/search
GET /images/get
GET /images/{name:.*}/get
GET /images/{name:.*}/history
GET /images/{name:.*}/json
POST /images/load
POST /images/create
POST /images/{name:.*}/push
POST /images/{name:.*}/tag
POST /images/prune
DELETE /images/{name:.*}
OPTIONS /{anyroute:.*}
GET /_ping
HEAD /_ping
GET /events
GET /info
GET /version
GET /system/df
POST /auth
GET /volumes
GET /volumes/{name:.*}
POST /volumes/create
POST /volumes/prune
PUT /volumes/{name:.*}
DELETE /volumes/{name:.*}
POST /build
POST /build/prune
POST /build/cancel
POST /session
POST /grpc
POST /swarm/init
POST /swarm/join
POST /swarm/leave
GET /swarm
GET /swarm/unlockkey
POST /swarm/update
POST /swarm/unlock
GET /services
GET /services/{id}
POST /services/create
POST /services/{id}/update
DELETE /services/{id}
GET /services/{id}/logs
GET /nodes
GET /nodes/{id}
DELETE /nodes/{id}
POST /nodes/{id}/update
GET /tasks
GET /tasks/{id}
GET /tasks/{id}/logs
GET /secrets
POST /secrets/create
DELETE /secrets/{id}
GET /secrets/{id}
POST /secrets/{id}/update
GET /configs
POST /configs/create
DELETE /configs/{id}
GET /configs/{id}
POST /configs/{id}/update
GET /plugins
GET /plugins/{name:.*}/json
GET /plugins/privileges
DELETE /plugins/{name:.*}
POST /plugins/{name:.*}/enable
POST /plugins/{name:.*}/disable
POST /plugins/pull
POST /plugins/{name:.*}/push
POST /plugins/{name:.*}/upgrade
POST /plugins/{name:.*}/set
POST /plugins/create
GET /distribution/{name:.*}/json
GET /networks
GET /networks/
GET /networks/{id:.+}
POST /networks/create
POST /networks/{id:.*}/connect
POST /networks/{id:.*}/disconnect
POST /networks/prune
DELETE /networks/{id:.*}
GET /debug/vars
GET /debug/pprof/
GET /debug/pprof/cmdline
GET /debug/pprof/profile
GET /debug/pprof/symbol
GET /debug/pprof/trace
GET /debug/pprof/{name}
`;

/** A route of the Engine. */
export interface EngineRoute {
  readonly method: string;
  readonly pattern: string;
}

export const engineRoutes: readonly EngineRoute[] = table
  .trim()
  .split("\n")
  .map((line) => {
    const [method = "", pattern = ""] = line.split(" ");
    return { method, pattern };
  });

/** A target of a route, with a name in the place of each variable. */
export function targetOf({ pattern }: EngineRoute, name = "berth-dev-lal"): string {
  return pattern.replace(/\{[^}]*\}/g, name);
}

/** What the Engine makes of a request line: a route and the object that it is about, a redirect, or nothing. */
export type EngineReading =
  | { readonly route: string; readonly name: string }
  | "redirect"
  | "not found"
  | "malformed";

const compiled = engineRoutes.flatMap(({ method, pattern }) =>
  ["/v{version:[0-9.]+}", ""].map((prefix) => ({
    method,
    route: `${method} ${pattern}`,
    pattern: new RegExp(
      `^${(prefix + pattern).replace(/\{([a-z]+)(?::([^}]*))?\}|[.]/g, (whole, name, rule) =>
        whole === "." ? "\\." : `(?<${name}>${rule ?? "[^/]+"})`,
      )}$`,
      "s",
    ),
  })),
);

/**
 * Reads a request line as the Engine does: the query is cut off, escapes are decoded, a path that is not clean is answered
 * with a redirect to the one that is, else the first route that fits takes it.
 */
export function engineReads(method: string, target: string): EngineReading {
  const [written = ""] = target.replace(/^https?:\/\/[^/?]*/, "").split("?");
  if (!written.startsWith("/")) return "malformed";
  let path: string;
  try {
    path = decodeURIComponent(written);
  } catch {
    return "malformed";
  }
  if (path !== cleaned(path)) return "redirect";
  for (const { method: wanted, route, pattern } of compiled) {
    const groups = wanted === method ? pattern.exec(path)?.groups : undefined;
    if (groups || (wanted === method && pattern.test(path))) {
      return { route, name: groups?.name ?? groups?.id ?? "" };
    }
  }
  return "not found";
}

/** As Go's `path.Clean` does, with the slash at the end kept. */
function cleaned(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") kept.pop();
    else kept.push(segment);
  }
  const clean = `/${kept.join("/")}`;
  return path.endsWith("/") && clean !== "/" ? `${clean}/` : clean;
}
