import { Denial } from "../../../services/socket-proxy/denial.ts";
import { differencesOfBody } from "../../../services/socket-proxy/instances/match.ts";
import type { StrictObject } from "../../../services/socket-proxy/instances/read.ts";
import { settle } from "../../../services/socket-proxy/instances/settle.ts";
import { route } from "../../../services/socket-proxy/route.ts";
import type { Json } from "../../../spec/canonical.ts";
import { createBody } from "../../../spec/create-body.ts";
import { type InstanceTemplate, instanceContainer } from "../../../spec/instance.ts";
import { dockerBody } from "../bodies.ts";
import { mutate } from "../mutate.ts";
import { declarations, grantsOf, templates } from "../stack.ts";
import type { Target } from "../target.ts";
import {
  type Change,
  change,
  isNothing,
  type Loose,
  parsed,
  placeIn,
  utf8,
  values,
} from "./change.ts";

const grant = grantsOf(false).clients.worker;
const now = 1_800_000_000;

const structures =
  /^(|\/Healthcheck|\/HostConfig|\/HostConfig\/(LogConfig|RestartPolicy)|\/NetworkingConfig(\/EndpointsConfig(\/default)?)?)$/;
const unordered = /^\/HostConfig\/(Binds|CapDrop|SecurityOpt)$/;

/** Whether a client's body claims nothing that the rendering is not, said a second time. */
function agrees(asked: Loose, rendered: Loose, at: string): boolean {
  if (isNothing(asked))
    return !(Array.isArray(asked) && /^(\/HostConfig)?\/(Masked|Readonly)Paths$/.test(at));
  if (at === "/HostConfig/NetworkMode" && asked === "default") return true;
  if (at === "/HostConfig/RestartPolicy/Name" && asked === "no") return true;
  if (at === "/HostConfig/MemorySwappiness" && asked === -1) return true;
  if (at === "/HostConfig/ConsoleSize" && Array.isArray(asked)) {
    if (asked.length === 2 && asked.every((item) => typeof item === "number")) return true;
  }
  const isPlain = typeof asked === "object" && !Array.isArray(asked);
  const isThere = typeof rendered === "object" && rendered !== null && !Array.isArray(rendered);
  if (isPlain && (isThere || structures.test(at))) {
    return Object.entries(asked).every(([key, value]) => {
      const below = `${at}/${key}`;
      if (isThere && Object.hasOwn(rendered, key)) return agrees(value, rendered[key], below);
      return (structures.test(at) && at !== "/NetworkingConfig/EndpointsConfig") ||
        structures.test(below)
        ? agrees(value, undefined, below)
        : false;
    });
  }
  const text = (value: Loose) =>
    sorted(
      unordered.test(at) && Array.isArray(value)
        ? value.map((item) => JSON.stringify(item)).sort()
        : value,
    );
  return rendered !== undefined && text(asked) === text(rendered);
}

/** JSON with its keys in order. */
function sorted(value: Loose): string {
  return JSON.stringify(value, (_key, item: Loose) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

function agreesWhole(body: Loose, template: InstanceTemplate, rendered: Loose): boolean {
  // A name that the body repeats was compared with the query's.
  const { Env, Labels, Image, name: _name, ...rest } = body;
  const keys = new Set<string>();
  const isEnv =
    Env === undefined ||
    Env === null ||
    (Array.isArray(Env) &&
      Env.every((entry: unknown) => {
        const [key = ""] = String(entry).split("=", 1);
        const isParameter =
          typeof entry === "string" &&
          entry.includes("=") &&
          Object.hasOwn(template.parameters, key);
        if (!isParameter) return template.container.Env.some((own) => own === entry);
        const isNew = !keys.has(key);
        keys.add(key);
        return isNew;
      }));
  const isLabelled =
    Labels === undefined ||
    Labels === null ||
    (typeof Labels === "object" &&
      !Array.isArray(Labels) &&
      Object.entries(Labels).every(
        ([key, value]) => Object.hasOwn(rendered.Labels, key) && rendered.Labels[key] === value,
      ));
  return isEnv && isLabelled && Image === rendered.Image && agrees(rest, rendered, "");
}

/** Matching: what is settled is what the body says, and a body that says what is rendered is settled. */
export const settleTarget: Target = {
  name: "settle",
  generate(random) {
    const name = random.pick([
      "",
      "x1",
      "lal.review.x1",
      "berth-dev-lal.shell.x1",
      "lal.none.x",
      "a.b",
    ]);
    const bytes = Buffer.from(`${name}\n${dockerBody(random)}`);
    return random.percent(15) ? mutate(random, bytes) : bytes;
  },
  check(input) {
    const text = Buffer.from(input);
    const at = text.indexOf(10);
    if (at < 0 || grant === undefined) return undefined;
    const name = text.subarray(0, at).toString("utf8");
    const body = parsed(text.subarray(at + 1));
    let settled: ReturnType<typeof settle> | undefined;
    let refusal: Denial | undefined;
    try {
      const routed = route("POST", `/containers/create${name === "" ? "" : `?name=${name}`}`);
      if (!("read" in routed)) return undefined;
      const intent = routed.read(text.subarray(at + 1));
      if (intent.verb !== "create") return `is understood as ${intent.verb}`;
      settled = settle(intent.wanted, declarations, { stack: "dev", client: "worker", grant, now });
    } catch (error) {
      if (!(error instanceof Denial)) throw error;
      refusal = error;
    }
    if (settled) {
      const { template, instance } = settled;
      if (!/^lal\.(review|shell)$/.test(template.id)) return `takes ${template.id}`;
      const rendered = createBody(instanceContainer(template, instance));
      if (!agreesWhole(body, template, rendered)) return `settles what differs from ${template.id}`;
      const said = new Map((body.Env ?? []).map((entry: string) => entry.split(/=(.*)/s, 2)));
      const isSaid = Object.entries(instance.parameters).every(
        ([key, value]) => said.get(key) === value,
      );
      return isSaid && instance.leaseEnds === now + template.instances.timeoutSeconds
        ? undefined
        : "settles other values";
    }
    // What fits must not be refused for its members.
    if (refusal?.rule !== "template-body" || refusal.fields.includes("?name")) return undefined;
    const id =
      typeof body.Labels?.["berth.template"] === "string"
        ? body.Labels["berth.template"]
        : name
            .replace(/^berth-dev-/, "")
            .split(".")
            .slice(0, 2)
            .join(".");
    const template = templates.get(id);
    if (!template) return `has no template ${id}`;
    const parameters = Object.fromEntries(
      (Array.isArray(body.Env) ? body.Env : [])
        .map((entry: unknown) => String(entry).split(/=(.*)/s, 2))
        .filter(([key]: string[]) => Object.hasOwn(template.parameters, key ?? "")),
    );
    const instance = {
      name: "x1",
      client: "worker",
      parameters,
      leaseEnds: now + template.instances.timeoutSeconds,
    };
    const rendered = createBody(instanceContainer(template, instance));
    return agreesWhole(body, template, rendered)
      ? `refuses what fits: ${refusal.message}`
      : undefined;
  },
};

/** Matching of bodies: any single change of a fitting body to something else is found, by its own pointer. */
export const matchTarget: Target = {
  name: "match",
  generate(random) {
    const template = random.pick([...templates.keys()]);
    return utf8({ template, path: placeIn(random, bodyOf(template)), value: random.pick(values) });
  },
  check(input) {
    const given = parsed(input) as (Change & { readonly template: string }) | undefined;
    if (!given || !templates.has(given.template) || !Array.isArray(given.path)) return undefined;
    const rendered = bodyOf(given.template);
    const body = structuredClone(rendered) as Loose;
    const isChange = change(body, given);
    const [first] = given.path;
    if (first === "Env" || !isChange) return undefined;
    const found = differencesOfBody(body as StrictObject, rendered as Json);
    const place = `/${given.path.join("/")}`;
    const { Labels, Image, Env: _, ...rest } = body;
    const isSame = first === "Labels" || first === "Image" ? false : agrees(rest, rendered, "");
    if (isSame)
      return found.length === 0 ? undefined : `refuses ${place} = ${JSON.stringify(given.value)}`;
    if (first === "Labels" && (Labels === null || isNothing(Labels))) return undefined;
    void Image;
    const plain = (pointer: string) => pointer.replace(/[^A-Za-z0-9_.~:@/-]/g, "?");
    const isNamed = found.some(
      (pointer) =>
        plain(place).startsWith(pointer) ||
        pointer.startsWith(plain(place.replace(/\/(tmp|workspace)$/, ""))),
    );
    return isNamed
      ? undefined
      : `does not name ${place} = ${JSON.stringify(given.value)} but ${found.join()}`;
  },
};

function bodyOf(id: string): Loose {
  const template = templates.get(id);
  if (!template) throw new Error(`no template ${id}`);
  return createBody(
    instanceContainer(template, { name: "x1", client: "c", parameters: {}, leaseEnds: 1 }),
  );
}
