import { badUrl } from "../errors.ts";
import { isId } from "../ids.ts";
import { botRoutes } from "./bots.ts";
import { channelMemberRoutes } from "./channel-members.ts";
import { channelRoutes } from "./channels.ts";
import { commandRoutes } from "./commands.ts";
import { fileRoutes } from "./files.ts";
import { postRoutes } from "./posts.ts";
import { reactionRoutes } from "./reactions.ts";
import type { Route } from "./route.ts";
import { sessionRoutes } from "./sessions.ts";
import { systemRoutes } from "./system.ts";
import { teamRoutes } from "./teams.ts";
import { tokenRoutes } from "./tokens.ts";
import { userRoutes } from "./users.ts";

/** The whole API. */
const routes: readonly Route[] = [
  ...systemRoutes,
  ...sessionRoutes,
  ...tokenRoutes,
  ...userRoutes,
  ...botRoutes,
  ...teamRoutes,
  ...channelRoutes,
  ...channelMemberRoutes,
  ...postRoutes,
  ...reactionRoutes,
  ...fileRoutes,
  ...commandRoutes,
];

/** Where two lines fit a path, the one whose fixed words come first wins. */
const table = routes
  .map((route) => {
    const parts = route.path.slice(1).split("/");
    return { route, parts, order: parts.map((part) => (part.startsWith(":") ? 1 : 0)).join("") };
  })
  .sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0));

/** The line for a request, and the varying parts of its path as they came. */
export function findRoute(
  method: string,
  path: string,
  local: boolean,
): { readonly route: Route; readonly raw: Readonly<Record<string, string>> } | undefined {
  const given = path.slice(1).split("/");
  for (const { route, parts } of table) {
    if (route.method !== method || (local && !route.local) || parts.length !== given.length)
      continue;
    const raw: Record<string, string> = {};
    const fits = parts.every((part, i) => {
      const value = given[i] ?? "";
      if (!part.startsWith(":")) return part === value;
      raw[part.slice(1)] = value;
      return value !== "";
    });
    if (fits) return { route, raw };
  }
  return undefined;
}

/** Checks the varying parts and resolves `me`. @throws ApiError 400 */
export function checkParams(
  raw: Readonly<Record<string, string>>,
  userId: string,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(raw).map(([name, value]) => {
      if (!name.endsWith("_id")) return [name, decode(name, value)];
      const id = name === "user_id" && value === "me" ? userId : value;
      if (!isId(id)) throw badUrl(name);
      return [name, id];
    }),
  );
}

function decode(name: string, value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw badUrl(name);
  }
}
