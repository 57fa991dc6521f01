import { live } from "./live.ts";
import { markup } from "./markup.ts";

/** The page's script: state and views. Plain browser JavaScript, so it is served as it stands here. */
const view = String.raw`
const $ = (id) => document.getElementById(id);
const state = { me: null, team: null, channels: new Map(), current: "", posts: new Map(), users: new Map(), unread: new Set(), replyTo: "" };

async function api(method, path, body) {
  const answer = await fetch("/api/v4" + path, {
    method,
    credentials: "same-origin",
    headers: { "X-Requested-With": "XMLHttpRequest", ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const value = await answer.json().catch(() => ({}));
  if (answer.ok) return value;
  if (answer.status === 401 && state.me) showLogin();
  throw new Error(value.message || "The server answered " + answer.status + ".");
}

async function learnUsers(ids) {
  const unknown = [...new Set(ids)].filter((id) => id && !state.users.has(id));
  if (unknown.length === 0) return;
  for (const user of await api("POST", "/users/ids", unknown)) state.users.set(user.id, user);
}

const nameOf = (id) => (state.users.get(id) || { username: "someone" }).username;
const otherOf = (channel) => channel.name.split("__").find((id) => id !== state.me.id) || state.me.id;
const titleOf = (channel) => channel.type === "D" ? nameOf(otherOf(channel)) : channel.display_name || channel.name;

function showLogin() {
  localStorage.removeItem("session");
  state.me = null;
  stopLive();
  $("chat").hidden = true;
  $("login").hidden = false;
  $("login-name").focus();
}

async function start() {
  state.me = await api("GET", "/users/me");
  localStorage.setItem("session", "1");
  state.users.set(state.me.id, state.me);
  state.team = (await api("GET", "/users/me/teams"))[0] || null;
  $("login").hidden = true;
  $("chat").hidden = false;
  $("me").textContent = "Logged in as @" + state.me.username;
  $("team-name").textContent = state.team ? state.team.display_name : "No team yet";
  await loadChannels();
  startLive();
  const first = [...state.channels.values()].find((c) => c.name === "town-square") || [...state.channels.values()][0];
  if (first) await openChannel(first.id);
}

async function loadChannels() {
  const list = await api("GET", "/users/me/channels");
  state.channels = new Map(list.filter((c) => !c.team_id || !state.team || c.team_id === state.team.id).map((c) => [c.id, c]));
  await learnUsers(list.filter((c) => c.type === "D").map(otherOf));
  drawChannels();
}

function drawChannels() {
  const groups = [["Channels", ["O", "P"]], ["Direct messages", ["D", "G"]]];
  $("channels").replaceChildren(...groups.flatMap(([title, types]) => {
    const own = [...state.channels.values()].filter((c) => types.includes(c.type));
    own.sort((a, b) => titleOf(a).localeCompare(titleOf(b)));
    return [node("h2", "", title), ...own.map(channelButton)];
  }));
}

function channelButton(channel) {
  const sign = { O: "# ", P: "\u{1F512} ", D: "@", G: "" }[channel.type] || "";
  const button = node("button", state.unread.has(channel.id) ? "unread" : "", sign + titleOf(channel));
  button.type = "button";
  button.dataset.channel = channel.name;
  button.dataset.title = titleOf(channel);
  button.setAttribute("aria-current", String(channel.id === state.current));
  button.addEventListener("click", () => openChannel(channel.id).catch(showSendError));
  return button;
}

async function openChannel(id) {
  state.current = id;
  state.unread.delete(id);
  setReply("");
  const channel = state.channels.get(id);
  $("channel-name").textContent = (channel.type === "D" ? "@" : "") + titleOf(channel);
  drawChannels();
  await loadPosts();
  $("message-input").focus();
}

async function loadPosts() {
  const id = state.current;
  if (!id) return;
  const page = await api("GET", "/channels/" + id + "/posts?per_page=100");
  await learnUsers(Object.values(page.posts).map((post) => post.user_id));
  if (id !== state.current) return;
  state.posts = new Map(Object.values(page.posts).map((post) => [post.id, post]));
  drawPosts(true);
}

/** Roots by time, each with its answers under it. */
function inOrder() {
  const all = [...state.posts.values()].sort((a, b) => a.create_at - b.create_at);
  const answers = Map.groupBy(all.filter((p) => p.root_id && state.posts.has(p.root_id)), (p) => p.root_id);
  const roots = all.filter((p) => !p.root_id || !state.posts.has(p.root_id));
  return roots.flatMap((root) => [root, ...(answers.get(root.id) || [])]);
}

function drawPosts(toEnd) {
  const box = $("messages");
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
  const drawn = new Map([...box.children].map((element) => [element.dataset.postId, element]));
  box.replaceChildren(...inOrder().map((post) => {
    const old = drawn.get(post.id);
    return old && old.dataset.version === String(post.update_at) ? old : message(post);
  }));
  if (toEnd || atEnd) box.scrollTop = box.scrollHeight;
}

function message(post) {
  const user = state.users.get(post.user_id) || { username: "someone" };
  const element = node("article", "message" + (post.root_id ? " reply" : "") + (post.type ? " system" : ""));
  Object.assign(element.dataset, { postId: post.id, user: user.username, version: String(post.update_at) });
  const avatar = node("div", "avatar", user.username.slice(0, 1).toUpperCase());
  avatar.setAttribute("aria-hidden", "true");
  avatar.style.setProperty("--hue", String([...user.username].reduce((sum, c) => sum * 31 + c.charCodeAt(0), 7) % 360));
  const meta = node("div", "meta");
  meta.append(node("span", "author", user.username));
  if (user.is_bot) meta.append(node("span", "tag", "BOT"));
  const time = node("time", "", new Date(post.create_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = new Date(post.create_at).toISOString();
  meta.append(time);
  if (post.edit_at) meta.append(node("span", "edited", "(edited)"));
  const answer = node("button", "quiet answer", "Reply");
  answer.type = "button";
  answer.addEventListener("click", () => setReply(post.root_id || post.id));
  meta.append(answer);
  const body = node("div");
  const text = node("div", "text");
  appendText(text, post.message);
  body.append(meta, text, reactions(post));
  element.append(avatar, body);
  return element;
}

function reactions(post) {
  const counts = Map.groupBy(post.metadata.reactions || [], (r) => r.emoji_name);
  const line = node("div", "reactions");
  for (const [name, given] of counts) line.append(node("span", "tag", ":" + name + ": " + given.length));
  return line;
}

function setReply(rootId) {
  state.replyTo = rootId;
  $("reply").hidden = !rootId;
  const root = state.posts.get(rootId);
  $("reply-to").textContent = root ? "In answer to " + nameOf(root.user_id) + ": " + root.message.slice(0, 80) : "";
  if (rootId) $("message-input").focus();
}

const showSendError = (error) => { $("send-error").textContent = error.message; };

async function sendMessage() {
  const input = $("message-input");
  const message = input.value.trim();
  if (!message || !state.current) return;
  $("send-button").disabled = true;
  try {
    const post = await api("POST", "/posts", { channel_id: state.current, message, root_id: state.replyTo });
    input.value = "";
    $("send-error").textContent = "";
    setReply("");
    await hear(post);
  } catch (error) {
    showSendError(error);
  } finally {
    $("send-button").disabled = false;
    input.focus();
  }
}

/** Takes a new or changed post into the view. */
async function hear(post) {
  if (post.channel_id !== state.current) return;
  await learnUsers([post.user_id]);
  const known = state.posts.get(post.id);
  if (known && known.update_at > post.update_at) return;
  if (post.delete_at) {
    state.posts.delete(post.id);
    for (const [id, other] of state.posts) if (other.root_id === post.id) state.posts.delete(id);
  } else state.posts.set(post.id, post);
  drawPosts(post.user_id === state.me.id && !known);
}

function onSubmit(form, work, errorId) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    $(errorId).textContent = "";
    work().catch((error) => { $(errorId).textContent = error.message; });
  });
}

addEventListener("DOMContentLoaded", () => {
  onSubmit("login-form", async () => {
    await api("POST", "/users/login", { login_id: $("login-name").value.trim(), password: $("login-password").value });
    $("login-password").value = "";
    await start();
  }, "login-error");
  onSubmit("direct-form", async () => {
    const user = await api("GET", "/users/username/" + encodeURIComponent($("direct-name").value.trim().replace(/^@/, "")));
    state.users.set(user.id, user);
    const channel = await api("POST", "/channels/direct", [state.me.id, user.id]);
    state.channels.set(channel.id, channel);
    $("direct-name").value = "";
    await openChannel(channel.id);
  }, "direct-error");
  onSubmit("message-form", sendMessage, "send-error");
  $("message-input").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("message-form").requestSubmit();
  });
  $("reply-cancel").addEventListener("click", () => setReply(""));
  $("logout-button").addEventListener("click", () => api("POST", "/users/logout").finally(showLogin));
  // Whether there may be a session is remembered, since scripts cannot see the cookie.
  if (localStorage.getItem("session")) start().catch(showLogin);
  else showLogin();
});
`;

export const script = `"use strict";\n${markup}${live}${view}`;
