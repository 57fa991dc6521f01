import http from "node:http";
import { listenUnix, parseEndpoint, request, sendJson } from "./http.ts";

/** Socket on which every service of ours answers its container's healthcheck; in its own `/tmp`. */
export const healthSocket = "/tmp/health.sock";

/** Serves `GET /healthz`: 200 while `check` resolves, 503 with its reason while it rejects. */
export async function serveHealth(check: () => Promise<void>, path = healthSocket): Promise<void> {
  const server = http.createServer((_request, response) => {
    check().then(
      () => sendJson(response, 200, { ok: true }),
      (error: unknown) => sendJson(response, 503, { ok: false, reason: String(error) }),
    );
  });
  await listenUnix(server, path, 0o600);
  server.unref();
}

/** The healthcheck's side: exit code 0 or 1. Arguments: endpoint and path, where they are not the default. */
export async function checkHealth(
  endpoint = `unix://${healthSocket}`,
  path = "/healthz",
): Promise<number> {
  try {
    const answer = await request(parseEndpoint(endpoint), { path, timeoutMs: 5_000 });
    if (answer.status !== 200) console.error(answer.text.slice(0, 500));
    return answer.status === 200 ? 0 : 1;
  } catch (error) {
    console.error(String(error));
    return 1;
  }
}
