import { randomBytes } from "node:crypto";
import { reasonOf } from "../common/log.ts";
import { visible } from "./audit.ts";
import { Denial, forbidden } from "./denial.ts";
import { denialOf } from "./engine.ts";
import { type Client, clients, isGranted } from "./grants.ts";
import { type Intent, mutations, type Verb } from "./intent.ts";
import { ClientLimits } from "./limits.ts";
import { route } from "./route.ts";
import { type Parts, type Permission, serve } from "./serve.ts";
import { checkFraming, type Handlers, sendDenial } from "./transport.ts";

/** The way of a request: table, grant, framing, then its intent; each refusal is recorded and answered here. */
export function createHandlers(parts: Parts): Handlers {
  const { audit, log } = parts;
  const nextId = requestIds();
  const limits = new Map(clients.map((client) => [client, new ClientLimits()]));
  const limitsOf = (client: Client) => {
    const found = limits.get(client);
    if (!found) throw new Error(`${client} is no client`);
    return found;
  };

  const recordDenial = (
    client: Client,
    id: string,
    verb: string,
    denial: Denial,
    asked: string,
  ): void => {
    const head = { client, request: id, verb, rule: denial.rule, status: denial.status };
    const fields = denial.fields.length > 0 ? { fields: denial.fields } : {};
    audit.note({ phase: "decision", decision: "deny", ...head, asked, ...fields });
    if (denial.rule === "verify") audit.note({ phase: "alert", ...head, asked, ...fields });
  };

  return {
    async request(client, request, response) {
      const id = nextId();
      const method = request.method ?? "";
      const target = request.url ?? "";
      const { intent, denial, verb } = route(method, target);
      const permission = new RequestPermission(parts, client, id, intent);
      const limit = limitsOf(client);
      try {
        if (denial) throw denial;
        if (!isGranted(client, intent.verb)) {
          throw forbidden("grant", `${client} is not granted this verb`);
        }
        checkFraming(request);
        // Counted here: what is refused above costs neither the Engine nor the other clients anything.
        limit.request();
        await serve(parts, intent, { id, request, response, permission, limit });
        permission.result(response.statusCode);
      } catch (error) {
        const refusal = response.destroyed ? gone : denialOf(error);
        if (refusal.rule === "internal") {
          log.error("request-failed", { request: id, verb, reason: reasonOf(error) });
        }
        // A request that was permitted has its decision on record already; what became of it is a result.
        if (permission.given) permission.result(refusal.status, refusal.rule);
        else if (limit.isRecorded(refusal)) {
          recordDenial(client, id, verb, refusal, visible(method, target));
        }
        sendDenial(request, response, { id, verb, denial: refusal });
      }
    },

    refused(client, method, target, transportDenial) {
      const id = nextId();
      const routed = target === "" ? undefined : route(method, target);
      const denial = routed?.denial ?? transportDenial;
      const verb = routed?.verb ?? "request";
      recordDenial(client, id, verb, denial, visible(method, target));
      return { id, verb, denial };
    },
  };
}

/** The client left before its answer began. Sent to nobody, only recorded. */
const gone = new Denial(499, "client-gone", "the client went away");

/** Asked again and again by every client, and no secret from any: permitted, they are not worth a line. */
const unrecorded: ReadonlySet<Verb> = new Set(["ping", "list", "declarations"]);

/** Writes the one decision record of a request, before anything is done for it. */
class RequestPermission implements Permission {
  given = false;
  readonly #parts: Parts;
  readonly #head: { readonly client: Client; readonly request: string; readonly verb: string };
  readonly #isMutation: boolean;
  readonly #isUnrecorded: boolean;

  constructor(parts: Parts, client: Client, request: string, intent: Intent | undefined) {
    this.#parts = parts;
    this.#head = { client, request, verb: intent?.verb ?? "" };
    this.#isUnrecorded = intent !== undefined && unrecorded.has(intent.verb);
    this.#isMutation = intent !== undefined && mutations.has(intent.verb);
  }

  give(
    about: { readonly object?: string; readonly id?: string; readonly agent?: string } = {},
  ): void {
    const record = { phase: "decision", decision: "allow", ...this.#head, ...about } as const;
    if (this.#isMutation) this.#parts.audit.require(record);
    else if (!this.#isUnrecorded) this.#parts.audit.note(record);
    this.given = true;
  }

  result(status: number, rule?: string): void {
    if (!this.#isMutation && rule === undefined) return;
    const failed = rule === undefined ? {} : { rule };
    this.#parts.audit.note({ phase: "result", ...this.#head, status, ...failed });
  }
}

/** Ids that tell apart requests of different runs, too. */
function requestIds(): () => string {
  const run = randomBytes(4).toString("hex");
  let count = 0;
  return () => {
    count += 1;
    return `${run}-${count}`;
  };
}
