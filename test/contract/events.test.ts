import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Caller, type Json, type Thing, World } from "./support/api.ts";
import { contractServer, type Server } from "./support/server.ts";
import { type Frame, quiet, Stream } from "./support/stream.ts";

let server: Server;
let world: World;
let ann: Caller;
let bot: Caller;
let outsider: Caller;
let channel: Thing;
let annHears: Stream;
let botHears: Stream;
let outsiderHears: Stream;
beforeAll(async () => {
  server = await contractServer();
  world = await World.open(server);
  ann = await world.person("ann");
  bot = await world.bot("lal");
  outsider = await world.bot("outsider");
  channel = await world.channel("P", ann, bot);
  annHears = await Stream.open(server.url, ann.token);
  botHears = await Stream.open(server.url, bot.token);
  outsiderHears = await Stream.open(server.url, outsider.token);
});
afterAll(async () => {
  for (const stream of [annHears, botHears, outsiderHears]) stream?.close();
  await server?.stop();
});

const say = (who: Caller, message: string, more: Json = {}, at: Json | Thing = channel) =>
  who.post<Json & { id: string }>("/posts", { channel_id: at.id, message, ...more });

describe("posted", () => {
  it("goes to every member, the author too, and to nobody else", async () => {
    const sent = await say(ann, "for members");
    const { post, frame } = await botHears.post("posted", (p) => p.id === sent.id);
    expect(post).toMatchObject({ message: "for members", user_id: ann.id });
    expect(frame.data).toMatchObject({
      channel_type: "P",
      channel_name: channel.name,
      channel_display_name: channel.name,
      sender_name: `@${ann.username}`,
      team_id: world.team.id,
    });
    expect(frame.data?.set_online).toBeTypeOf("boolean");
    expect(frame.broadcast).toMatchObject({ channel_id: channel.id, user_id: "" });
    await annHears.post("posted", (p) => p.id === sent.id);
    await quiet();
    const heard = outsiderHears.events.filter((f) => f.broadcast?.channel_id === channel.id);
    expect(heard).toEqual([]);
  });

  it("tells each receiver of his own mention alone", async () => {
    const sent = await say(ann, `@${bot.username}, please look`);
    const mine = await botHears.post("posted", (p) => p.id === sent.id);
    expect(mine.frame.data?.mentions).toBe(JSON.stringify([bot.id]));
    const hers = await annHears.post("posted", (p) => p.id === sent.id);
    expect(hers.frame.data).not.toHaveProperty("mentions");
  });

  it("a name with punctuation behind is a mention; in code or as part of a word it is none", async () => {
    const yes = await say(ann, `thanks @${bot.username}.`);
    const code = await say(ann, `run \`@${bot.username}\` and\n\`\`\`\n@${bot.username}\n\`\`\``);
    const word = await say(ann, `mail me@${bot.username}`);
    const other = await say(ann, `@${bot.username}x`);
    const mentions = async (id: string) =>
      (await botHears.post("posted", (p) => p.id === id)).frame.data?.mentions;
    expect(await mentions(yes.id)).toBe(JSON.stringify([bot.id]));
    for (const post of [code, word, other]) expect(await mentions(post.id)).toBeUndefined();
  });

  it("@channel and @all mean everyone but the author", async () => {
    for (const word of ["@channel", "@all"]) {
      const sent = await say(ann, `${word} hello`);
      const heard = await botHears.post("posted", (p) => p.id === sent.id);
      expect(heard.frame.data?.mentions).toBe(JSON.stringify([bot.id]));
      const own = await annHears.post("posted", (p) => p.id === sent.id);
      expect(own.frame.data).not.toHaveProperty("mentions");
    }
  });

  it("a direct message is a mention of the other side", async () => {
    const direct = await ann.post("/channels/direct", [ann.id, bot.id]);
    const sent = await say(ann, "psst", {}, direct);
    const { frame } = await botHears.post("posted", (p) => p.id === sent.id);
    expect(frame.data).toMatchObject({
      channel_type: "D",
      team_id: "",
      mentions: JSON.stringify([bot.id]),
    });
  });

  it("a bot's post carries its mark", async () => {
    const sent = await say(bot, "beep");
    const { post } = await annHears.post("posted", (p) => p.id === sent.id);
    expect(post.props).toMatchObject({ from_bot: "true" });
  });
});

describe("changes of posts", () => {
  it("post_edited carries the new post", async () => {
    const sent = await say(bot, "thinking");
    await bot.put(`/posts/${sent.id}/patch`, { message: "done" });
    const { post } = await annHears.post("post_edited", (p) => p.id === sent.id);
    expect(post).toMatchObject({ message: "done", channel_id: channel.id });
  });

  it("edits arrive in their order", async () => {
    const sent = await say(bot, "0");
    for (let n = 1; n <= 5; n++) await bot.put(`/posts/${sent.id}/patch`, { message: `${n}` });
    await annHears.post("post_edited", (p) => p.id === sent.id && p.message === "5");
    const messages = annHears.events
      .filter((frame) => frame.event === "post_edited")
      .map((frame) => JSON.parse(String(frame.data?.post)) as Json)
      .filter((post) => post.id === sent.id);
    expect(messages.map((post) => post.message)).toEqual(["1", "2", "3", "4", "5"]);
  });

  it("post_deleted carries the post with its time of deletion", async () => {
    const sent = await say(ann, "oops");
    await ann.delete(`/posts/${sent.id}`);
    const { post } = await botHears.post("post_deleted", (p) => p.id === sent.id);
    expect(post).toMatchObject({ id: sent.id, channel_id: channel.id });
  });

  it("reaction_added carries the reaction", async () => {
    const sent = await say(ann, "nice");
    await bot.post("/reactions", { user_id: bot.id, post_id: sent.id, emoji_name: "eyes" });
    const frame = await annHears.event("reaction_added");
    expect(JSON.parse(String(frame.data?.reaction))).toMatchObject({
      user_id: bot.id,
      post_id: sent.id,
      emoji_name: "eyes",
    });
  });
});

describe("typing", () => {
  it("goes to the others, not to the one who types", async () => {
    const body = { channel_id: channel.id, parent_id: "" };
    expect((await bot.call("POST", "/users/me/typing", body)).status).toBe(200);
    const frame = await annHears.event("typing");
    expect(frame.data).toMatchObject({ user_id: bot.id, parent_id: "" });
    expect(frame.broadcast).toMatchObject({ channel_id: channel.id });
    await quiet();
    expect(botHears.events.some((f) => f.event === "typing")).toBe(false);
  });

  it("can be sent over the WebSocket", async () => {
    const reply = await annHears.ask("user_typing", { channel_id: channel.id, parent_id: "" });
    expect(reply.status).toBe("OK");
    await botHears.event("typing", (data) => data.user_id === ann.id);
  });
});

describe("memberships", () => {
  it("added_to_team goes to the new member", async () => {
    const fresh = await world.bot("fresh", true);
    const hears = await Stream.open(server.url, fresh.token);
    await world.join(fresh.id);
    const frame = await hears.event("added_to_team");
    expect(frame.data).toMatchObject({ team_id: world.team.id, user_id: fresh.id });
    hears.close();
  });

  it("user_added goes to the channel, the new member included", async () => {
    const fresh = await world.bot("fresh");
    const hears = await Stream.open(server.url, fresh.token);
    await world.admin.post(`/channels/${channel.id}/members`, { user_id: fresh.id });
    for (const stream of [hears, annHears]) {
      // Joining the team has told the same of its first channels.
      const here = (f: Frame) => f.event === "user_added" && f.broadcast?.channel_id === channel.id;
      const frame = await stream.wait("user_added", here);
      expect(frame.data).toMatchObject({ user_id: fresh.id, team_id: world.team.id });
    }
    const sent = await say(ann, "welcome");
    await hears.post("posted", (p) => p.id === sent.id);
    hears.close();
  });

  it("user_removed tells members who went and the removed one from where; he hears no more", async () => {
    const leaver = await world.bot("leaver");
    await world.admin.post(`/channels/${channel.id}/members`, { user_id: leaver.id });
    const hears = await Stream.open(server.url, leaver.token);
    await world.admin.delete(`/channels/${channel.id}/members/${leaver.id}`);
    const gone = await annHears.event("user_removed", (data) => data.user_id === leaver.id);
    expect(gone.broadcast).toMatchObject({ channel_id: channel.id });
    expect(gone.data?.remover_id).toBe(world.admin.id);
    const told = await hears.event("user_removed");
    expect(told.data).toMatchObject({ channel_id: channel.id, remover_id: world.admin.id });
    const sent = await say(ann, "without them");
    await annHears.post("posted", (p) => p.id === sent.id);
    await quiet();
    const posts = hears.events.filter((frame) => frame.event === "posted");
    expect(posts.some((frame) => String(frame.data?.post).includes(sent.id))).toBe(false);
    hears.close();
  });

  it("first contact: direct_added, then posted", async () => {
    const [carl, fresh] = [await world.person("carl"), await world.bot("fresh")];
    const hears = await Stream.open(server.url, fresh.token);
    const direct = await carl.post("/channels/direct", [carl.id, fresh.id]);
    const sent = await say(carl, "hello", {}, direct);
    const added = await hears.event("direct_added");
    expect(added.data).toMatchObject({ creator_id: carl.id, teammate_id: fresh.id });
    const { frame } = await hears.post("posted", (p) => p.id === sent.id);
    expect(Number(frame.seq)).toBeGreaterThan(Number(added.seq));
    hears.close();
  });
});
