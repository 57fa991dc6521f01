import { Client4, type ClientError, WebSocketClient } from "@mattermost/client";
import type { Post } from "@mattermost/types/posts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { type Caller, unique, World } from "./support/api.ts";
import { contractServer, type Server } from "./support/server.ts";

/** The published client libraries, unmodified. */
let server: Server;
let world: World;
let ann: Caller & { password: string };
let bot: Caller & { tokenId: string };
beforeAll(async () => {
  server = await contractServer();
  world = await World.open(server);
  ann = await world.person("ann");
  bot = await world.bot("lal");
});
afterAll(() => server?.stop());

function clientOf(caller: Caller): Client4 {
  const client = new Client4();
  client.setUrl(server.url);
  client.setToken(caller.token);
  return client;
}

async function until(what: string, fits: () => boolean, timeoutMs = 8_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!fits()) {
    if (Date.now() > end) throw new Error(`waited for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("Client4", () => {
  it("logs in, learns the version, and logs out", async () => {
    const client = new Client4();
    client.setUrl(server.url);
    const me = await client.login(ann.username, ann.password);
    expect(me.id).toBe(ann.id);
    expect(client.getToken()).toMatch(/^[a-z0-9]{26}$/);
    expect(client.getServerVersion()).toMatch(/^\d+\.\d+\.\d+\./);
    expect((await client.getMe()).username).toBe(ann.username);
    await client.logout();
    client.setToken("a".repeat(26));
    await expect(client.getMe()).rejects.toMatchObject({ status_code: 401 });
  });

  it("makes and finds what the admin bridge needs", async () => {
    const admin = clientOf(world.admin);
    const username = unique("agent");
    const made = await admin.createBot({ username, display_name: "Agent", description: "d" });
    const id = made.user_id;
    expect((await admin.getBot(id)).username).toBe(username);
    await admin.patchBot(id, { username, display_name: "Agent 2" });
    await admin.addToTeam(world.team.id, id);
    expect((await admin.getTeamMember(world.team.id, id)).user_id).toBe(id);
    const name = unique("room");
    const channel = await admin.createChannel({
      team_id: world.team.id,
      name,
      display_name: name,
      type: "O",
    } as Parameters<Client4["createChannel"]>[0]);
    await admin.addToChannel(id, channel.id);
    const members = await admin.getChannelMembers(channel.id);
    expect(members.map((member) => member.user_id)).toContain(id);
    const token = await admin.createUserAccessToken(id, "stack/agent/1");
    const tokens = await admin.getUserAccessTokensForUser(id);
    expect(tokens.map((other) => other.description)).toEqual(["stack/agent/1"]);
    await admin.revokeUserAccessToken(token.id);
    expect(await admin.getUserAccessTokensForUser(id)).toEqual([]);
    await admin.removeFromChannel(id, channel.id);
    await admin.disableBot(id);
    await expect(admin.getBot(id)).rejects.toMatchObject({
      server_error_id: "store.sql_bot.get.missing.app_error",
    });
    await admin.enableBot(id);
  });

  it("talks: direct channel, post, thread, edit, reaction, typing, reading", async () => {
    const [hers, its] = [clientOf(ann), clientOf(bot)];
    const direct = await hers.createDirectChannel([ann.id, bot.id]);
    const root = await hers.createPost({ channel_id: direct.id, message: "hi" } as Post);
    const answer = await its.createPost({
      channel_id: direct.id,
      message: "…",
      root_id: root.id,
    } as Post);
    await its.patchPost({ id: answer.id, message: "hello!" });
    await its.addReaction(bot.id, root.id, "wave");
    const page = await hers.getPosts(direct.id);
    expect(page.posts[answer.id]?.message).toBe("hello!");
    expect(page.posts[root.id]?.metadata.reactions?.[0]?.emoji_name).toBe("wave");
    const since = await hers.getPostsSince(direct.id, root.create_at);
    expect(since.order).toContain(answer.id);
    const thread = await hers.getPostThread(root.id);
    expect(Object.keys(thread.posts).sort()).toEqual([root.id, answer.id].sort());
    await its.deletePost(answer.id);
  });

  it("finds people, teams and channels", async () => {
    const its = clientOf(bot);
    expect((await its.getUserByUsername(ann.username)).id).toBe(ann.id);
    const some = await its.getProfilesByIds([ann.id]);
    expect(some.map((user) => user.username)).toEqual([ann.username]);
    const named = await its.getProfilesByUsernames([ann.username]);
    expect(named.map((user) => user.id)).toEqual([ann.id]);
    expect((await its.getMyTeams()).map((team) => team.id)).toEqual([world.team.id]);
    const own = await its.getMyChannels(world.team.id);
    expect(own.map((channel) => channel.name)).toContain("town-square");
    const square = await its.getChannelByName(world.team.id, "town-square");
    expect(square.id).toBe(world.townSquare.id);
    expect((await its.getTeamByName(world.team.name)).id).toBe(world.team.id);
  });

  it("names errors by their id", async () => {
    const its = clientOf(bot);
    const error = await its.getUserByUsername(unique("nobody")).catch((e: ClientError) => e);
    expect(error).toMatchObject({
      status_code: 404,
      server_error_id: "app.user.get_by_username.app_error",
    });
  });

  it("pings and uploads", async () => {
    expect(await clientOf(bot).ping(true)).toMatchObject({ status: "OK", database_status: "OK" });
    const form = new FormData();
    form.append("files", new Blob(["x"]), "x.txt");
    form.set("channel_id", world.townSquare.id);
    const { file_infos } = await clientOf(bot).uploadFile(form);
    expect(file_infos[0]?.name).toBe("x.txt");
  });
});

describe("WebSocketClient", () => {
  const address = () => `${server.url.replace(/^http/, "ws")}/api/v4/websocket`;
  interface Heard {
    event: string;
    seq: number;
    data: Record<string, unknown>;
  }

  it("authenticates by challenge and hears a mention", async () => {
    const client = new WebSocketClient();
    const heard: Heard[] = [];
    client.addMessageListener((message) => heard.push(message as unknown as Heard));
    client.addMissedMessageListener(() => undefined);
    client.initialize(address(), bot.token);
    await until("hello", () => heard.some((message) => message.event === "hello"));
    const channel = await world.channel("P", ann, bot);
    const body = { channel_id: channel.id, message: `@${bot.username} hi` };
    await ann.post("/posts", body);
    const isMention = (message: Heard) =>
      message.event === "posted" && message.data.mentions === JSON.stringify([bot.id]);
    await until("the mention", () => heard.some(isMention));
    expect(heard.map((message) => message.seq)).toEqual(heard.map((_, index) => index));
    client.close();
  });

  it("resumes after a broken connection when its sockets carry the token", async () => {
    const sockets: WebSocket[] = [];
    const headers = { authorization: `Bearer ${ann.token}` };
    const client = new WebSocketClient({
      minWebSocketRetryTime: 300,
      reconnectJitterRange: 10,
      newWebSocketFn: (url) => {
        const socket = new WebSocket(url, { headers });
        sockets.push(socket);
        return socket as unknown as globalThis.WebSocket;
      },
    });
    const heard: Heard[] = [];
    let missed = 0;
    client.addMessageListener((message) => heard.push(message as unknown as Heard));
    client.addMissedMessageListener(() => missed++);
    client.initialize(address());
    await until("hello", () => heard.length > 0);
    const channel = await world.channel("P", ann);
    sockets[0]?.terminate();
    const sent = await ann.post("/posts", { channel_id: channel.id, message: "while away" });
    const isIt = (message: Heard) => String(message.data.post ?? "").includes(String(sent.id));
    await until("the missed post", () => heard.some(isIt));
    expect(sockets).toHaveLength(2);
    expect(missed).toBe(0);
    expect(heard.filter((message) => message.event === "hello")).toHaveLength(1);
    client.close();
  });

  it("notices that it missed events where it cannot resume", async () => {
    const sockets: globalThis.WebSocket[] = [];
    const client = new WebSocketClient({
      minWebSocketRetryTime: 200,
      reconnectJitterRange: 10,
      newWebSocketFn: (url) => {
        const socket = new globalThis.WebSocket(url);
        sockets.push(socket);
        return socket;
      },
    });
    const heard: Heard[] = [];
    let missed = 0;
    client.addMessageListener((message) => heard.push(message as unknown as Heard));
    client.addMissedMessageListener(() => missed++);
    client.initialize(address(), bot.token);
    await until("hello", () => heard.length > 0);
    sockets[0]?.close();
    await until("the second hello", () => heard.filter((m) => m.event === "hello").length === 2);
    expect(missed).toBe(1);
    client.close();
  });
});
