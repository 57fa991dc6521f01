import type http from "node:http";
import type { Chat } from "../../../spec/declaration.ts";
import type { MattermostError } from "./answers.ts";
import type { Check } from "./routes.ts";
import { fieldsOf, type Scope } from "./scope.ts";

/** What goes on of a request: the body, rebuilt where it was read; or why nothing does. */
export type BodyVerdict = { readonly body: Buffer | undefined } | MattermostError;

/**
 * Members of bodies that go on. They are written anew: Mattermost's reader takes `Channel_Id` for `channel_id` and
 * the last of two, so the body that was checked must be the only way to read it.
 */
const members: Partial<Record<Check, readonly string[]>> = {
  "new-post": ["channel_id", "root_id", "message", "file_ids", "props", "pending_post_id"],
  typing: ["channel_id", "parent_id"],
  reaction: ["user_id", "post_id", "emoji_name"],
};

/** Looks at a request before it goes on. @throws UpstreamError where Mattermost had to be asked */
export async function checkRequest(
  scope: Scope,
  asked: {
    readonly check: Check;
    readonly id: string;
    readonly query: URLSearchParams;
    readonly headers: http.IncomingHttpHeaders;
    readonly body: Buffer | undefined;
    readonly userId: string | undefined;
    readonly access: Chat["access"];
  },
): Promise<BodyVerdict> {
  const { check, id, body } = asked;
  const when = (holds: boolean): BodyVerdict => (holds ? { body } : "other-channel");
  switch (check) {
    case "channel":
      return when(await scope.holds(id));
    case "post":
      return when(await scope.holdsPost(id));
    case "file":
      return when(await scope.holdsFile(id));
    case "upload": {
      if (/^\s*multipart\//i.test(asked.headers["content-type"] ?? "")) return "multipart";
      const named = asked.query.getAll("channel_id");
      return when(named.length === 1 && (await scope.holds(named[0])));
    }
    case "direct": {
      const ids = parse(body);
      if (!Array.isArray(ids) || ids.length !== 2) return "malformed-request";
      const other = ids.find((one) => one !== asked.userId);
      const good = ids.includes(asked.userId) && typeof other === "string";
      if (!good || !/^[a-z0-9]{26}$/.test(other)) return "not-a-person";
      if (!(await scope.mayMeet(other, asked.access))) return "not-a-person";
      return { body: Buffer.from(JSON.stringify([asked.userId, other])) };
    }
    case "new-post":
    case "typing":
    case "reaction": {
      const value = fieldsOf(parse(body));
      const kept = Object.fromEntries(
        (members[check] ?? []).filter((key) => Object.hasOwn(value, key)).map((k) => [k, value[k]]),
      );
      const holds = await (check === "reaction"
        ? scope.holdsPost(kept.post_id)
        : scope.holds(kept.channel_id));
      return holds ? { body: Buffer.from(JSON.stringify(kept)) } : "other-channel";
    }
    default:
      return { body };
  }
}

/** Is the answer read before it goes on? */
export function readsAnswer(check: Check): boolean {
  return check.startsWith("of-");
}

/**
 * Looks at a whole answer of status 200 before the agent gets it.
 * @returns the body that it gets; undefined: none of it
 */
export async function checkAnswer(
  scope: Scope,
  check: Check,
  body: Buffer,
): Promise<Buffer | undefined> {
  const value = parse(body);
  if (check === "of-post")
    return (await scope.holds(fieldsOf(value).channel_id)) ? body : undefined;
  if (check === "of-channel") return (await scope.holdsChannel(value)) ? body : undefined;
  if (check === "of-posts") {
    const posts = Object.values(fieldsOf(fieldsOf(value).posts));
    const channels = new Set(posts.map((post) => fieldsOf(post).channel_id));
    if (channels.size === 0) return undefined;
    for (const channel of channels) if (!(await scope.holds(channel))) return undefined;
    return body;
  }
  if (check !== "of-channels" || !Array.isArray(value)) return undefined;
  const kept: unknown[] = [];
  for (const channel of value) if (await scope.holdsChannel(channel)) kept.push(channel);
  return Buffer.from(JSON.stringify(kept));
}

function parse(body: Buffer | undefined): unknown {
  try {
    return JSON.parse(body?.toString("utf8") ?? "");
  } catch {
    return undefined;
  }
}
