import type { RequestOptions } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

// A bundle hoists plain imports to its top, where they would be loaded at every start.
const { once } = process.getBuiltinModule("node:events");
const http = process.getBuiltinModule("node:http");
const tls = process.getBuiltinModule("node:tls");

const maxBytes = 64 * 1024;
const shownCharacters = 500;
const timeoutMs = 20_000;

/**
 * Fetches a page through the proxy that the environment names: CONNECT for https, the whole address for http.
 * @returns what came, or why nothing came, as a sentence for the chat
 */
export async function fetchThroughProxy(
  url: URL,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string> {
  const proxy = env.HTTPS_PROXY ?? env.https_proxy;
  if (!proxy) return "I have no proxy (HTTPS_PROXY), so nothing can be reached.";
  try {
    const through = new URL(proxy);
    return url.protocol === "https:"
      ? await overTunnel(url, through, signal)
      : await get({ ...at(through), path: url.href, headers: { host: url.host }, signal });
  } catch (error) {
    return `${url.host} did not answer: ${(error as Error).message}.`;
  }
}

async function overTunnel(url: URL, proxy: URL, signal: AbortSignal): Promise<string> {
  const target = `${url.hostname}:${url.port || 443}`;
  const tunnel = await new Promise<Socket | string>((resolve, reject) => {
    const sent = http.request({
      ...at(proxy),
      method: "CONNECT",
      path: target,
      headers: { host: target },
      timeout: timeoutMs,
      signal,
    });
    sent.on("timeout", () => sent.destroy(new Error("the proxy did not answer in time")));
    sent.on("error", reject);
    sent.on("connect", async (answer, socket, head) => {
      if (answer.statusCode === 200) return resolve(socket as Socket);
      const reason = await restOf(socket as Socket, head);
      resolve(
        `The proxy refused ${target}: ${answer.statusCode} ${reason || answer.statusMessage || ""}`,
      );
    });
    sent.end();
  });
  if (typeof tunnel === "string") return tunnel;
  const socket = tls.connect({ socket: tunnel, servername: url.hostname });
  try {
    return await get({
      createConnection: () => socket,
      path: url.pathname + url.search,
      headers: { host: url.host },
      signal,
    });
  } finally {
    socket.destroy();
  }
}

function get(options: RequestOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = http.get({ ...options, agent: false, timeout: timeoutMs }, (answer) => {
      const parts: Buffer[] = [];
      let size = 0;
      const end = () => {
        const text = Buffer.concat(parts).toString("utf8").trim().replaceAll("```", "'''");
        const shown = text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text;
        const head = `${answer.statusCode} ${answer.statusMessage}, ${size} bytes`;
        resolve(shown ? `${head}:\n\`\`\`\n${shown}\n\`\`\`` : `${head}.`);
      };
      answer.on("data", (part: Buffer) => {
        size += part.length;
        parts.push(part);
        if (size <= maxBytes) return;
        end();
        answer.destroy();
      });
      answer.on("end", end);
      answer.on("error", reject);
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer in time")));
    sent.on("error", reject);
  });
}

/** The text of a refusal, as far as it comes within a moment. */
async function restOf(socket: Socket, head: Buffer): Promise<string> {
  let text = head.toString("utf8");
  socket.on("error", () => {});
  socket.on("data", (part) => {
    text += part;
  });
  await Promise.race([once(socket, "close"), sleep(300)]).catch(() => {});
  socket.destroy();
  return text.trim().slice(0, shownCharacters);
}

function at(proxy: URL): { readonly host: string; readonly port: number } {
  return { host: proxy.hostname, port: Number(proxy.port || 80) };
}
