import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { Declaration } from "../../../spec/declaration.ts";
import { fresh, id, Scene } from "./scene.ts";
import { call, declaration, until } from "./support.ts";

const [other, direct, withBot, group, person, bot] = Array.from({ length: 6 }, fresh) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const strangers = fresh();

/** A Mattermost with one own channel, one of others, and direct channels with a person, a bot, and of others. */
async function place(members: Partial<Declaration> = {}, channelIds: readonly string[] = [id]) {
  const scene = await Scene.start({ channelsHurryMs: 0 });
  scene.channelIds = channelIds;
  const channels = [
    { id, type: "O", name: "own" },
    { id: other, type: "O", name: "other" },
    { id: direct, type: "D", name: `${id}__${person}` },
    { id: withBot, type: "D", name: `${bot}__${id}` },
    { id: strangers, type: "D", name: `${bot}__${person}` },
    { id: group, type: "G", name: "group" },
  ];
  for (const channel of channels) scene.things.set(`/channels/${channel.id}`, channel);
  scene.things.set("/users/me/channels", channels);
  scene.things.set(`/users/${person}`, { id: person, username: "Ada", is_bot: false });
  scene.things.set(`/users/${bot}`, { id: bot, username: "data", is_bot: true });
  for (const channel of channels) {
    // A post and a file with the id of their channel.
    const post = { id: channel.id, channel_id: channel.id };
    scene.things.set(`/posts/${channel.id}`, post);
    scene.things.set(`/posts/${channel.id}/thread`, { order: [], posts: { a: post } });
    scene.things.set(`/files/${channel.id}/info`, post);
    scene.things.set(`/teams/${id}/channels/name/${channel.name}`, channel);
  }
  const socket = await scene.ready(members);
  return { scene, socket };
}

const post = (socket: string, path: string, value: unknown) =>
  call(socket, {
    method: "POST",
    path: `/api/v4${path}`,
    body: typeof value === "string" ? value : JSON.stringify(value),
  });

/** Everything that an agent may do in a channel; each gives the status. */
const acts: Record<string, (socket: string, channel: string) => Promise<{ status: number }>> = {
  "read the channel": (s, c) => call(s, { path: `/api/v4/channels/${c}` }),
  "read its posts": (s, c) => call(s, { path: `/api/v4/channels/${c}/posts?since=1` }),
  "read its members": (s, c) => call(s, { path: `/api/v4/channels/${c}/members` }),
  "write a post": (s, c) => post(s, "/posts", { channel_id: c, message: "x" }),
  "notice of typing": (s, c) => post(s, "/users/me/typing", { channel_id: c }),
  "react to a post": (s, c) => post(s, "/reactions", { post_id: c, emoji_name: "ok" }),
  "take a reaction back": (s, c) =>
    call(s, { method: "DELETE", path: `/api/v4/users/me/posts/${c}/reactions/ok` }),
  "read a post": (s, c) => call(s, { path: `/api/v4/posts/${c}` }),
  "read a thread": (s, c) => call(s, { path: `/api/v4/posts/${c}/thread` }),
  "edit a post": (s, c) => call(s, { method: "PUT", path: `/api/v4/posts/${c}/patch`, body: "{}" }),
  "delete a post": (s, c) => call(s, { method: "DELETE", path: `/api/v4/posts/${c}` }),
  "upload a file": (s, c) => post(s, `/files?channel_id=${c}&filename=a`, "bytes"),
  "read a file": (s, c) => call(s, { path: `/api/v4/files/${c}` }),
};

describe("where an agent may read and write", () => {
  it.each(Object.entries(acts))(
    "%s: in its own channels and its direct ones with people, nowhere else",
    async (_what, act) => {
      const { scene, socket } = await place();
      await using _ = scene;
      for (const channel of [id, direct])
        expect((await act(socket, channel)).status).toBeLessThan(300);
      const reached = scene.seen.filter(({ method }) => method !== "GET").length;
      for (const channel of [other, withBot, strangers, group, fresh()])
        expect((await act(socket, channel)).status).toBe(403);
      expect(scene.seen.filter(({ method }) => method !== "GET")).toHaveLength(reached);
    },
  );

  it("the list of its channels holds no other ones, and names lead to no other ones", async () => {
    const { scene, socket } = await place();
    await using _ = scene;
    const { text } = await call(socket, { path: "/api/v4/users/me/channels" });
    expect(JSON.parse(text).map((channel: { id: string }) => channel.id)).toEqual([id, direct]);
    const named = (name: string) =>
      call(socket, { path: `/api/v4/teams/${id}/channels/name/${name}` });
    expect((await named("own")).status).toBe(200);
    expect((await named("other")).text).not.toContain(other);
    expect((await call(socket, { path: `/api/v4/teams/${id}/channels` })).status).toBe(403);
    expect((await post(socket, "/channels/group", [id, person, bot])).status).toBe(403);
  });

  it("a body that could be read in two ways is written anew in one", async () => {
    const { scene, socket } = await place();
    await using _ = scene;
    const twice = `{"channel_id":"${id}","Channel_Id":"${other}","channel_id":"${id}","message":"x"}`;
    expect((await post(socket, "/posts", twice)).status).toBe(201);
    expect((await post(socket, "/posts", `{"Channel_Id":"${id}"}`)).status).toBe(403);
    expect((await post(socket, "/posts", "not json")).status).toBe(403);
    const bodies = scene.seen.filter(({ url }) => url === "/api/v4/posts").map(({ body }) => body);
    expect(bodies.map((body) => JSON.parse(body))).toEqual([{ channel_id: id, message: "x" }]);
    expect(JSON.stringify(bodies)).not.toContain(other);
  });

  it("an upload names its channel once, in the query, and is no form", async () => {
    const { scene, socket } = await place();
    await using _ = scene;
    expect((await post(socket, "/files", "x")).status).toBe(403);
    const twice = `/files?channel_id=${id}&channel_id=${other}`;
    expect((await post(socket, twice, "x")).status).toBe(403);
    const form = await call(socket, {
      method: "POST",
      path: `/api/v4/files?channel_id=${id}`,
      headers: { "content-type": "Multipart/form-data; boundary=x" },
      body: "x",
    });
    expect(form.status).toBe(400);
    expect(scene.seen.filter(({ method }) => method === "POST")).toEqual([]);
  });

  it.each<[string, Declaration["chat"]["access"], number, number]>([
    ["open", { mode: "open" }, 201, 403],
    ["on the allowlist", { mode: "allowlist", users: ["ada"] }, 201, 403],
    ["not on the allowlist", { mode: "allowlist", users: ["data", "bob"] }, 403, 403],
    ["on the blocklist", { mode: "blocklist", users: ["ada"] }, 403, 403],
    ["not on the blocklist", { mode: "blocklist", users: ["bob"] }, 201, 403],
  ])(
    "a direct channel is opened with a person (%s), never with a bot or for others",
    async (_what, access, first, second) => {
      const { scene, socket } = await place({ chat: { channels: [], trigger: "mention", access } });
      await using _ = scene;
      const open = async (value: unknown) => (await post(socket, "/channels/direct", value)).status;
      expect(await open([id, person])).toBe(first);
      expect(await open([bot, id])).toBe(second);
      for (const value of [[person, bot], [id, id], [id, fresh()], [id], [id, person, bot]])
        expect(await open(value)).toBeGreaterThanOrEqual(400);
    },
  );

  it("a channel that the declaration gains opens at once, one that it loses closes, and no token is minted for it", async () => {
    const { scene, socket } = await place();
    await using _ = scene;
    const write = async (channel: string) =>
      (await post(socket, "/posts", { channel_id: channel })).status;
    expect(await write(other)).toBe(403);
    scene.channelIds = [other];
    expect(await write(other)).toBe(201);
    expect(await write(id)).toBe(403);
    expect(scene.mints).toBe(1);
  });

  it("a change of the declaration asks for the channels again; while the admin bridge is away what was known holds", async () => {
    await using scene = await Scene.start({ channelsHurryMs: 50 });
    const socket = await scene.ready();
    const write = async () => (await post(socket, "/posts", { channel_id: id })).status;
    scene.bridge = 503;
    const access = { mode: "open" } as const;
    const chat = { channels: ["other"], trigger: "mention", access } as const;
    await scene.test.gateway.apply([declaration("lal", { chat })]);
    expect(await write()).toBe(201);
    scene.bridge = 200;
    scene.channelIds = [];
    await until("the channel is closed", async () => (await write()) === 403);
  });

  it("an answer of the admin bridge without channels leaves direct channels with people only", async () => {
    const { scene, socket } = await place({}, []);
    await using _ = scene;
    expect((await post(socket, "/posts", { channel_id: id })).status).toBe(403);
    expect((await post(socket, "/posts", { channel_id: direct })).status).toBe(201);
  });
});

describe("what an agent may write", () => {
  it("posts, changes and uploaded bytes have budgets; over them it is a 429 in Mattermost's error shape", async () => {
    await using scene = await Scene.start({
      posts: { perSecond: 0.001, burst: 3 },
      changes: { perSecond: 0.001, burst: 2 },
      uploads: { perSecond: 1, burst: 1_000_000 },
    });
    const socket = await scene.ready();
    const many = async (act: () => Promise<{ status: number }>) => {
      const statuses: number[] = [];
      for (let i = 0; i < 5; i++) statuses.push((await act()).status);
      return statuses;
    };
    expect(await many(() => post(socket, "/posts", { channel_id: id }))).toEqual([
      201, 201, 201, 429, 429,
    ]);
    const edit = { method: "PUT", path: `/api/v4/posts/${id}/patch`, body: "{}" };
    expect(await many(() => call(socket, edit))).toEqual([200, 200, 429, 429, 429]);
    const path = `/files?channel_id=${id}`;
    const bytes = "x".repeat(400_000);
    expect(await many(() => post(socket, path, bytes))).toEqual([201, 201, 429, 429, 429]);
    const over = await post(socket, path, bytes);
    expect(JSON.parse(over.text)).toMatchObject({ id: "berth.gateway.too_many", status_code: 429 });
    const headers = { "transfer-encoding": "chunked" };
    const chunked = { method: "POST", path: `/api/v4${path}`, headers, body: bytes };
    await expect(call(socket, chunked)).rejects.toThrow();
    expect((await call(socket, { path: "/api/v4/users/me" })).status).toBe(200);
  });
});

describe("a token that the agent had in its own hands", () => {
  it("is replaced when its network becomes sealed, also where the admin bridge is away at first", async () => {
    await using scene = await Scene.start();
    await scene.ready({ network: "mattermost" });
    const path = scene.test.file("lal", "bot-token");
    const read = () => readFile(path, "utf8").catch(() => "");
    await until("the token file", async () => (await read()) !== "");
    const copied = (await read()).trim();
    expect(scene.valid.has(copied)).toBe(true);
    scene.bridge = 503;
    await scene.test.gateway.apply([declaration("lal")]);
    scene.bridge = 200;
    await until("the mint", () => scene.mints === 2);
    expect(scene.valid.has(copied)).toBe(false);
    const socket = scene.test.socket("lal");
    expect((await call(socket, { path: "/api/v4/users/me" })).status).toBe(200);
    expect(await read()).toBe("");
  });
});
