import http from "node:http";
import { Client4, ClientError } from "@mattermost/client";

/** Longest wait for an answer of Mattermost: `Client4` itself waits for ever. */
const timeoutMs = 15_000;
/** Largest answer that is read; a page of 200 posts of the greatest length is smaller. */
const maxAnswerBytes = 32 * 1024 * 1024;

/** Connections to Mattermost that are kept between questions, by all clients together. */
const connections = new http.Agent({ keepAlive: true, maxSockets: 8, timeout: 30_000 });

/**
 * Mattermost's REST client for one account: `Client4` on Node's own HTTP. Its calls and types are the library's; the way
 * is ours, since `fetch` has no time limit and costs this process a fifth of its memory.
 */
export class ChatClient extends Client4 {
  constructor(url: string, token: string) {
    super();
    this.setUrl(url);
    this.setToken(token);
    this.setUserAgent("berth-admin-bridge");
    this.doFetch = async <T>(address: string, options: Parameters<Client4["getOptions"]>[0]) =>
      (await this.#ask(address, options)) as T;
  }

  async #ask(address: string, options: Parameters<Client4["getOptions"]>[0]): Promise<unknown> {
    const { headers } = this.getOptions(options) as { headers: http.OutgoingHttpHeaders };
    const { status, type, text } = await send(address, {
      method: (options.method ?? "get").toUpperCase(),
      headers,
      body: options.body as string | undefined,
    });
    let data: unknown = text;
    if (type.startsWith("application/json")) {
      try {
        data = JSON.parse(text);
      } catch {
        throw new ClientError(this.getUrl(), {
          message: "Mattermost answered with broken JSON",
          url: address,
          status_code: status,
        });
      }
    }
    if (status < 400) return data;
    const { id, message } = (typeof data === "object" && data !== null ? data : {}) as {
      id?: string;
      message?: string;
    };
    throw new ClientError(this.getUrl(), {
      message: message ?? `status ${status}`,
      status_code: status,
      url: address,
      ...(id === undefined ? {} : { server_error_id: id }),
    });
  }
}

function send(
  address: string,
  call: {
    readonly method: string;
    readonly headers: http.OutgoingHttpHeaders;
    readonly body: string | undefined;
  },
): Promise<{ status: number; type: string; text: string }> {
  return new Promise((resolve, reject) => {
    const body = call.body === undefined ? undefined : Buffer.from(call.body);
    const request = http.request(
      address,
      {
        method: call.method,
        agent: connections,
        signal: AbortSignal.timeout(timeoutMs),
        headers: { ...call.headers, ...(body ? { "content-length": body.length } : {}) },
      },
      (answer) => {
        const parts: Buffer[] = [];
        let size = 0;
        answer.on("data", (part: Buffer) => {
          size += part.length;
          if (size > maxAnswerBytes) answer.destroy(new Error("an answer is too large"));
          parts.push(part);
        });
        answer.on("error", reject);
        answer.on("end", () =>
          resolve({
            status: answer.statusCode ?? 0,
            type: answer.headers["content-type"] ?? "",
            text: Buffer.concat(parts).toString("utf8"),
          }),
        );
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

/** True for Mattermost's answer of that status. */
export function isStatus(error: unknown, status: number): boolean {
  return error instanceof ClientError && error.status_code === status;
}

/** The value, or undefined where Mattermost answers 404. */
export async function orMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw error;
  }
}
