/** The page: a log-in form and, behind it, channels on the left and messages on the right. */
export const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>berth chat</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<main id="login" hidden>
  <form id="login-form">
    <h1>berth chat</h1>
    <p class="muted">Mattermost stand-in</p>
    <label for="login-name">User name or email</label>
    <input id="login-name" name="username" autocomplete="username" autocapitalize="none" required>
    <label for="login-password">Password</label>
    <input id="login-password" name="password" type="password" autocomplete="current-password" required>
    <button id="login-button" type="submit">Log in</button>
    <p id="login-error" class="error" role="alert"></p>
  </form>
</main>
<div id="chat" hidden>
  <nav aria-label="Channels">
    <header>
      <strong id="team-name">berth</strong>
      <button id="logout-button" class="quiet" type="button">Log out</button>
    </header>
    <div id="channels"></div>
    <form id="direct-form">
      <label for="direct-name">Message someone</label>
      <div class="row">
        <input id="direct-name" placeholder="user name" autocomplete="off" autocapitalize="none" required>
        <button id="direct-button" type="submit">Open</button>
      </div>
      <p id="direct-error" class="error" role="alert"></p>
    </form>
    <p id="me" class="muted"></p>
  </nav>
  <main>
    <header>
      <h1 id="channel-name"></h1>
      <span id="live" role="status"></span>
    </header>
    <div id="messages" role="log" aria-label="Messages" aria-live="polite" tabindex="0"></div>
    <p id="typing" class="muted" aria-live="polite"></p>
    <form id="message-form">
      <p id="reply" hidden><span id="reply-to"></span>
        <button id="reply-cancel" class="quiet" type="button">Cancel</button></p>
      <div class="row">
        <label for="message-input" class="hidden">Message</label>
        <textarea id="message-input" rows="2" placeholder="Write a message" required></textarea>
        <button id="send-button" type="submit">Send</button>
      </div>
      <p id="send-error" class="error" role="alert"></p>
    </form>
  </main>
</div>
</body>
</html>
`;
