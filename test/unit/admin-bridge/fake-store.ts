import http from "node:http";
import { listenUnix, sendJson } from "../../../services/common/http.ts";

/** The secret store's socket for the admin bridge, as far as that asks. */
export class FakeStore {
  status: unknown = { state: "ready", secrets: [] };
  /** Alerts that a new listener gets. */
  readonly alerts: object[] = [];
  readonly asked: string[] = [];
  readonly #listeners = new Set<http.ServerResponse>();
  readonly #server = http.createServer((request, response) => this.#answer(request, response));

  async open(path: string): Promise<this> {
    await listenUnix(this.#server, path, 0o600);
    return this;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  alert(alert: object): void {
    this.alerts.push(alert);
    for (const listener of this.#listeners) listener.write(`${JSON.stringify(alert)}\n`);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): unknown {
    this.asked.push(`${request.method} ${request.url}`);
    if (request.url === "/status") return sendJson(response, 200, this.status);
    if (request.url !== "/alerts") return sendJson(response, 404, { message: "not served" });
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.flushHeaders();
    for (const alert of this.alerts) response.write(`${JSON.stringify(alert)}\n`);
    this.#listeners.add(response);
    return response.on("close", () => this.#listeners.delete(response));
  }
}
