import { Label } from "../../spec/names.ts";

/** JSON of an inspect answer. */
type Value =
  | null
  | boolean
  | number
  | string
  | readonly Value[]
  | { readonly [key: string]: Value };
type Members = { readonly [key: string]: Value };

/**
 * What may differ between the agent's container that Pulumi made and an instance of the agent that the socket proxy made.
 * Nothing else may. Own ids and names are not left out: wherever they stand they are compared as `ID` and `NAME`.
 */
const different: readonly (readonly [why: string, path: RegExp])[] = [
  ["two moments", /^(Created|State\.(StartedAt|FinishedAt))$/],
  ["the labels of an instance and of its lease", labelPattern()],
  ["the layers of two containers on the disk", /^GraphDriver\.Data\./],
  ["two processes", /^State\.Pid$/],
  ["two network namespaces", /^NetworkSettings\.Sandbox(ID|Key)$/],
  [
    "two addresses on one network",
    /^NetworkSettings\.Networks\.[^.]+\.(EndpointID|IPAddress|MacAddress)$/,
  ],
];

/**
 * What the docker provider writes in other words than the socket proxy, to the same effect, each with its reason. Everything
 * else of these members is compared.
 */
function inOneSpelling(inspected: Members): Members {
  const host = inspected.HostConfig as Members;
  const config = inspected.Config as Members;
  const settings = inspected.NetworkSettings as Members;
  const networks = settings.Networks as { readonly [name: string]: Members };
  const isCreated = (inspected.State as Members).Status === "created";
  const [network] = Object.keys(networks).filter((name) => name !== "none");
  const binds = ((host.Binds ?? []) as readonly string[]).map((bind) => bind.replace(/:rw$/, ""));
  const targets = new Set(binds.map((bind) => bind.split(":")[1]));
  const volumes = Object.keys(config.Volumes ?? {}).filter((path) => !targets.has(path));
  return {
    ...inspected,
    // The target of each bind is also named as a volume, which a bind of that path goes before.
    Config: { ...config, Volumes: volumes },
    HostConfig: {
      ...host,
      // `rw` is what no word means.
      Binds: binds,
      // It joins networks after the create: this is the bridge that it has left by then. What it is on is compared below.
      NetworkMode: host.NetworkMode === "bridge" ? (network ?? "bridge") : (host.NetworkMode ?? ""),
    },
    // The word at the end of a bind, or `z` for none, which only hosts with SELinux read; RW and Propagation say the rest.
    Mounts: (inspected.Mounts as readonly Members[]).map((mount) => ({ ...mount, Mode: "" })),
    NetworkSettings: {
      ...settings,
      Networks: Object.fromEntries(
        Object.entries(networks).map(([name, endpoint]) => [
          name,
          {
            ...endpoint,
            // No option and no address is asked for, in more or in fewer words.
            IPAMConfig: nothing(endpoint.IPAMConfig),
            DriverOpts: nothing(endpoint.DriverOpts),
            // The Engine writes them at the join or, where that was a part of the create, at the start.
            ...(isCreated ? { DNSNames: null } : {}),
          },
        ]),
      ),
    },
  };
}

function nothing(value: Value | undefined): Value {
  return Object.keys(value ?? {}).length === 0 ? null : (value ?? null);
}

/** An inspect answer as `path value` lines, without what may differ; lists in any order. Sorted. */
export function comparable(answer: unknown): string[] {
  const inspected = answer as Members;
  const id = String(inspected.Id);
  const name = String(inspected.Name).slice(1);
  const own = (text: string) =>
    text
      .replaceAll(id, "ID")
      .replaceAll(id.slice(0, 12), "ID")
      .replace(new RegExp(`(^|[/"])${name.replaceAll(".", "[.]")}(?=$|[/"])`, "g"), "$1NAME");
  return leaves(inOneSpelling(inspected), "", own)
    .filter(([path]) => !different.some(([, pattern]) => pattern.test(path)))
    .map(([path, value]) => own(`${path} ${value}`))
    .sort();
}

/** @param own writes ids and names the same for both, before lists are sorted by what is in them */
function leaves(value: Value, path: string, own: (text: string) => string): [string, string][] {
  const text = (item: Value) => own(JSON.stringify(item));
  if (isList(value)) return [[path, value.map(text).sort().join(" ")]];
  if (value === null || typeof value !== "object") return [[path, text(value)]];
  const entries = Object.entries(value);
  if (entries.length === 0) return [[path, "{}"]];
  return entries.flatMap(([key, member]) =>
    leaves(member, path === "" ? key : `${path}.${key}`, own),
  );
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

function labelPattern(): RegExp {
  const keys = [Label.template, Label.instance, Label.client, Label.parameters, Label.lease];
  return new RegExp(`^Config\\.Labels\\.(${keys.join("|").replaceAll(".", "\\.")})$`);
}
