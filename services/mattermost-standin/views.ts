import { hasRole } from "./auth.ts";
import type { Channel, ChannelMember } from "./store/channels.ts";
import type { Sql } from "./store/database.ts";
import { type FileRow, filesOf } from "./store/files.ts";
import { type Reaction, reactionsOf, type StoredPost } from "./store/posts.ts";
import type { Team, TeamMember } from "./store/teams.ts";
import type { User } from "./store/users.ts";

/** A user as the API shows it. `full` for the user itself and for administrators. */
export function userView(user: User, full: boolean) {
  return {
    id: user.id,
    create_at: user.create_at,
    update_at: user.update_at,
    delete_at: user.delete_at,
    username: user.username,
    auth_data: "",
    auth_service: "",
    email: user.email,
    email_verified: true,
    nickname: user.nickname,
    first_name: user.first_name,
    last_name: user.last_name,
    position: user.position,
    roles: user.roles,
    props: user.props,
    locale: user.locale,
    timezone: { automaticTimezone: "", manualTimezone: "", useAutomaticTimezone: "true" },
    disable_welcome_email: false,
    is_bot: user.is_bot,
    ...(user.is_bot ? { bot_description: user.bot_description } : {}),
    ...(full
      ? {
          notify_props: user.notify_props,
          last_password_update: user.last_password_update,
          failed_attempts: user.failed_attempts,
        }
      : {}),
  };
}

/** The same account as a bot. */
export function botView(user: User) {
  return {
    user_id: user.id,
    username: user.username,
    display_name: user.first_name,
    description: user.bot_description,
    owner_id: user.bot_owner_id,
    create_at: user.create_at,
    update_at: user.update_at,
    delete_at: user.delete_at,
  };
}

/** A team. Its invitation is for those who may invite. */
export function teamView(team: Team, mayInvite: boolean) {
  return {
    ...team,
    email: mayInvite ? team.email : "",
    invite_id: mayInvite ? team.invite_id : "",
    allowed_domains: "",
    scheme_id: "",
    group_constrained: false,
    policy_id: null,
  };
}

export function teamMemberView(member: TeamMember) {
  return {
    team_id: member.team_id,
    user_id: member.user_id,
    roles: member.scheme_admin ? "team_user team_admin" : "team_user",
    delete_at: member.delete_at,
    scheme_user: true,
    scheme_admin: member.scheme_admin,
    scheme_guest: false,
    explicit_roles: "",
  };
}

export function channelView(channel: Channel) {
  return {
    ...channel,
    extra_update_at: 0,
    scheme_id: "",
    props: null,
    group_constrained: false,
    shared: null,
    policy_id: null,
  };
}

export function channelMemberView(member: ChannelMember, channel?: Channel) {
  return {
    channel_id: member.channel_id,
    user_id: member.user_id,
    roles: member.scheme_admin ? "channel_user channel_admin" : "channel_user",
    last_viewed_at: member.last_viewed_at,
    msg_count: channel?.total_msg_count ?? 0,
    msg_count_root: channel?.total_msg_count_root ?? 0,
    mention_count: 0,
    mention_count_root: 0,
    urgent_mention_count: 0,
    notify_props: {
      desktop: "default",
      email: "default",
      ignore_channel_mentions: "default",
      mark_unread: "all",
      push: "default",
    },
    last_update_at: member.last_update_at,
    scheme_user: true,
    scheme_admin: member.scheme_admin,
    scheme_guest: false,
    explicit_roles: "",
  };
}

export function reactionView(reaction: Reaction, channelId: string) {
  return {
    user_id: reaction.user_id,
    post_id: reaction.post_id,
    emoji_name: reaction.emoji_name,
    create_at: reaction.create_at,
    update_at: reaction.create_at,
    delete_at: 0,
    remote_id: "",
    channel_id: channelId,
  };
}

export function fileView(file: FileRow) {
  const dot = file.name.lastIndexOf(".");
  return {
    id: file.id,
    user_id: file.user_id,
    post_id: file.post_id,
    channel_id: file.channel_id,
    create_at: file.create_at,
    update_at: file.create_at,
    delete_at: 0,
    name: file.name,
    extension: dot > 0 ? file.name.slice(dot + 1).toLowerCase() : "",
    size: file.size,
    mime_type: file.mime_type,
    width: 0,
    height: 0,
    has_preview_image: false,
  };
}

/** A post as clients see it. */
export type PostView = ReturnType<typeof barePost>;

function barePost(
  post: StoredPost,
  metadata: { reactions?: unknown[]; files?: unknown[] },
  participants: null = null,
) {
  const gone = post.delete_at > 0;
  return {
    id: post.id,
    create_at: post.create_at,
    update_at: post.update_at,
    edit_at: post.edit_at,
    delete_at: post.delete_at,
    is_pinned: post.is_pinned,
    user_id: post.user_id,
    channel_id: post.channel_id,
    root_id: post.root_id,
    original_id: "",
    // Nobody needs the text of what its author took back.
    message: gone ? "" : post.message,
    type: post.type,
    props: gone ? {} : post.props,
    hashtags: gone ? "" : post.hashtags,
    file_ids: gone ? [] : post.file_ids,
    pending_post_id: post.pending_post_id,
    has_reactions: (metadata.reactions?.length ?? 0) > 0,
    remote_id: "",
    reply_count: post.reply_count,
    last_reply_at: 0,
    participants,
    metadata,
  };
}

/** Posts with their files and reactions. */
export async function postViews(db: Sql, posts: readonly StoredPost[]): Promise<PostView[]> {
  const ids = posts.filter((post) => post.delete_at === 0).map((post) => post.id);
  if (ids.length === 0) return posts.map((post) => barePost(post, {}));
  const files = Map.groupBy(await filesOf(db, ids), (file) => file.post_id);
  const reactions = Map.groupBy(await reactionsOf(db, ids), (reaction) => reaction.post_id);
  return posts.map((post) => {
    const own = files.get(post.id);
    const given = reactions.get(post.id);
    return barePost(post, {
      ...(own ? { files: own.map(fileView) } : {}),
      ...(given ? { reactions: given.map((r) => reactionView(r, post.channel_id)) } : {}),
    });
  });
}

/** One post with its files and reactions. */
export async function postView(db: Sql, post: StoredPost): Promise<PostView> {
  const [view] = await postViews(db, [post]);
  if (!view) throw new Error("one post gives one view");
  return view;
}

/** Whether a caller sees all of a user. */
export function seesAll(viewer: User | undefined, local: boolean, userId: string): boolean {
  return (
    local || viewer?.id === userId || (viewer !== undefined && hasRole(viewer, "system_admin"))
  );
}
