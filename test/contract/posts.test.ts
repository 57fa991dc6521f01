import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Caller, expectError, type Json, type Thing, World } from "./support/api.ts";
import { contractServer, type Server } from "./support/server.ts";

let server: Server;
let world: World;
let ann: Caller;
let bot: Caller;
let channel: Thing;
beforeAll(async () => {
  server = await contractServer();
  world = await World.open(server);
  ann = await world.person("ann");
  bot = await world.bot("lal");
  channel = await world.channel("P", ann, bot);
});
afterAll(() => server?.stop());

const denied = "api.context.permissions.app_error";
const badBody = "api.context.invalid_body_param.app_error";

interface PostList {
  readonly order: string[];
  readonly posts: Record<string, Json>;
  readonly next_post_id: string;
  readonly prev_post_id: string;
}

const say = (who: Caller, message: string, more: Json = {}, at: Thing = channel) =>
  who.post<Json & { id: string; create_at: number; update_at: number }>("/posts", {
    channel_id: at.id,
    message,
    ...more,
  });
const list = (who: Caller, query: string, at: Thing = channel) =>
  who.get<PostList>(`/channels/${at.id}/posts${query}`);

describe("writing", () => {
  it("a post is made with 201 and has every field", async () => {
    const body = { channel_id: channel.id, message: "hello **there**", pending_post_id: "p:1" };
    const reply = await ann.call("POST", "/posts", body);
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({
      ...body,
      user_id: ann.id,
      root_id: "",
      original_id: "",
      type: "",
      edit_at: 0,
      delete_at: 0,
      is_pinned: false,
      reply_count: 0,
      hashtags: "",
    });
    expect(reply.body.id).toMatch(/^[a-z0-9]{26}$/);
    expect(reply.body.update_at).toBe(reply.body.create_at);
    expect(reply.body.metadata).toBeTypeOf("object");
    expect(await bot.get(`/posts/${reply.body.id}`)).toMatchObject({ message: body.message });
  });

  it("bots' posts are marked, people's are not", async () => {
    expect((await say(bot, "beep")).props).toMatchObject({ from_bot: "true" });
    expect((await say(ann, "hi")).props).not.toHaveProperty("from_bot");
  });

  it("16,383 characters are a post, one more is none", async () => {
    const most = await say(ann, "x".repeat(16_383));
    expect(String(most.message)).toHaveLength(16_383);
    const body = { channel_id: channel.id, message: "x".repeat(16_384) };
    expectError(
      await ann.call("POST", "/posts", body),
      400,
      "model.post.is_valid.message_length.app_error",
    );
  });

  it("an answer is in its root's thread, which counts it", async () => {
    const root = await say(ann, "question");
    const answer = await say(bot, "answer", { root_id: root.id });
    expect(answer).toMatchObject({ root_id: root.id, reply_count: 1 });
    expect(await ann.get(`/posts/${root.id}`)).toMatchObject({ reply_count: 1 });
    const thread = await ann.get<PostList>(`/posts/${root.id}/thread`);
    expect(Object.keys(thread.posts).sort()).toEqual([root.id, answer.id].sort());
  });

  it("an answer to an answer, to nothing, or to another channel's post is refused", async () => {
    const badRoot = "api.post.create_post.root_id.app_error";
    const root = await say(ann, "question");
    const answer = await say(bot, "answer", { root_id: root.id });
    const reply = (rootId: string) =>
      bot.call("POST", "/posts", { channel_id: channel.id, message: "x", root_id: rootId });
    expectError(await reply(answer.id), 400, badRoot);
    expectError(await reply("a".repeat(26)), 400, badRoot);
    const other = await world.channel("P", bot);
    const elsewhere = await say(bot, "there", {}, other);
    expect((await reply(elsewhere.id)).status).toBe(400);
  });

  it("nobody writes to a channel that he is not in", async () => {
    const closed = await world.channel("P");
    const body = { channel_id: closed.id, message: "x" };
    expectError(await bot.call("POST", "/posts", body), 403, denied);
    const open = await world.channel("O");
    expectError(await bot.call("POST", "/posts", { ...body, channel_id: open.id }), 403, denied);
  });

  it("an archived channel takes no posts", async () => {
    const old = await world.channel("P", bot);
    await world.admin.delete(`/channels/${old.id}`);
    expectError(
      await bot.call("POST", "/posts", { channel_id: old.id, message: "x" }),
      400,
      "api.post.create_post.can_not_post_to_deleted.error",
    );
  });

  it("a body that is no post is 400", async () => {
    expectError(await bot.call("POST", "/posts", []), 400, badBody);
  });

  it("the same pending id twice is one post", async () => {
    const pending_post_id = `${ann.id}:${Date.now()}`;
    const first = await say(ann, "once", { pending_post_id });
    const second = await say(ann, "once", { pending_post_id });
    expect(second.id).toBe(first.id);
  });
});

describe("changing", () => {
  it("an edit sets edit_at and update_at and keeps the rest", async () => {
    const post = await say(bot, "thinking…");
    const edited = await bot.put(`/posts/${post.id}/patch`, { message: "done" });
    expect(edited).toMatchObject({ id: post.id, message: "done", create_at: post.create_at });
    expect(edited.props).toMatchObject({ from_bot: "true" });
    expect(Number(edited.edit_at)).toBeGreaterThan(0);
    expect(Number(edited.update_at)).toBeGreaterThan(post.update_at);
  });

  it("nobody edits or deletes another's post", async () => {
    const post = await say(ann, "mine");
    expectError(await bot.call("PUT", `/posts/${post.id}/patch`, { message: "x" }), 403, denied);
    expectError(await bot.call("DELETE", `/posts/${post.id}`), 403, denied);
  });

  it("an edit cannot make a post too long", async () => {
    const post = await say(bot, "short");
    const long = { message: "x".repeat(16_384) };
    const reply = await bot.call("PUT", `/posts/${post.id}/patch`, long);
    expectError(reply, 400, "model.post.is_valid.message_length.app_error");
  });

  it("a deleted post is gone with its answers", async () => {
    const root = await say(ann, "root");
    const answer = await say(bot, "answer", { root_id: root.id });
    expect(await ann.delete(`/posts/${root.id}`)).toEqual({ status: "OK" });
    const missing = await ann.call("GET", `/posts/${root.id}`);
    expect(missing.status).toBe(404);
    const { posts } = await list(ann, "");
    expect(posts).not.toHaveProperty(root.id);
    expect(posts).not.toHaveProperty(answer.id);
  });
});

describe("reading", () => {
  it("a channel's posts come newest first, by page", async () => {
    const place = await world.channel("P", ann);
    const ids: string[] = [];
    for (const n of [1, 2, 3, 4, 5]) ids.unshift((await say(ann, `n${n}`, {}, place)).id);
    const all = await list(ann, "?per_page=200", place);
    expect(all.order.filter((id) => ids.includes(id))).toEqual(ids);
    const second = await list(ann, "?per_page=2&page=1", place);
    expect(second.order).toEqual(ids.slice(2, 4));
  });

  it("before and after go from a post on", async () => {
    const place = await world.channel("P", ann);
    const ids: string[] = [];
    for (const n of [1, 2, 3, 4, 5]) ids.unshift((await say(ann, `n${n}`, {}, place)).id);
    const older = await list(ann, `?before=${ids[2]}&per_page=1`, place);
    expect(older.order).toEqual([ids[3]]);
    const newer = await list(ann, `?after=${ids[2]}&per_page=10`, place);
    expect(newer.order).toEqual([ids[0], ids[1]]);
    expect(newer.prev_post_id).toBe(ids[2]);
    expect(newer.next_post_id).toBe("");
  });

  it("since gives what is new, changed or deleted, and nothing else", async () => {
    const place = await world.channel("P", ann);
    const old = await say(ann, "old", {}, place);
    const edited = await say(ann, "to be edited", {}, place);
    const gone = await say(ann, "to be deleted", {}, place);
    const since = gone.update_at;
    await new Promise((resolve) => setTimeout(resolve, 5));
    await ann.put(`/posts/${edited.id}/patch`, { message: "edited" });
    await ann.delete(`/posts/${gone.id}`);
    const fresh = await say(ann, "new", {}, place);
    const { posts } = await list(ann, `?since=${since}`, place);
    expect(posts).not.toHaveProperty(old.id);
    expect(posts[edited.id]).toMatchObject({ message: "edited" });
    expect(Number(posts[gone.id]?.delete_at)).toBeGreaterThan(0);
    expect(posts[fresh.id]).toMatchObject({ message: "new" });
  });

  it("an answer on a page brings its root along", async () => {
    const place = await world.channel("P", ann);
    const root = await say(ann, "root", {}, place);
    for (const n of [1, 2, 3]) await say(ann, `filler ${n}`, {}, place);
    const answer = await say(ann, "answer", { root_id: root.id }, place);
    const page = await list(ann, "?per_page=1", place);
    expect(page.order).toEqual([answer.id]);
    expect(page.posts).toHaveProperty(root.id);
  });

  it("words are found in the caller's own channels only", async () => {
    const word = `needle${Date.now()}`;
    const hidden = await world.channel("P");
    await say(world.admin, word, {}, hidden);
    const seen = await say(ann, `a ${word} here`);
    const search = { terms: word, is_or_search: false };
    const found = await ann.post<PostList>(`/teams/${world.team.id}/posts/search`, search);
    expect(found.order).toEqual([seen.id]);
  });
});

describe("reactions and files", () => {
  it("a reaction is added, listed and taken back", async () => {
    const post = await say(ann, "like this");
    const body = { user_id: bot.id, post_id: post.id, emoji_name: "eyes" };
    const reply = await bot.call("POST", "/reactions", body);
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject(body);
    expect(await ann.get(`/posts/${post.id}/reactions`)).toMatchObject([body]);
    await bot.delete(`/users/${bot.id}/posts/${post.id}/reactions/eyes`);
    const left = await ann.get<Json[] | null>(`/posts/${post.id}/reactions`);
    expect(left ?? []).toEqual([]);
  });

  it("nobody reacts in another's name", async () => {
    const post = await say(ann, "like this");
    const body = { user_id: ann.id, post_id: post.id, emoji_name: "eyes" };
    expect((await bot.call("POST", "/reactions", body)).status).toBe(403);
  });

  it("an uploaded file is in the post that names it, for the channel's readers only", async () => {
    const form = new FormData();
    form.set("channel_id", channel.id);
    form.append("files", new Blob(["a,b\r\n1,2\r\n"], { type: "text/csv" }), "table.csv");
    const upload = await ann.call<{ file_infos: (Json & { id: string })[] }>(
      "POST",
      "/files",
      form,
    );
    expect(upload.status).toBe(201);
    const file = upload.body.file_infos[0];
    expect(file).toMatchObject({ name: "table.csv", extension: "csv", size: 10 });
    const post = await say(ann, "the table", { file_ids: [file?.id] });
    expect(post.file_ids).toEqual([file?.id]);
    const read = (who: Caller) =>
      fetch(`${server.url}/api/v4/files/${file?.id}`, {
        headers: { authorization: `Bearer ${who.token}` },
      });
    expect(await (await read(bot)).text()).toBe("a,b\r\n1,2\r\n");
    expect((await read(await world.bot())).status).toBe(403);
  });

  it("a slash command is kept with 201, changed and deleted", async () => {
    const body = {
      team_id: world.team.id,
      trigger: `cmd${Date.now()}`,
      method: "P",
      url: "http://127.0.0.1:9/cmd",
    };
    const reply = await world.admin.call("POST", "/commands", body);
    expect(reply.status).toBe(201);
    const path = `/commands?team_id=${world.team.id}&custom_only=true`;
    expect(await world.admin.get(path)).toMatchObject([{ id: reply.body.id, ...body }]);
    const changed = { ...reply.body, description: "other" };
    expect(await world.admin.put(`/commands/${reply.body.id}`, changed)).toMatchObject({
      description: "other",
      trigger: body.trigger,
    });
    await world.admin.delete(`/commands/${reply.body.id}`);
    expect(await world.admin.get(path)).toEqual([]);
  });
});
