import type { Reply } from "../routes/route.ts";
import { html } from "./html.ts";
import { script } from "./script.ts";
import { style } from "./style.ts";

/** Nothing but the page's own script and style, and calls to its own origin. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const file = (type: string, text: string): Reply => ({
  status: 200,
  bytes: Buffer.from(text),
  headers: {
    "Content-Type": `${type}; charset=utf-8`,
    "Content-Security-Policy": policy,
    "Cache-Control": "no-cache",
  },
});

const files: Readonly<Record<string, Reply>> = {
  "/": file("text/html", html),
  "/page.js": file("text/javascript", script),
  "/page.css": file("text/css", style),
};

/** A file of the web page, if there is one at the path. */
export function pageFile(path: string): Reply | undefined {
  return Object.hasOwn(files, path) ? files[path] : undefined;
}
