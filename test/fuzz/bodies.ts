import type { Random } from "./random.ts";
import { fittingBodies, templates } from "./stack.ts";

/** Bodies of creates: some that fit, most that nearly do. */

const values = [
  "7",
  "a-b-9",
  "review",
  "implement",
  "refs/heads/x",
  "2026-01",
  "",
  " ",
  "A",
  "x".repeat(41),
  "x\ny",
  "7\u0000",
  "../../etc",
  "$(id)",
  "\u212a",
  "\ud83d\ude00",
  "7;rm",
  "TASK_ID=8",
];
const keys = [
  "TASK_ID",
  "TASK_KIND",
  "TASK_REF",
  "TASK_TEXT",
  "TASK_NONE",
  "LD_PRELOAD",
  "PATH",
  "__proto__",
];
const ids = [
  ...templates.keys(),
  "lal.none",
  "zed.agent",
  "prod.review",
  "lal",
  "*",
  "lal.review.x1",
];

/** Members that would do harm, or that look as if they said nothing. */
const harmful: readonly (readonly [string, unknown])[] = [
  ["Privileged", true],
  ["Binds", ["/:/host"]],
  ["Mounts", [{ Type: "bind", Source: "/", Target: "/host" }]],
  ["PidMode", "host"],
  ["NetworkMode", "host"],
  ["NetworkMode", "default"],
  ["CapAdd", ["ALL"]],
  ["SecurityOpt", ["seccomp=unconfined"]],
  ["MaskedPaths", []],
  ["ReadonlyPaths", []],
  ["Devices", [{ PathOnHost: "/dev/sda" }]],
  ["Runtime", "other"],
  ["PidsLimit", -1],
  ["PidsLimit", 0],
  ["Memory", 0],
  ["ReadonlyRootfs", false],
  ["Annotations", { x: "y" }],
  ["Sysctls", {}],
  ["Ulimits", null],
  ["RestartPolicy", { Name: "always" }],
  ["RestartPolicy", { Name: "no", MaximumRetryCount: 0 }],
  ["Future", 1],
  ["Future", 0],
];

type Loose = Record<string, unknown>;

/** A Docker create body, one that fits a template or nearly. */
export function dockerBody(random: Random): string {
  const id = random.pick([...fittingBodies.keys()]);
  const body = structuredClone(fittingBodies.get(id)) as Loose;
  const host = body.HostConfig as Loose;
  const env = body.Env as string[];
  if (random.percent(60)) {
    const entry = env.findIndex((item) => item.startsWith("TASK_"));
    if (entry >= 0) env[entry] = `${env[entry]?.split("=")[0]}=${random.pick(values)}`;
  }
  for (let left = random.percent(55) ? 0 : 1 + random.below(3); left > 0; left--) {
    const [key, value] = random.pick(harmful);
    switch (random.below(9)) {
      case 0:
        host[key] = value;
        break;
      case 1:
        body[key] = value;
        break;
      case 2:
        env.push(`${random.pick(keys)}=${random.pick(values)}`);
        break;
      case 3:
        delete body[random.pick(Object.keys(body))];
        break;
      case 4:
        delete host[random.pick(Object.keys(host))];
        break;
      case 5:
        body[random.pick(Object.keys(body))] = random.pick([
          null,
          "",
          0,
          [],
          {},
          "x",
          1,
          ["x"],
          true,
        ]);
        break;
      case 6: {
        const name = random.pick(Object.keys(host));
        host[name] = random.pick([null, "", 0, [], {}, "x", 1, ["x"], true]);
        break;
      }
      case 7:
        body.Labels = {
          ...(body.Labels as Loose),
          [random.pick(["traefik.enable", "berth.client", "berth.template"])]: random.pick(ids),
        };
        break;
      default:
        // What the docker command writes beside.
        Object.assign(body, { AttachStdout: false, Tty: false, Domainname: "", OnBuild: null });
        Object.assign(host, { MemorySwappiness: -1, ConsoleSize: [0, 0], ContainerIDFile: "" });
    }
  }
  return respell(random, JSON.stringify(body));
}

/** Spells a JSON text in other ways: case, escapes, duplicates, numbers, white space. */
function respell(random: Random, json: string): string {
  if (random.percent(60)) return json;
  switch (random.below(8)) {
    case 0:
      return json.replace(
        '"HostConfig"',
        random.pick(['"hostConfig"', '"Ho\u017ftConfig"', '"HOSTCONFIG"']),
      );
    case 1:
      return json.replace('"HostConfig":{', '"HostConfig":{"privileged":true,');
    case 2:
      return json.replace("{", '{"hostconfig":{"Privileged":true},');
    case 3:
      return json.replace(
        /"([A-Z])/,
        (_, letter: string) => `"\\u00${letter.charCodeAt(0).toString(16)}`,
      );
    case 4:
      return `${json}${random.pick([" ", "\n", "{}", ",", "\0", json])}`;
    case 5:
      return json.replace(/:([0-9]+)/, random.pick([":$1.0", ":$1e0", ":-0", ":0x1", ":$1$1$1"]));
    case 6:
      return json.replaceAll(",", " ,\n\t");
    default:
      return json.replace("{", `{"__proto__":{},${random.percent(50) ? '"constructor":1,' : ""}`);
  }
}

/** A body of the native form, one that is right or nearly. */
export function nativeBody(random: Random): string {
  const body: Loose = { template: random.pick(ids) };
  if (random.percent(70))
    body.instance = random.pick(["x1", "x2", "own", "X", "a".repeat(32), "", "a.b"]);
  const template = templates.get(String(body.template));
  const parameters: Loose = {};
  for (const [key, { optional }] of Object.entries(template?.parameters ?? {})) {
    if (!optional || random.percent(30)) parameters[key] = random.pick(values);
  }
  if (random.percent(15))
    parameters[random.pick(keys)] = random.pick<unknown>([...values, 7, null, {}]);
  if (Object.keys(parameters).length > 0 || random.percent(50)) body.parameters = parameters;
  if (random.percent(8)) body[random.pick(["Image", "HostConfig", "Env"])] = {};
  return respell(random, JSON.stringify(body));
}
