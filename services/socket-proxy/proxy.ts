import { randomBytes } from "node:crypto";
import type http from "node:http";
import type { Verb } from "../../spec/grants.ts";
import { reasonOf } from "../common/log.ts";
import { visible } from "./audit.ts";
import { Denial, forbidden } from "./denial.ts";
import { denialOf } from "./engine-error.ts";
import { type Client, grantOf } from "./grants.ts";
import { type Intent, mutations } from "./intent.ts";
import type { ClientLimits } from "./limits.ts";
import type { Parts, Permission, Subject } from "./parts.ts";
import { checkRepeat } from "./query.ts";
import { route } from "./route.ts";
import { serve } from "./serve.ts";
import { checkFraming, type Handlers, readBody, sendDenial } from "./transport.ts";

/**
 * The way of a request: suspension, table, grant, framing, rate, body, then its intent; each refusal is recorded, counted
 * and answered here.
 * @param limitsOf what a client has used of its quotas
 */
export function createHandlers(parts: Parts, limitsOf: (client: Client) => ClientLimits): Handlers {
  const { alerts, audit, grants, log, metrics } = parts;
  const nextId = requestIds();

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
    if (denial.rule === "verify") {
      audit.note({ phase: "alert", ...head, asked, ...fields });
      alerts.raise("mismatch", client, `${asked}: ${denial.message}`);
    }
  };
  /** What comes from elsewhere is not its client's doing. */
  const countDenial = (client: Client, id: string, denial: Denial): void => {
    if (denial.rule === "source" || !limitsOf(client).noteRefusal(denial)) return;
    const { denials, windowSeconds, seconds } = grants.suspension;
    const words = `${client} asked for what is forbidden ${denials} times within ${windowSeconds} seconds and is not answered for ${seconds} seconds`;
    audit.note({ phase: "alert", client, request: id, verb: "suspend", rule: "suspended" });
    log.error("client-suspended", { client, request: id });
    alerts.raise("suspended", client, words);
  };
  let auditAlertAt = Number.NEGATIVE_INFINITY;
  const alertAudit = (client: Client): void => {
    const now = performance.now();
    if (now - auditAlertAt < 60_000) return;
    auditAlertAt = now;
    alerts.raise(
      "audit",
      client,
      "audit records cannot be written; nothing is started or stopped until they can",
    );
  };

  return {
    async request(client, request, response) {
      const began = performance.now();
      const id = nextId();
      const method = request.method ?? "";
      const target = request.url ?? "";
      const routed = route(method, target);
      const { verb } = routed;
      const limit = limitsOf(client);
      const permission = new RequestPermission(parts, client, id, limit);
      let rule = "";
      try {
        limit.checkSuspension(verb);
        if ("denial" in routed) throw routed.denial;
        const grant = grantOf(grants, client);
        if (!grant.verbs.includes(routed.verb)) {
          throw forbidden("grant", `${client} is not granted this verb`);
        }
        const takesBody = "read" in routed;
        const length = checkFraming(request, takesBody);
        // Counted here: what is refused above costs neither the Engine nor the other clients anything.
        limit.request();
        response.on("close", limit.enter());
        // Up to here without a pause: what is refused is refused before the bytes behind it are looked at.
        const body = length > 0 ? await readBody(request) : undefined;
        if (body && !takesBody) checkRepeat(target, body);
        const intent = takesBody ? routed.read(body ?? new Uint8Array()) : routed.intent;
        permission.intent = intent;
        await serve(parts, intent, { id, client, grant, request, response, permission, limit });
        permission.result(response.statusCode);
      } catch (error) {
        const refusal = refusalOf(error, response);
        rule = refusal.rule;
        if (rule === "internal") {
          log.error("request-failed", { request: id, verb, reason: reasonOf(error) });
        }
        if (rule === "audit") alertAudit(client);
        // A request that was permitted has its decision on record already; what became of it is a result.
        if (permission.given) permission.failed(refusal, visible(method, target));
        else if (limit.isRecorded(refusal)) {
          recordDenial(client, id, verb, refusal, visible(method, target));
        }
        countDenial(client, id, refusal);
        sendDenial(request, response, { id, verb, denial: refusal });
      }
      metrics.request(client, verb, rule, (performance.now() - began) / 1000);
    },

    refused(client, method, target, transportDenial) {
      const id = nextId();
      const routed = target === "" ? undefined : route(method, target);
      const fromTable =
        routed && "denial" in routed && transportDenial.rule !== "source"
          ? routed.denial
          : undefined;
      const verb = routed?.verb ?? "request";
      const limit = limitsOf(client);
      const denial = suspensionOf(limit, transportDenial) ?? fromTable ?? transportDenial;
      if (limit.isRecorded(denial)) recordDenial(client, id, verb, denial, visible(method, target));
      countDenial(client, id, denial);
      metrics.request(client, verb, denial.rule, 0);
      return { id, verb, denial };
    },
  };
}

/** A suspended client hears of its suspension only, and its records are bounded, whatever form its requests have. */
function suspensionOf(limit: ClientLimits, { rule }: Denial): Denial | undefined {
  if (rule === "source") return undefined;
  try {
    limit.checkSuspension("");
    return undefined;
  } catch (error) {
    return denialOf(error);
  }
}

/** What is to be said of a request that failed. A call to the Engine that was given up with its client says nothing of the Engine. */
function refusalOf(error: unknown, response: http.ServerResponse): Denial {
  const refusal = denialOf(error);
  return response.destroyed && refusal.rule === "engine-down" ? gone : refusal;
}

/** The client left before its answer began. Sent to nobody, only recorded. */
const gone = new Denial(499, "client-gone", "the client went away");

/** Asked again and again by every client, and no secret from any: permitted, they are not worth a line. */
const unrecorded: ReadonlySet<Verb> = new Set(["ping", "list", "declarations", "metrics"]);

/** Answers that stay open; their number is bounded. */
const streaming: ReadonlySet<Verb> = new Set(["wait", "logs", "events", "alerts"]);

/** Writes the one decision record of a request, before anything is done for it. */
class RequestPermission implements Permission {
  given = false;
  /** Known once the request is read; nothing is permitted before. */
  intent: Intent | undefined;
  readonly #parts: Parts;
  readonly #client: Client;
  readonly #request: string;
  #about: Subject = {};

  readonly #limit: ClientLimits;

  constructor(parts: Parts, client: Client, request: string, limit: ClientLimits) {
    this.#limit = limit;
    this.#parts = parts;
    this.#client = client;
    this.#request = request;
  }

  give(about: Subject = {}): void {
    this.#about = about;
    const record = { ...this.#head, phase: "decision", decision: "allow", ...about } as const;
    if (this.#isMutation) this.#parts.audit.require(record);
    else if (this.#isRecorded) this.#parts.audit.note(record);
    this.given = true;
  }

  /** Records how a permitted mutation went. */
  result(status: number): void {
    if (this.#isMutation) this.#parts.audit.note({ ...this.#head, phase: "result", status });
  }

  /** Records what went wrong with a permitted request; a container that is not as declared is an alert, too. */
  failed({ status, rule, fields, message }: Denial, asked: string): void {
    const { audit, alerts } = this.#parts;
    const names = fields.length > 0 ? { fields } : {};
    const record = { ...this.#head, status, rule, ...names };
    audit.note({ ...record, phase: "result" });
    if (rule !== "verify") return;
    audit.note({ ...record, ...this.#about, phase: "alert", asked });
    alerts.raise("mismatch", this.#client, `${this.#about.object ?? asked}: ${message}`);
  }

  get #head() {
    return { client: this.#client, request: this.#request, verb: this.intent?.verb ?? "request" };
  }

  get #isMutation(): boolean {
    return this.intent !== undefined && mutations.has(this.intent.verb);
  }

  /** Of allowed reads, streams are each on record, and of the others one a minute. */
  get #isRecorded(): boolean {
    const verb = this.intent?.verb;
    if (verb === undefined || unrecorded.has(verb)) return false;
    return streaming.has(verb) || this.#limit.isReadRecorded(verb);
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
