// @ts-nocheck
import { mkdirSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { contractServer, local } from "../../contract/support/server.ts";
import { Bench, declare, until } from "./support/agent.ts";

const server = await contractServer();
const L = async (m: string, p: string, b?: unknown) => {
  const a = await local(server.localSocket!, m, p, b);
  const v = JSON.parse(a.text);
  if (a.status >= 300) throw new Error(`${m} ${p} ${a.text}`);
  return v;
};
const call = async (token: string, m: string, p: string, b?: unknown) => {
  const r = await fetch(server.url + "/api/v4" + p, {
    method: m,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(b ? { body: JSON.stringify(b) } : {}),
  });
  const v: any = await r.json();
  if (!r.ok) throw new Error(JSON.stringify(v));
  return Object.assign(v, { $h: r.headers });
};
const team = await L("POST", "/teams", { name: "berth", display_name: "B", type: "O" });
const ch = await L("GET", `/teams/${team.id}/channels/name/town-square`);
const alice = await L("POST", "/users", {
  username: "alice",
  email: "alice@example.org",
  password: "Passw0rd!alice",
});
const bot = await L("POST", "/users", {
  username: "data",
  email: "data@example.org",
  password: "Passw0rd!data1",
});
await L("POST", `/users/${bot.id}/convert_to_bot`);
for (const u of [alice, bot]) {
  await L("POST", `/teams/${team.id}/members`, { team_id: team.id, user_id: u.id });
}
const tok = await L("POST", `/users/${bot.id}/tokens`, { description: "dev/data/1" });
const login = await fetch(server.url + "/api/v4/users/login", {
  method: "POST",
  body: JSON.stringify({ login_id: "alice", password: "Passw0rd!alice" }),
});
const at = login.headers.get("token")!;
const bench = new Bench(
  declare({
    network: "mattermost",
    chat: {
      channels: ["town-square"],
      trigger: "mention",
      access: { mode: "allowlist", users: ["alice"] },
    },
  }),
);
const self = http.createServer((q, r) => {
  r.setHeader("content-type", "application/json");
  r.end(
    JSON.stringify({
      declaration: bench.server.declaration,
      userId: bot.id,
      username: "data",
      team: "berth",
    }),
  );
});
await new Promise<void>((r) => self.listen(join(bench.directory, "gateway.sock"), r));
writeFileSync(join(bench.directory, "bot-token"), tok.token);
const posts = async (root?: string) =>
  Object.values((await call(at, "GET", `/channels/${ch.id}/posts?since=1`)).posts as any).filter(
    (p: any) => p.user_id === bot.id && (root === undefined || p.root_id === root),
  ) as any[];
const wait = async (label: string, f: () => Promise<boolean>) => {
  const t = Date.now();
  while (!(await f())) {
    if (Date.now() - t > 10000) throw new Error(label);
    await new Promise((r) => setTimeout(r, 20));
  }
};
try {
  const missed = await call(at, "POST", "/posts", { channel_id: ch.id, message: "@data missed" });
  await bench.start({
    env: { PATH: process.env.PATH, HOME: bench.workspace, MATTERMOST_URL: server.url },
    listen: false,
  });
  await wait("missed", async () => (await posts(missed.id)).length > 0);
  console.log("missed answered");
  await wait("greet", async () =>
    (await posts("")).some((p) => p.message.startsWith("Hello, I am data")),
  );
  console.log("greeted");
  const q = await call(at, "POST", "/posts", { channel_id: ch.id, message: "@data run id" });
  await wait("run", async () => (await posts(q.id)).some((p) => p.message.includes("Exit code 0")));
  console.log((await posts(q.id)).map((p) => p.message));
  const dm = await call(at, "POST", "/channels/direct", [alice.id, bot.id]);
  await call(at, "POST", "/posts", { channel_id: dm.id, message: "count" });
  await wait("dm", async () =>
    Object.values((await call(at, "GET", `/channels/${dm.id}/posts?since=1`)).posts as any).some(
      (p: any) => p.message.includes("number 1"),
    ),
  );
  console.log("dm ok");
  const s = await call(at, "POST", "/posts", { channel_id: ch.id, message: "@data sleep 2" });
  await wait("sleep", async () => (await posts(s.id)).some((p) => p.message.includes("Done.")));
  console.log((await posts(s.id)).length, "post");
  // revoke: deaf socket; mint a new one
  await L("POST", "/users/tokens/revoke", { token_id: tok.id });
  const tok2 = await L("POST", `/users/${bot.id}/tokens`, { description: "dev/data/2" });
  writeFileSync(join(bench.directory, "bot-token"), tok2.token);
  const d = await call(at, "POST", "/posts", { channel_id: ch.id, message: "@data after revoke" });
  console.log("waiting for deaf ping (30 s)");
  const t = Date.now();
  while (!(await posts(d.id)).length && Date.now() - t < 45000)
    await new Promise((r) => setTimeout(r, 200));
  console.log("after", Date.now() - t, (await posts(d.id)).length);
} catch (e) {
  console.log("FAIL", e);
}
await bench.stop();
console.log(bench.log);
self.close();
await server.stop();
process.exit(0);
