import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Label } from "../../../spec/names.ts";
import { unhurriedGrants } from "./clients.ts";
import type { DoubleContainer } from "./engine-double.ts";
import {
  fullEntry,
  fullEvent,
  fullImage,
  fullInspect,
  fullNetwork,
  fullStats,
  fullVolume,
} from "./engine-json.ts";
import { type Harness, lalId, startHarness } from "./harness.ts";
import { checkInvariants, settled } from "./invariants.ts";
import { RawClient } from "./raw.ts";
import { review } from "./templates.ts";

let harness: Harness;
let lal: DoubleContainer;
beforeAll(async () => {
  harness = await startHarness({ grants: unhurriedGrants() });
  lal = harness.agent({
    network: "mattermost",
    templates: { review: { ...review, instances: { max: 64, timeoutSeconds: 300 } } },
  });
  await settled(harness);
});
afterAll(() => harness.close());
afterEach(async () => {
  harness.engine.intercept = undefined;
  await checkInvariants(harness);
});

/** Fits every pattern of what is shown. */
const canary = "canary";
/** Fits none. */
const hostile = 'canary"\u001b[31m\n{"x":<script>}\u202e';

/** One place in an answer: a text, or an object to which a member can be added. */
interface Place {
  readonly pointer: string;
  /** The answer with a secret in this place. */
  with(secret: string): unknown;
}

/** Every text of an answer, and every object in it, as a place to hide something in. */
function places(answer: unknown): Place[] {
  const found: Place[] = [];
  const walk = (value: unknown, pointer: string, replace: (other: unknown) => unknown) => {
    if (typeof value === "string") found.push({ pointer, with: replace });
    if (typeof value !== "object" || value === null) return;
    if (Array.isArray(value)) {
      const at = (i: number) => (other: unknown) => replace(value.with(i, other));
      for (const [i, item] of value.entries()) walk(item, `${pointer}/${i}`, at(i));
      found.push({ pointer: `${pointer}/-`, with: (secret) => replace([...value, secret]) });
      return;
    }
    const of = (key: string) => (other: unknown) => replace({ ...value, [key]: other });
    for (const [key, item] of Object.entries(value)) walk(item, `${pointer}/${key}`, of(key));
    // The member's own name is a secret, too.
    found.push({
      pointer: `${pointer}/*`,
      with: (secret) => replace({ ...value, [secret]: { secret } }),
    });
  };
  walk(answer, "", (other) => other);
  return found;
}

/** Answers what fits with this JSON. */
function lie(line: RegExp, body: unknown, status = 200): void {
  harness.engine.intercept = ({ method, path }, response) => {
    if (!line.test(`${method} ${path}`)) return false;
    const headers = { "content-type": canary, "x-canary": canary, "api-version": canary };
    response.writeHead(status, { ...headers, server: canary, "set-cookie": canary });
    response.end(JSON.stringify(body));
    return true;
  };
}

interface Kind {
  readonly title: string;
  readonly path: string;
  readonly method?: string;
  readonly body?: object;
  readonly line: RegExp;
  readonly status?: number;
  readonly answer: () => unknown;
  /** What the client gets for it. @default 200 */
  readonly expected?: number;
  /** Places whose text is shown by design, where it is a plain one. */
  readonly shown: readonly string[];
}

const labels = (prefix: string) => [Label.pids, Label.config].map((key) => `${prefix}/${key}`);
const wanted = { template: "lal.review", parameters: { TASK_ID: "7" } };
const kinds: readonly Kind[] = [
  {
    title: "inspect",
    path: "/containers/berth-dev-lal/json",
    line: /[0-9a-f]{64}\/json$/,
    answer: () => fullInspect(lal),
    shown: [
      "/Platform",
      "/State/Status",
      "/State/Health/Status",
      "/Config/Image",
      "/Config/User",
      ...labels("/Config/Labels"),
      "/HostConfig/NetworkMode",
      "/HostConfig/RestartPolicy/Name",
      "/HostConfig/LogConfig/Type",
      "/Mounts/0/Type",
      "/Mounts/0/Destination",
      "/NetworkSettings/Networks/*",
    ],
  },
  {
    title: "list",
    path: "/containers/json?all=1",
    line: /json\?all=1&filters=%7B%22label%22%3A%5B%22berth.stack%3Ddev%22%5D%7D$/,
    answer: () => [
      fullEntry(lal),
      { ...fullEntry(lal), Id: "b".repeat(64), Names: ["/evil"], Command: canary, Image: canary },
      { ...fullEntry(lal), Id: "d".repeat(64), Labels: { "berth.stack": "prod", x: canary } },
    ],
    shown: [
      "/0/Image",
      ...labels("/0/Labels"),
      "/0/State",
      "/0/Status",
      "/0/HostConfig/NetworkMode",
      "/0/NetworkSettings/Networks/*",
    ],
  },
  {
    title: "image",
    path: "/images/localhost/berth/node:0123456789ab/json",
    line: /\/images\//,
    answer: () => fullImage,
    shown: ["/RepoTags/0", "/RepoTags/-"],
  },
  {
    title: "network",
    path: "/networks/berth-dev-mattermost-net",
    line: /\/networks\//,
    answer: () => fullNetwork,
    shown: [],
  },
  {
    title: "stats",
    path: "/containers/berth-dev-lal/stats?stream=0",
    line: /\/stats\?/,
    answer: () => fullStats,
    shown: [],
  },
  {
    title: "wait",
    path: "/containers/berth-dev-lal/wait",
    method: "POST",
    line: /\/wait\?/,
    answer: () => ({ StatusCode: 1, Error: { Message: "no such container: t0p" }, x: ["y"] }),
    shown: [],
  },
  {
    title: "create",
    path: "/berth/instances",
    method: "POST",
    body: wanted,
    line: /\/create\?/,
    status: 201,
    // Another container than the one that was to be made.
    expected: 502,
    answer: () => ({ Id: lalId, Warnings: ["your kernel is t0p"], x: { y: "z" } }),
    shown: [],
  },
  {
    title: "declarations",
    path: "/berth/declarations",
    line: /\/volumes\?/,
    answer: () => ({
      Volumes: [...harness.engine.volumes.values()]
        .filter((volume) => JSON.stringify(volume).includes(Label.declaration))
        .map(fullVolume),
      Warnings: ["t0p"],
    }),
    shown: [],
  },
  {
    title: "ping",
    path: "/_ping",
    line: /_ping$/,
    answer: () => ({ x: "OK" }),
    shown: [],
  },
];

describe("T10: of what the Engine answers only what is on the list leaves", () => {
  it("T10: secrets are planted in far more than 60 places", () => {
    const all = kinds.flatMap(({ answer }) => places(answer()));
    expect(all.length).toBeGreaterThan(250);
  });

  it.each(kinds)(
    "gate A16: $title shows plain texts of its list, nothing of any other place, and no text that is not plain",
    async ({ path, method = "GET", body, line, status, answer, expected = 200, shown }) => {
      lie(line, answer(), status);
      expect((await harness.ask(path, method, undefined, body)).status).toBe(expected);
      const seen: string[] = [];
      const wrong: string[] = [];
      for (const place of places(answer())) {
        for (const secret of [canary, hostile]) {
          lie(line, place.with(secret), status);
          const reply = await harness.ask(path, method, undefined, body);
          const text = JSON.stringify([reply.text, reply.headers]);
          expect(reply.status).not.toBe(429);
          if (!text.includes(canary)) continue;
          if (secret === canary) seen.push(place.pointer);
          else wrong.push(place.pointer);
        }
      }
      expect(wrong).toEqual([]);
      expect(seen.sort()).toEqual([...shown].sort());
    },
  );

  it("gate A16: every text of every answer at once leaves nothing either", async () => {
    for (const { path, method = "GET", body, line, status, answer } of kinds) {
      const spoil = (value: unknown): unknown => {
        if (typeof value === "string") return hostile;
        if (Array.isArray(value)) return value.map(spoil);
        if (typeof value !== "object" || value === null) return value;
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, spoil(item)]));
      };
      lie(line, spoil(answer()), status);
      const reply = await harness.ask(path, method, undefined, body);
      expect(JSON.stringify([reply.text, reply.headers])).not.toContain(canary);
    }
  });

  it("gate A18: events show nothing but their list either", async () => {
    const client = new RawClient(harness.port);
    client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    await client.until(() => client.text.includes("\r\n\r\n"));
    const seen: string[] = [];
    const wrong: string[] = [];
    let marks = 0;
    for (const place of places(fullEvent(lal))) {
      for (const secret of [canary, hostile]) {
        const from = client.text.length;
        harness.engine.emit(place.with(secret) as object);
        marks += 1;
        harness.engine.emit({ ...fullEvent(lal), time: 1_000_000 + marks });
        expect(await client.until(() => client.text.includes(`"time":${1_000_000 + marks}`))).toBe(
          true,
        );
        if (!client.text.slice(from).includes(canary)) continue;
        if (secret === canary) seen.push(place.pointer);
        else wrong.push(place.pointer);
      }
    }
    client.end();
    expect([wrong, seen.sort()]).toEqual([[], labels("/Actor/Attributes").sort()]);
  });

  it("gate A16: version, metrics and the head of the audit are the proxy's own words", async () => {
    lie(/./, { Version: canary, x: canary });
    for (const path of ["/version", "/berth/metrics", "/berth/audit"]) {
      const { status, text } = await harness.ask(path);
      expect([path, status, text.includes(canary)]).toEqual([path, 200, false]);
    }
  });
});
