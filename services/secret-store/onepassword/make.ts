import type { Redacted } from "../../common/redacted.ts";
import type { Backend } from "./backend.ts";

/** Which way to 1Password, as the stack's config says. */
export interface BackendSettings {
  readonly via: "sdk" | "connect" | "op";
  /** `http(s)://host[:port]`, for `connect`. */
  readonly connectUrl?: string | undefined;
  /** PEM of the CA that signed Connect's certificate, where it is one's own. */
  readonly connectCa?: string | undefined;
  /** Absolute path of the `op` program, for `op`. */
  readonly opPath?: string | undefined;
}

/**
 * Makes a back end with a token. It loads only the code of its own way: the SDK is 14 MB. Nothing is asked of 1Password yet.
 * @throws Error for settings that lack what the way needs
 * @throws BackendError `refused` for a token that can be none
 */
export async function makeBackend(
  settings: BackendSettings,
  token: Redacted<string>,
): Promise<Backend> {
  const { via, connectUrl, connectCa, opPath } = settings;
  switch (via) {
    case "connect": {
      if (!connectUrl) throw new Error("via connect needs connectUrl: http(s)://host[:port]");
      const { connectBackend } = await import("./connect.ts");
      return connectBackend({ url: connectUrl, ca: connectCa, env: process.env }, token);
    }
    case "op": {
      if (!opPath) throw new Error("via op needs opPath: the absolute path of the op program");
      const { opBackend } = await import("./op.ts");
      return opBackend({ path: opPath, env: process.env }, token);
    }
    case "sdk": {
      const { sdkBackend } = await import("./sdk.ts");
      return sdkBackend(token);
    }
  }
}
