/**
 * What of Mattermost's API a bot bridge needs, and no more. Everything that makes, changes or ends an identity is
 * missing on purpose: tokens, sessions, logins, passwords, bots, roles, config, plugins, commands, webhooks, and
 * joining channels, since an agent's channels stand in its declaration.
 */

/** Parts of a path pattern. */
const parts: Readonly<Record<string, string>> = {
  ":id": "[a-z0-9]{26}",
  ":user": "(?:me|[a-z0-9]{26})",
  ":name": "[a-z0-9][a-z0-9._-]{0,63}",
  ":emoji": "[a-z0-9_+-]{1,64}",
};

const table: readonly string[] = [
  "GET /system/ping",
  "GET /websocket",

  "GET /users/:user",
  "GET /users/username/:name",
  "POST /users/ids",
  "POST /users/usernames",
  "GET /users/:user/image",
  "GET /users/:user/status",
  "POST /users/status/ids",
  "POST /users/:user/typing",
  "GET /users/:user/teams",
  "GET /users/:user/channels",
  "GET /users/:user/teams/:id/channels",
  "GET /users/:user/teams/:id/channels/members",
  "DELETE /users/:user/posts/:id/reactions/:emoji",

  "GET /teams/:id",
  "GET /teams/name/:name",
  "GET /teams/:id/members/:user",
  "GET /teams/:id/channels",
  "GET /teams/:id/channels/name/:name",
  "GET /teams/name/:name/channels/name/:name",

  "GET /channels/:id",
  "GET /channels/:id/stats",
  "GET /channels/:id/members",
  "GET /channels/:id/members/:user",
  "POST /channels/:id/members/ids",
  "GET /channels/:id/posts",
  "GET /channels/:id/pinned",
  "POST /channels/members/:user/view",
  "POST /channels/direct",
  "POST /channels/group",

  "POST /posts",
  "POST /posts/ids",
  "GET /posts/:id",
  "PUT /posts/:id",
  "PUT /posts/:id/patch",
  "DELETE /posts/:id",
  "GET /posts/:id/thread",
  "GET /posts/:id/reactions",
  "GET /posts/:id/files/info",
  "POST /posts/:id/pin",
  "POST /posts/:id/unpin",
  "POST /reactions",

  "POST /files",
  "GET /files/:id",
  "GET /files/:id/info",
  "GET /files/:id/thumbnail",
  "GET /files/:id/preview",
];

/** Where Mattermost's API begins. */
export const apiPrefix = "/api/v4";

const routes = table.map((text) => {
  const [method = "", path = ""] = text.split(" ");
  const pattern = path.replace(/:[a-z]+/g, (part) => parts[part] ?? "(?!)");
  return { text, method, pattern: new RegExp(`^${apiPrefix}${pattern}$`) };
});

/** What a request may do: the route that it takes, or why it takes none. */
export type RouteVerdict =
  | { readonly route: string; readonly path: string }
  | { readonly refused: "malformed-path" | "token-in-query" | "not-allowed" };

/**
 * Finds the route of a request. The path must already be in the one form that every reader understands alike:
 * no escapes, no empty or dot segments. The query may be anything but carry a token.
 */
export function findRoute(method: string, url: string): RouteVerdict {
  const at = url.indexOf("?");
  const path = at < 0 ? url : url.slice(0, at);
  const query = at < 0 ? "" : url.slice(at + 1);
  if (!/^(\/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+$/.test(path)) return { refused: "malformed-path" };
  if (!/^[!-~]*$/.test(query) || query.includes("#")) return { refused: "malformed-path" };
  if ([...new URLSearchParams(query).keys()].some((key) => /token/i.test(key)))
    return { refused: "token-in-query" };
  const found = routes.find((route) => route.method === method && route.pattern.test(path));
  return found ? { route: found.text, path } : { refused: "not-allowed" };
}
