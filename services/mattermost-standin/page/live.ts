/** The page's stream of events, in the browser: one WebSocket that comes back and goes on where it was. */
export const live = `
const stream = { socket: null, id: "", next: 0, wait: 1000, timer: 0, typing: new Map() };

function showLive(on, text) {
  $("live").className = on ? "on" : "";
  $("live").textContent = text;
}

function stopLive() {
  clearTimeout(stream.timer);
  if (stream.socket) stream.socket.onclose = null;
  if (stream.socket) stream.socket.close();
  Object.assign(stream, { socket: null, id: "", next: 0, wait: 1000 });
}

function startLive() {
  stopLive();
  connect();
}

function connect() {
  const query = stream.id ? "?connection_id=" + stream.id + "&sequence_number=" + stream.next : "";
  const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/api/v4/websocket" + query);
  stream.socket = socket;
  socket.onopen = () => {
    stream.wait = 1000;
    showLive(true, "● live");
  };
  socket.onmessage = (event) => onFrame(JSON.parse(event.data)).catch((error) => showLive(false, error.message));
  socket.onclose = async () => {
    showLive(false, "reconnecting…");
    stream.timer = setTimeout(connect, stream.wait);
    stream.wait = Math.min(stream.wait * 2, 15000);
    const config = await api("GET", "/config/client?format=old").catch(() => ({}));
    if (config.SiteURL && config.SiteURL !== location.origin) showLive(false, "live updates need " + config.SiteURL);
    // A session that ended shows as a refusal here, and as the log-in form.
    api("GET", "/users/me").catch(() => undefined);
  };
}

async function onFrame(frame) {
  if (frame.event === undefined) return;
  stream.next = frame.seq + 1;
  const data = frame.data;
  switch (frame.event) {
    case "hello": {
      const missed = stream.id !== "" && stream.id !== data.connection_id;
      stream.id = data.connection_id;
      if (missed) { await loadChannels(); await loadPosts(); }
      return;
    }
    case "posted": {
      const post = JSON.parse(data.post);
      endTyping(post.user_id);
      if (!state.channels.has(post.channel_id)) await loadChannels();
      if (post.channel_id !== state.current && post.user_id !== state.me.id) {
        state.unread.add(post.channel_id);
        drawChannels();
      }
      return hear(post);
    }
    case "post_edited":
    case "post_deleted":
      return hear(JSON.parse(data.post));
    case "reaction_added":
    case "reaction_removed":
      return frame.broadcast.channel_id === state.current ? loadPosts() : undefined;
    case "typing":
      return frame.broadcast.channel_id === state.current ? showTyping(data.user_id) : undefined;
    case "direct_added": case "group_added": case "user_added": case "user_removed": case "added_to_team":
    case "channel_created": case "channel_deleted": case "channel_updated": case "channel_restored":
      return loadChannels();
  }
}

async function showTyping(userId) {
  await learnUsers([userId]);
  clearTimeout(stream.typing.get(userId));
  stream.typing.set(userId, setTimeout(() => endTyping(userId), 5000));
  drawTyping();
}

function endTyping(userId) {
  clearTimeout(stream.typing.get(userId));
  stream.typing.delete(userId);
  drawTyping();
}

function drawTyping() {
  const names = [...stream.typing.keys()].map(nameOf);
  $("typing").textContent = names.length === 0 ? "" : names.join(", ") + (names.length === 1 ? " is typing…" : " are typing…");
}
`;
