import { Client4, ClientError } from "@mattermost/client";

/** Longest wait for an answer of Mattermost: `Client4` itself waits for ever. */
const timeoutMs = 15_000;

/** Mattermost's REST client for one account, with a time limit and without cookies. */
export class ChatClient extends Client4 {
  constructor(url: string, token: string) {
    super();
    this.setUrl(url);
    this.setToken(token);
    this.setIncludeCookies(false);
    this.setUserAgent("berth-admin-bridge");
  }

  override getOptions(options: Parameters<Client4["getOptions"]>[0]) {
    return { ...super.getOptions(options), signal: AbortSignal.timeout(timeoutMs) };
  }
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
