import { dockerBody, nativeBody } from "./bodies.ts";
import { mutate } from "./mutate.ts";
import type { Random } from "./random.ts";

/** Raw requests: valid ones of the whole language, and what is made of them by changing structure, bodies and bytes. */

const hex = (digit: string) => digit.repeat(64);
const names = [
  "berth-dev-lal",
  "berth-dev-ada",
  "berth-dev-zed",
  "berth-dev-mattermost",
  "berth-dev-lal.review.own",
  "berth-dev-lal.review.theirs",
  "berth-dev-lal.review.x1",
  "berth-dev-lal.shell.x1",
  "berth-dev-fake",
  "berth-prod-lal",
  "lal",
  hex("a"),
  hex("d"),
  hex("1"),
  hex("2"),
  hex("5"),
  hex("b"),
  hex("c"),
  hex("e"),
  "aaaaaaaaaaaa",
  "..",
];
/** Those that most clients may use. */
const own = ["berth-dev-lal", "berth-dev-lal.review.own", "berth-dev-lal.review.x1", hex("a")];
const prefixes = ["", "", "", "/v1.41", "/v1.24", "/v1.99", "/v1.41.1", "/V1.41", "/v0", "/"];
const filters = [
  '{"label":["berth.stack=dev"]}',
  '{"label":{"berth.agent=lal":true}}',
  '{"name":["lal"],"status":["running","created"]}',
  '{"label":["berth.stack=prod"],"id":["b"]}',
  '{"event":["start"],"type":["container"],"container":["berth-dev-lal"]}',
  '{"__proto__":["x"]}',
  "[]",
].map(encodeURIComponent);

/** Method and what stands behind the container's name. */
const containerVerbs = [
  ["GET", "/json"],
  ["POST", "/start"],
  ["POST", "/stop?t=5"],
  ["POST", "/stop"],
  ["POST", "/kill?signal=SIGTERM"],
  ["POST", "/kill"],
  ["POST", "/wait?condition=not-running"],
  ["POST", "/wait"],
  ["GET", "/logs?stdout=1&stderr=1&tail=10"],
  ["GET", "/logs?stdout=1&follow=1&since=1.5"],
  ["GET", "/stats?stream=0"],
  ["POST", "/start?checkpoint=x&checkpoint-dir=/"],
  ["DELETE", ""],
  ["DELETE", "?force=1&v=1"],
  ["POST", "/exec"],
  ["POST", "/attach?stream=1"],
  ["PUT", "/archive?path=/"],
  ["POST", "/update"],
  ["POST", "/rename?name=x"],
] as const;

/** The first of these are in the language. */
const usable = 11;

const plain = [
  ["GET", "/_ping"],
  ["HEAD", "/_ping"],
  ["GET", "/version"],
  ["GET", "/info"],
  ["GET", "/containers/json"],
  ["GET", "/containers/json?all=1"],
  ["GET", "/events"],
  ["GET", "/berth/declarations"],
  ["GET", "/berth/declarations?watch=1"],
  ["GET", "/berth/alerts"],
  ["GET", "/berth/metrics"],
  ["GET", "/berth/audit"],
  ["GET", "/images/localhost/berth/node:0123456789ab/json"],
  ["GET", "/images/other/json"],
  ["GET", "/networks/berth-dev-mattermost-net"],
  ["GET", "/networks/host"],
  ["POST", "/volumes/create"],
  ["POST", "/build"],
  ["CONNECT", "docker:2375"],
  ["OPTIONS", "*"],
] as const;

function headOf(random: Random): readonly [method: string, target: string, body?: string] {
  const prefix = random.percent(25) ? random.pick(prefixes) : "";
  const kind = random.below(100);
  if (kind < 18) return ["POST", "/berth/instances", nativeBody(random)];
  if (kind < 40) {
    const name = random.pick([
      "",
      "?name=x1",
      "?name=lal.review.x1",
      "?name=berth-dev-lal.shell.x1",
      "?name=ada.build.b",
    ]);
    return ["POST", `${prefix}/containers/create${name}`, dockerBody(random)];
  }
  if (kind < 80) {
    const [method, tail] = random.percent(60)
      ? random.pick(containerVerbs.slice(0, usable))
      : random.pick(containerVerbs);
    const name = random.percent(50) ? random.pick(own) : random.pick(names);
    return [method, `${prefix}/containers/${name}${tail}`];
  }
  const [method, path] = random.pick(plain);
  const isFiltered = path.startsWith("/containers/json") || path === "/events";
  const query =
    isFiltered && random.percent(40)
      ? `${path.includes("?") ? "&" : "?"}filters=${random.pick(filters)}`
      : "";
  return [method, `${prefix}${path}${query}`];
}

const oddHeaders = [
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: identity, chunked",
  "Transfer-Encoding: xchunked",
  "Content-Length: 0",
  "Content-Length: 2",
  "Content-Length: +2",
  "Content-Length: 99999999999",
  "Connection: close",
  "Connection: Upgrade\r\nUpgrade: tcp",
  "Upgrade: h2c",
  "Expect: 100-continue",
  "Host: y",
  "Content-Type: text/plain",
  "Content-Encoding: gzip",
  "X-HTTP-Method-Override: DELETE",
  "X-Registry-Auth: x",
  "Cookie: a=b",
  " folded",
  "X : y",
  `X-Long: ${"a".repeat(9000)}`,
  `A: 1${"\r\nA: 1".repeat(70)}`,
];

function request(random: Random): string {
  const [method, target, body] = headOf(random);
  const headers: string[] = [];
  if (!random.percent(3)) headers.push("Host: x");
  if (body !== undefined) {
    const type = random.percent(95) ? "application/json" : "application/x-www-form-urlencoded";
    const length = Buffer.byteLength(body) + (random.percent(96) ? 0 : random.below(9) - 4);
    headers.push(`Content-Type: ${type}`, `Content-Length: ${length}`);
  }
  while (random.percent(12))
    headers.splice(random.below(headers.length + 1), 0, random.pick(oddHeaders));
  const version = random.percent(97)
    ? "HTTP/1.1"
    : random.pick(["HTTP/1.0", "HTTP/2.0", "HTTP/1.1 ", ""]);
  return `${method} ${target} ${version}\r\n${headers.map((header) => `${header}\r\n`).join("")}\r\n${body ?? ""}`;
}

/** Bytes of one connection. */
export function connectionBytes(random: Random, seeds: readonly Uint8Array[]): Uint8Array {
  const kind = random.below(100);
  if (kind < 4) return random.bytes(random.below(300));
  if (kind < 14 && seeds.length > 0) return mutate(random, random.pick(seeds), random.pick(seeds));
  const count = random.percent(70) ? 1 : 1 + random.below(3);
  const requests = Array.from({ length: count }, () => request(random));
  // A create and what is done with what it made.
  if (random.percent(12)) {
    const verb = random.pick([
      "POST %/start",
      "POST %/start",
      "GET %/json",
      "POST %/stop",
      "POST %/wait",
    ]);
    const next = verb.replace("%", "/containers/berth-dev-lal.review.x1");
    if (random.percent(70)) requests.unshift(`${next} HTTP/1.1\r\nHost: x\r\n\r\n`);
    requests.unshift(
      'POST /berth/instances HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 72\r\n\r\n{"template":"lal.review","instance":"x1","parameters":{"TASK_ID":"7"}}  ',
    );
  }
  const bytes = Buffer.from(requests.join(""));
  return random.percent(35)
    ? mutate(random, bytes, seeds.length > 0 ? random.pick(seeds) : bytes)
    : bytes;
}
