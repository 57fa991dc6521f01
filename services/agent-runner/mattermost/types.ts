/** The members of Mattermost's objects that the runner reads. */
export interface Post {
  readonly id: string;
  readonly create_at: number;
  readonly delete_at?: number;
  readonly user_id: string;
  readonly channel_id: string;
  /** Empty for a post that begins a thread. */
  readonly root_id: string;
  readonly message: string;
  /** Empty for what people and bots write; `system_…` otherwise. */
  readonly type: string;
  readonly props?: Readonly<Record<string, unknown>>;
}

export interface Channel {
  readonly id: string;
  /** O(pen), P(rivate), D(irect), G(roup). */
  readonly type: string;
  readonly name: string;
  readonly last_post_at?: number;
}

export interface User {
  readonly id: string;
  readonly username: string;
  readonly is_bot?: boolean;
}

/** Answer of `GET /channels/{id}/posts`. */
export interface PostList {
  readonly order: readonly string[];
  readonly posts: Readonly<Record<string, Post>>;
}

/** A frame of the WebSocket: an event, or the reply to something we sent. */
export interface Frame {
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly broadcast?: { readonly user_id?: string; readonly channel_id?: string };
  readonly seq?: number;
  readonly seq_reply?: number;
  readonly status?: string;
  readonly error?: { readonly id?: string };
}
