import type { Chat } from "../../../spec/declaration.ts";
import type { Post } from "../mattermost/types.ts";

/** What to do with a message before anybody's rights are looked at. */
export type Addressed =
  /** Not for us. */
  | "no"
  /** It calls us: a mention or a direct message. */
  | "called"
  /** It is for us only because we answer every message of the channel. */
  | "overheard";

/** How a message reached us. */
export interface Arrival {
  /** O, P, D, G; unknown where the server did not say. */
  readonly channelType: string;
  /** Users mentioned, as the server found them; absent for messages read by REST. */
  readonly mentions?: readonly string[];
}

/** Who we are, for the question whether a message is for us. */
export interface Me {
  readonly userId: string;
  readonly username: string;
}

/** Decides whether a message is for us. Our own, other bots' and the system's messages never are. */
export function addressed(
  post: Post,
  arrival: Arrival,
  me: Me,
  trigger: Chat["trigger"],
): Addressed {
  if (post.user_id === me.userId || post.type !== "" || (post.delete_at ?? 0) > 0) return "no";
  if (isTrue(post.props?.from_bot) || isTrue(post.props?.from_webhook)) return "no";
  if (post.message.trim() === "") return "no";
  if (arrival.channelType === "D" || isMentioned(post.message, arrival, me)) return "called";
  return trigger === "all" ? "overheard" : "no";
}

function isMentioned(message: string, arrival: Arrival, me: Me): boolean {
  const byName = mentionsName(message, me.username);
  if (!arrival.mentions) return byName;
  // A word to everybody is not a word to us: twenty agents would answer it.
  const toEverybody = /(^|\s)@(all|channel|here)\b/i.test(message);
  return arrival.mentions.includes(me.userId) && (byName || !toEverybody);
}

/** Whether a text holds `@name` outside of code. `@name-2` and `@name.x` are other names; `@name.` is ours. */
export function mentionsName(message: string, username: string): boolean {
  const plain = message.replace(/```[\s\S]*?(```|$)/g, " ").replace(/`[^`\n]*`/g, " ");
  return mentionPattern(username).test(plain);
}

/** What is given to the program: the message without the name that begins it. */
export function promptText(message: string, username: string): string {
  const text = message.trim();
  const rest = text.replace(
    new RegExp(`^@${escapePattern(username)}(?![\\w-]|\\.\\w)[:,]?\\s*`, "i"),
    "",
  );
  return rest === "" ? text : rest;
}

/** Whether a person may talk to the agent. An allowlist without users lets nobody in. */
export function isAllowed(username: string, access: Chat["access"]): boolean {
  const listed = (access.users ?? []).includes(username.toLowerCase());
  if (access.mode === "open") return true;
  return access.mode === "allowlist" ? listed : !listed;
}

/** The conversation a message belongs to: its thread, or the direct channel itself. */
export function threadOf(post: Post, channelType: string): string {
  if (post.root_id) return post.root_id;
  return channelType === "D" ? `direct:${post.channel_id}` : post.id;
}

function mentionPattern(username: string): RegExp {
  return new RegExp(`(^|[^\\w.@-])@${escapePattern(username)}(?![\\w-]|\\.\\w)`, "i");
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\-]/g, "\\$&");
}

/** Mattermost stamps marks like `from_bot` as the text "true". */
function isTrue(value: unknown): boolean {
  return value === true || value === "true";
}
