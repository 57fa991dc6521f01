import { Service } from "../../spec/names.ts";
import { sendJson } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Audit } from "./audit.ts";
import { Door } from "./door.ts";
import { type Cure, Egress, type EgressOptions } from "./egress/egress.ts";
import { Front } from "./front.ts";
import type { Limits } from "./limits.ts";

/** The list is the stack's own config. */
const stackConfig: Cure = (_, entry) =>
  `is not in the list of where the secret store may go. To open it add "${entry}" to hosts of berth:secrets and run pulumi up.`;

/**
 * The secret store's own way out: one socket, `CONNECT` and plain requests by one fixed list, under the same checks
 * as an agent's. Nothing else is served there: no Mattermost, no endpoints.
 */
export class StoreWay {
  readonly #egress: Egress;
  readonly #front: Front;
  readonly #door: Door;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  /** Why the socket is not in its place. */
  #broken: string | undefined = "not open yet";

  /** @param rules where the store may go, as in an agent's `egress` */
  constructor(
    path: string,
    rules: readonly string[],
    options: { readonly log: Log; readonly limits: Limits; readonly egress: EgressOptions },
  ) {
    const { log, limits } = options;
    const audit = new Audit(Service.secretStore, log, limits);
    this.#log = log;
    this.#egress = new Egress(Service.secretStore, audit, limits, options.egress, stackConfig);
    this.#egress.allow(rules);
    this.#front = new Front(limits, audit, {
      mayUpgrade: () => false,
      request: (request, response) => {
        if (!(request.url ?? "").startsWith("/")) return this.#egress.plain(request, response);
        audit.write("request", {
          decision: "deny",
          method: request.method,
          reason: "no-such-path",
        });
        const message = "Only proxy requests are served here.";
        sendJson(response, 404, { message, reason: "no-such-path" });
      },
      upgrade: (_request, near) => void near.destroy(),
      connect: (request, near, head) => this.#egress.connect(request, near, head),
    });
    // Both of us are root without capabilities: its owner is who may connect.
    this.#door = new Door(this.#front, path, 0o600);
    this.#timer = setInterval(() => this.#keep(), limits.sweepEveryMs).unref();
  }

  /** Begins to listen. Never rejects: what fails is tried again and reported by health. */
  async open(): Promise<void> {
    await this.#try(() => this.#door.open());
  }

  /** Resolves while the socket is there. @throws Error with the reason */
  async health(): Promise<void> {
    if (this.#broken !== undefined) throw new Error(`${Service.secretStore}: ${this.#broken}`);
  }

  /** Ends every connection; the socket file is gone when the promise resolves. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#try(() => this.#door.shut());
    this.#egress.close();
    this.#front.close();
  }

  #keep(): void {
    void this.#try(async () => {
      if (await this.#door.keep())
        this.#log.warn("socket-put-back", { agent: Service.secretStore });
    });
  }

  async #try(act: () => Promise<void>): Promise<void> {
    try {
      await act();
      this.#broken = undefined;
    } catch (error) {
      const reason = reasonOf(error);
      if (reason !== this.#broken) this.#log.error("store-way-broken", { reason });
      this.#broken = reason;
    }
  }
}
