/** Schema that holds everything; dropping it removes every trace of the stand-in. */
export const schemaName = "berth_standin";

/**
 * The schema, step by step. A step is never changed once released: the database remembers how many it has run.
 * Times are milliseconds since 1970, ids 26 characters, as in the API.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE users (
    id text PRIMARY KEY,
    create_at bigint NOT NULL,
    update_at bigint NOT NULL,
    delete_at bigint NOT NULL DEFAULT 0,
    username text NOT NULL UNIQUE,
    email text NOT NULL UNIQUE,
    password text NOT NULL DEFAULT '',
    failed_attempts integer NOT NULL DEFAULT 0,
    last_password_update bigint NOT NULL DEFAULT 0,
    roles text NOT NULL DEFAULT 'system_user',
    nickname text NOT NULL DEFAULT '',
    first_name text NOT NULL DEFAULT '',
    last_name text NOT NULL DEFAULT '',
    position text NOT NULL DEFAULT '',
    locale text NOT NULL DEFAULT 'en',
    props jsonb NOT NULL DEFAULT '{}',
    notify_props jsonb NOT NULL DEFAULT '{}',
    is_bot boolean NOT NULL DEFAULT false,
    bot_description text NOT NULL DEFAULT '',
    bot_owner_id text NOT NULL DEFAULT ''
  );
  CREATE TABLE sessions (
    id text PRIMARY KEY,
    token_hash text NOT NULL UNIQUE,
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    create_at bigint NOT NULL,
    expires_at bigint NOT NULL
  );
  CREATE INDEX sessions_user ON sessions (user_id, create_at);
  CREATE TABLE tokens (
    id text PRIMARY KEY,
    token_hash text NOT NULL UNIQUE,
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    description text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    create_at bigint NOT NULL
  );
  CREATE INDEX tokens_user ON tokens (user_id, create_at);
  CREATE TABLE teams (
    id text PRIMARY KEY,
    create_at bigint NOT NULL,
    update_at bigint NOT NULL,
    delete_at bigint NOT NULL DEFAULT 0,
    name text NOT NULL UNIQUE,
    display_name text NOT NULL,
    description text NOT NULL DEFAULT '',
    email text NOT NULL DEFAULT '',
    type text NOT NULL,
    company_name text NOT NULL DEFAULT '',
    invite_id text NOT NULL,
    allow_open_invite boolean NOT NULL DEFAULT false
  );
  CREATE TABLE team_members (
    team_id text NOT NULL REFERENCES teams ON DELETE CASCADE,
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    scheme_admin boolean NOT NULL DEFAULT false,
    delete_at bigint NOT NULL DEFAULT 0,
    create_at bigint NOT NULL,
    PRIMARY KEY (team_id, user_id)
  );
  CREATE INDEX team_members_user ON team_members (user_id);
  CREATE TABLE channels (
    id text PRIMARY KEY,
    create_at bigint NOT NULL,
    update_at bigint NOT NULL,
    delete_at bigint NOT NULL DEFAULT 0,
    team_id text NOT NULL DEFAULT '',
    type text NOT NULL,
    name text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    header text NOT NULL DEFAULT '',
    purpose text NOT NULL DEFAULT '',
    last_post_at bigint NOT NULL DEFAULT 0,
    last_root_post_at bigint NOT NULL DEFAULT 0,
    total_msg_count bigint NOT NULL DEFAULT 0,
    total_msg_count_root bigint NOT NULL DEFAULT 0,
    creator_id text NOT NULL DEFAULT '',
    UNIQUE (team_id, name)
  );
  CREATE TABLE channel_members (
    channel_id text NOT NULL REFERENCES channels ON DELETE CASCADE,
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    scheme_admin boolean NOT NULL DEFAULT false,
    last_viewed_at bigint NOT NULL DEFAULT 0,
    last_update_at bigint NOT NULL,
    PRIMARY KEY (channel_id, user_id)
  );
  CREATE INDEX channel_members_user ON channel_members (user_id);
  CREATE TABLE posts (
    id text PRIMARY KEY,
    create_at bigint NOT NULL,
    update_at bigint NOT NULL,
    edit_at bigint NOT NULL DEFAULT 0,
    delete_at bigint NOT NULL DEFAULT 0,
    is_pinned boolean NOT NULL DEFAULT false,
    user_id text NOT NULL,
    channel_id text NOT NULL REFERENCES channels ON DELETE CASCADE,
    root_id text NOT NULL DEFAULT '',
    message text NOT NULL,
    type text NOT NULL DEFAULT '',
    props jsonb NOT NULL DEFAULT '{}',
    hashtags text NOT NULL DEFAULT '',
    file_ids text[] NOT NULL DEFAULT '{}',
    pending_post_id text NOT NULL DEFAULT ''
  );
  CREATE INDEX posts_channel_created ON posts (channel_id, create_at DESC);
  CREATE INDEX posts_channel_updated ON posts (channel_id, update_at);
  CREATE INDEX posts_root ON posts (root_id) WHERE root_id <> '';
  CREATE INDEX posts_pending ON posts (user_id, pending_post_id) WHERE pending_post_id <> '';
  CREATE TABLE reactions (
    post_id text NOT NULL REFERENCES posts ON DELETE CASCADE,
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    emoji_name text NOT NULL,
    create_at bigint NOT NULL,
    PRIMARY KEY (post_id, user_id, emoji_name)
  );
  CREATE TABLE files (
    id text PRIMARY KEY,
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    channel_id text NOT NULL REFERENCES channels ON DELETE CASCADE,
    post_id text NOT NULL DEFAULT '',
    create_at bigint NOT NULL,
    name text NOT NULL,
    mime_type text NOT NULL,
    content bytea NOT NULL
  );
  CREATE TABLE commands (
    id text PRIMARY KEY,
    team_id text NOT NULL REFERENCES teams ON DELETE CASCADE,
    token text NOT NULL,
    creator_id text NOT NULL,
    create_at bigint NOT NULL,
    update_at bigint NOT NULL,
    trigger text NOT NULL,
    fields jsonb NOT NULL,
    UNIQUE (team_id, trigger)
  );
  CREATE TABLE health (id integer PRIMARY KEY, checked_at bigint NOT NULL);
  `,
];
