/** The page's look: light or dark, as the system says. */
export const style = `
:root {
  --ground: #f4f6fa; --panel: #ffffff; --line: #dfe4ee; --text: #1d2433; --muted: #6a7489;
  --accent: #2457d6; --on-accent: #ffffff; --soft: #e8eefc; --code: #f0f2f7; --error: #b3261e; --good: #1c7d45;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161f; --panel: #1a2030; --line: #2c3549; --text: #e4e9f4; --muted: #8f9ab2;
    --accent: #6d95ff; --on-accent: #0d1220; --soft: #243050; --code: #111724; --error: #ff8a80; --good: #5fd08d;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html, body { height: 100%; margin: 0; }
body { background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.15rem; margin: 0; }
p { margin: 0; }
.muted { color: var(--muted); font-size: .85rem; }
.error { color: var(--error); font-size: .85rem; min-height: 0; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.row { display: flex; gap: .5rem; align-items: flex-end; }
button, input, textarea { font: inherit; color: inherit; border: 1px solid var(--line); border-radius: 8px; padding: .5rem .7rem; background: var(--panel); }
input, textarea { width: 100%; min-width: 0; }
button { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; cursor: pointer; white-space: nowrap; }
button.quiet { background: none; border-color: transparent; color: var(--muted); font-weight: 500; padding: .2rem .4rem; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }

#login { min-height: 100%; display: grid; place-items: center; padding: 1rem; }
#login form { width: min(22rem, 100%); display: grid; gap: .5rem; background: var(--panel); border: 1px solid var(--line); border-radius: 14px; padding: 2rem; }
#login label { font-weight: 600; font-size: .85rem; margin-top: .4rem; }
#login button { margin-top: .8rem; }

#chat { height: 100%; display: grid; grid-template-columns: 16rem 1fr; }
#chat nav { display: flex; flex-direction: column; gap: .8rem; padding: 1rem; background: var(--panel); border-right: 1px solid var(--line); min-height: 0; }
#chat nav header, #chat main header { display: flex; justify-content: space-between; align-items: center; gap: .5rem; }
#channels { flex: 1; overflow-y: auto; min-height: 0; }
#channels h2 { font-size: .75rem; text-transform: uppercase; letter-spacing: .06em; color: var(--muted); margin: .8rem 0 .3rem; }
#channels button { display: flex; justify-content: space-between; width: 100%; text-align: left; background: none; border: 0; color: var(--text); font-weight: 500; padding: .35rem .6rem; }
#channels button:hover { background: var(--soft); }
#channels button[aria-current=true] { background: var(--accent); color: var(--on-accent); }
#channels button.unread { font-weight: 700; }
#channels button.unread::after { content: "•"; color: var(--accent); }
#direct-form label { font-size: .8rem; font-weight: 600; }

#chat main { display: flex; flex-direction: column; min-width: 0; min-height: 0; }
#chat main header { padding: 1rem 1.5rem; border-bottom: 1px solid var(--line); background: var(--panel); }
#live { font-size: .8rem; color: var(--muted); }
#live.on { color: var(--good); }
#messages { flex: 1; overflow-y: auto; padding: 1rem 1.5rem; min-height: 0; }
.message { display: grid; grid-template-columns: 2.2rem 1fr; gap: 0 .7rem; padding: .4rem .5rem; border-radius: 10px; }
.message:hover { background: var(--soft); }
.message.reply { margin-left: 2.9rem; border-left: 2px solid var(--line); border-radius: 0 10px 10px 0; }
.avatar { width: 2.2rem; height: 2.2rem; border-radius: 50%; display: grid; place-items: center; font-weight: 700; color: #ffffff; background: hsl(var(--hue, 220) 45% 45%); }
.meta { display: flex; gap: .5rem; align-items: baseline; flex-wrap: wrap; }
.author { font-weight: 700; }
.tag { font-size: .65rem; font-weight: 700; letter-spacing: .04em; border-radius: 4px; padding: 0 .3rem; background: var(--soft); color: var(--muted); }
.meta time, .edited { color: var(--muted); font-size: .75rem; }
.answer { visibility: hidden; font-size: .75rem; }
.message:hover .answer, .answer:focus-visible { visibility: visible; }
.text { overflow-wrap: anywhere; white-space: pre-wrap; }
.message.system .text { color: var(--muted); font-style: italic; }
.text pre { margin: .4rem 0; padding: .7rem .9rem; overflow-x: auto; white-space: pre; background: var(--code); border: 1px solid var(--line); border-radius: 8px; }
.text code { font: .88em/1.5 ui-monospace, "DejaVu Sans Mono", monospace; background: var(--code); border-radius: 4px; padding: 0 .25em; }
.text pre code { padding: 0; background: none; }
.text a { color: var(--accent); }
.mention { color: var(--accent); background: var(--soft); border-radius: 4px; padding: 0 .2em; font-weight: 600; }
.reactions { display: flex; gap: .3rem; flex-wrap: wrap; font-size: .75rem; color: var(--muted); }
#typing { min-height: 1.4rem; padding: 0 1.5rem; }
#message-form { padding: 0 1.5rem 1.2rem; display: grid; gap: .3rem; }
#message-form textarea { resize: vertical; max-height: 40vh; }
#reply { font-size: .85rem; color: var(--muted); }
@media (max-width: 44rem) { #chat { grid-template-columns: 9.5rem 1fr; } #messages { padding: .6rem; } .message.reply { margin-left: 1rem; } }
`;
