import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Caller, type Json, type Thing, World } from "./support/api.ts";
import { contractServer, type Server } from "./support/server.ts";
import { quiet, Stream } from "./support/stream.ts";

let server: Server;
let world: World;
let ann: Caller;
let channel: Thing;
beforeAll(async () => {
  server = await contractServer();
  world = await World.open(server);
  ann = await world.person("ann");
  channel = await world.channel("P", ann);
});
afterAll(() => server?.stop());

const say = (message: string, at: Thing = channel) =>
  ann.post<Json & { id: string }>("/posts", { channel_id: at.id, message });
const notAuthenticated = "api.web_socket_router.not_authenticated.app_error";

describe("authentication", () => {
  it("a bearer in the upgrade is greeted with hello, number 0", async () => {
    const stream = await Stream.open(server.url, ann.token);
    const [hello] = stream.frames;
    expect(hello).toMatchObject({ event: "hello", seq: 0 });
    expect(hello?.data?.connection_id).toMatch(/^[a-z0-9]{26}$/);
    expect(hello?.data?.server_version).toMatch(/^\d+\.\d+\.\d+\./);
    expect(hello?.broadcast).toMatchObject({ user_id: ann.id, channel_id: "", team_id: "" });
    stream.close();
  });

  it("a challenge is answered and greeted", async () => {
    const stream = new Stream(server.url);
    await stream.opened();
    const reply = await stream.ask("authentication_challenge", { token: ann.token });
    expect(reply).toMatchObject({ status: "OK", seq_reply: 1 });
    await stream.event("hello");
    stream.close();
  });

  it("a browser's cookie opens the stream", async () => {
    const stream = new Stream(server.url, { cookie: `MMAUTHTOKEN=${ann.token}` });
    await stream.event("hello");
    stream.close();
  });

  it("a wrong token in a challenge ends the connection without a word", async () => {
    const stream = new Stream(server.url);
    await stream.opened();
    stream.send("authentication_challenge", { token: "a".repeat(26) });
    expect(await stream.closed).toBeLessThan(4_000);
    expect(stream.frames).toEqual([]);
  });

  it("who says nothing for five seconds is cut off", async () => {
    const stream = new Stream(server.url);
    const after = await stream.closed;
    expect(after).toBeGreaterThan(4_000);
    expect(after).toBeLessThan(8_000);
    expect(stream.frames).toEqual([]);
  });

  it("before authentication nothing is answered", async () => {
    const stream = new Stream(server.url);
    await stream.opened();
    stream.send("ping");
    await quiet(600);
    expect(stream.frames).toEqual([]);
    await stream.ask("authentication_challenge", { token: ann.token });
    stream.close();
  });

  it("another origin's page gets no stream", async () => {
    const stream = new Stream(server.url, { token: ann.token, origin: "http://evil.example" });
    await expect(stream.opened()).rejects.toThrow("refused");
  });
});

describe("requests", () => {
  it("ping is answered with pong, the version and the time", async () => {
    const stream = await Stream.open(server.url, ann.token);
    const reply = await stream.ask("ping");
    expect(reply).toMatchObject({ status: "OK", data: { text: "pong" } });
    expect(reply.data?.version).toBeTypeOf("string");
    expect(reply.data?.server_time).toBeTypeOf("number");
    expect(reply).not.toHaveProperty("seq");
    stream.close();
  });

  it("an unknown action fails and says which request it was", async () => {
    const stream = await Stream.open(server.url, ann.token);
    const reply = await stream.ask("no_such_action");
    expect(reply.status).toBe("FAIL");
    expect(reply.error?.id).toBe("api.web_socket_router.bad_action.app_error");
    stream.close();
  });

  it("events are numbered for each connection, without a gap", async () => {
    const one = await Stream.open(server.url, ann.token);
    for (const n of [1, 2, 3]) await say(`count ${n}`);
    await one.post("posted", (post) => post.message === "count 3");
    const two = await Stream.open(server.url, ann.token);
    const last = await say("for both");
    await one.post("posted", (post) => post.id === last.id);
    await two.post("posted", (post) => post.id === last.id);
    for (const stream of [one, two]) {
      const numbers = stream.events.map((frame) => frame.seq);
      expect(numbers).toEqual(numbers.map((_, index) => index));
      stream.close();
    }
  });
});

describe("revocation", () => {
  /** After it the socket is open and deaf, and its ping fails with 401. */
  async function expectDeaf(stream: Stream, at: Thing): Promise<void> {
    const heard = stream.events.length;
    await say("can you hear me", at);
    await quiet();
    expect(stream.events).toHaveLength(heard);
    expect(stream.socket.readyState).toBe(stream.socket.OPEN);
    const reply = await stream.ask("ping");
    expect(reply.status).toBe("FAIL");
    expect(reply.error).toMatchObject({ id: notAuthenticated, status_code: 401 });
    stream.close();
  }

  it("a revoked token leaves the socket open and deaf", async () => {
    const bot = await world.bot();
    const place = await world.channel("P", ann, bot);
    const stream = await Stream.open(server.url, bot.token);
    await world.admin.post("/users/tokens/revoke", { token_id: bot.tokenId });
    await expectDeaf(stream, place);
  });

  it("so does a disabled bot, and being enabled does not cure it", async () => {
    const bot = await world.bot();
    const place = await world.channel("P", ann, bot);
    const stream = await Stream.open(server.url, bot.token);
    await world.admin.post(`/bots/${bot.id}/disable`);
    expect((await stream.ask("ping")).status).toBe("FAIL");
    await world.admin.post(`/bots/${bot.id}/enable`);
    await expectDeaf(stream, place);
  });

  it("another token of the same bot goes on hearing", async () => {
    const bot = await world.bot();
    const place = await world.channel("P", ann, bot);
    const body = { description: "second" };
    const second = await world.admin.post(`/users/${bot.id}/tokens`, body);
    const stream = await Stream.open(server.url, String(second.token));
    await world.admin.post("/users/tokens/revoke", { token_id: bot.tokenId });
    const sent = await say("still there", place);
    await stream.post("posted", (post) => post.id === sent.id);
    expect((await stream.ask("ping")).status).toBe("OK");
    stream.close();
  });
});

describe("resuming", () => {
  const idOf = (stream: Stream) => String(stream.frames[0]?.data?.connection_id);
  const back = (stream: Stream, sequence = stream.events.length) =>
    `?connection_id=${idOf(stream)}&sequence_number=${sequence}`;
  const cut = async (stream: Stream) => {
    stream.socket.terminate();
    await stream.closed;
    await quiet(200);
  };

  it("a connection that comes back hears what it missed, without a hello", async () => {
    const first = await Stream.open(server.url, ann.token);
    await cut(first);
    const missed = [await say("missed 1"), await say("missed 2")];
    const second = new Stream(server.url, { token: ann.token, query: back(first) });
    for (const sent of missed) await second.post("posted", (post) => post.id === sent.id);
    const live = await say("live again");
    await second.post("posted", (post) => post.id === live.id);
    expect(second.events.map((frame) => frame.seq)).toEqual([1, 2, 3]);
    expect(second.events.some((frame) => frame.event === "hello")).toBe(false);
    second.close();
  });

  it("what was sent but not received is sent again", async () => {
    const first = await Stream.open(server.url, ann.token);
    const sent = await say("maybe lost");
    await first.post("posted", (post) => post.id === sent.id);
    await cut(first);
    const second = new Stream(server.url, { token: ann.token, query: back(first, 1) });
    const { frame } = await second.post("posted", (post) => post.id === sent.id);
    expect(frame.seq).toBe(1);
    second.close();
  });

  it("a connection that is not known begins anew, with another id", async () => {
    const unknown = "y".repeat(26);
    const query = `?connection_id=${unknown}&sequence_number=7`;
    const stream = await Stream.open(server.url, ann.token, query);
    expect(stream.frames[0]?.seq).toBe(0);
    expect(idOf(stream)).not.toBe(unknown);
    stream.close();
  });

  it("nobody resumes another's connection", async () => {
    const bot = await world.bot();
    const first = await Stream.open(server.url, ann.token);
    await cut(first);
    const stolen = await Stream.open(server.url, bot.token, back(first));
    expect(idOf(stolen)).not.toBe(idOf(first));
    stolen.close();
  });

  it("after a challenge every reconnect is a new connection", async () => {
    const first = new Stream(server.url);
    await first.opened();
    await first.ask("authentication_challenge", { token: ann.token });
    const hello = await first.event("hello");
    const id = String(hello.data?.connection_id);
    await cut(first);
    const query = `?connection_id=${id}&sequence_number=${first.events.length}`;
    const second = new Stream(server.url, { query });
    await second.opened();
    await second.ask("authentication_challenge", { token: ann.token });
    const again = await second.event("hello");
    expect(again.data?.connection_id).not.toBe(id);
    second.close();
  });
});
