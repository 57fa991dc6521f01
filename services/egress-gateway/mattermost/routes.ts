/**
 * What of Mattermost's API a bot bridge needs, and no more. Everything that makes, changes or ends an identity is
 * missing on purpose: tokens, sessions, logins, passwords, bots, roles, config, plugins, commands, webhooks, and
 * finding or joining channels, since an agent's channels stand in its declaration.
 */

/** Parts of a path pattern. */
const parts: Readonly<Record<string, string>> = {
  ":id": "[a-z0-9]{26}",
  ":user": "(?:me|[a-z0-9]{26})",
  ":name": "[a-z0-9][a-z0-9._-]{0,63}",
  ":emoji": "[a-z0-9_+-]{1,64}",
};

/**
 * What is looked at before a request goes on, so that it stays in the agent's own channels.
 * `channel`, `post`, `file`: the id in the path is that of one. `new-post`, `typing`, `reaction`, `direct`: the body
 * names a channel, a post or persons. `upload`: the query names the channel. `of-…`: the answer tells the channel.
 */
export type Check =
  | "none"
  | "channel"
  | "post"
  | "file"
  | "new-post"
  | "typing"
  | "reaction"
  | "direct"
  | "upload"
  | "of-channel"
  | "of-channels"
  | "of-post"
  | "of-posts";

const table: Readonly<Record<string, Check>> = {
  "GET /system/ping": "none",
  "GET /websocket": "none",

  "GET /users/:user": "none",
  "GET /users/username/:name": "none",
  "POST /users/ids": "none",
  "POST /users/usernames": "none",
  "GET /users/:user/teams": "none",
  "POST /users/:user/typing": "typing",
  "GET /users/:user/channels": "of-channels",
  "GET /users/:user/teams/:id/channels": "of-channels",
  "DELETE /users/:user/posts/:id/reactions/:emoji": "post",

  "GET /teams/:id": "none",
  "GET /teams/name/:name": "none",
  "GET /teams/:id/channels/name/:name": "of-channel",
  "GET /teams/name/:name/channels/name/:name": "of-channel",

  "GET /channels/:id": "channel",
  "GET /channels/:id/members": "channel",
  "GET /channels/:id/members/:user": "channel",
  "GET /channels/:id/posts": "channel",
  "POST /channels/direct": "direct",

  "POST /posts": "new-post",
  "GET /posts/:id": "of-post",
  "GET /posts/:id/thread": "of-posts",
  "PUT /posts/:id/patch": "post",
  "DELETE /posts/:id": "post",
  "GET /posts/:id/reactions": "post",
  "POST /reactions": "reaction",

  "POST /files": "upload",
  "GET /files/:id": "file",
  "GET /files/:id/info": "file",
};

/** Where Mattermost's API begins. */
export const apiPrefix = "/api/v4";

const routes = Object.entries(table).map(([text, check]) => {
  const [method = "", path = ""] = text.split(" ");
  const pattern = path.replace(/:[a-z]+/g, (part) => parts[part] ?? "(?!)");
  return { text, check, method, pattern: new RegExp(`^${apiPrefix}${pattern}$`) };
});

/** What a request may do: the route that it takes, or why it takes none. */
export type RouteVerdict =
  | {
      readonly route: string;
      readonly path: string;
      readonly check: Check;
      /** The id that `check` is about, where the path has it. */
      readonly id: string;
    }
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
  if (!found) return { refused: "not-allowed" };
  const id = /\/(?:channels|posts|files)\/([a-z0-9]{26})(?:\/|$)/.exec(path)?.[1] ?? "";
  return { route: found.text, path, check: found.check, id };
}
