import { readFileSync, statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { Path, runDirectory, Service, Uid } from "../../spec/names.ts";
import { engine, exec, inspect } from "../support/engine.ts";
import { canary, sharedAgents } from "../support/fleet.ts";
import { Person } from "../support/person.ts";
import { Stack } from "../support/stack.ts";
import { StackSweep } from "../support/sweep/stack-sweep.ts";
import type { Secret, Sweep } from "../support/sweep/sweep.ts";

const stack = Stack.attach(inject("stack"));
const parts = [...Object.values(Service), ...sharedAgents];
const host = runDirectory(stack.name);

/** Where the memory of processes may hold a value: in these parts. */
const inMemoryOf = (...of: readonly string[]) => new RegExp(`^memory of (${of.join("|")}):`);
/** Every secret value of the run: the agent's own, the operator's password and a bot's live token. */
const secrets: Secret[] = [
  {
    name: "the agent's secret",
    value: canary,
    belongs: [
      inMemoryOf(Service.secretStore, "scout"),
      // What is asked for as a variable of the program is one, of that program alone.
      /^environ of scout:/,
      new RegExp(`^host ${host}/agents/scout/(secrets/CANARY|config/config.json)$`),
    ],
  },
  {
    name: "the operator's password",
    value: inject("operatorPassword"),
    // The bridge has made it up, and said it once.
    belongs: [inMemoryOf(Service.mattermost, Service.adminBridge)],
  },
];
let sweep: StackSweep;

beforeAll(async () => {
  const operator = await Person.login(stack.mattermostUrl, "operator", inject("operatorPassword"));
  const square = await operator.channel("town-square");
  const question = await operator.say(square, "@scout hello");
  await operator.answer(square, "scout", question, /hello/);
  const { output } = await exec(stack.container("scout"), ["/bin/cat", Path.botToken]);
  expect(output.trim()).toMatch(/^[a-z0-9]{26}$/);
  secrets.push({
    name: "the bot's token",
    value: output.trim(),
    belongs: [
      inMemoryOf(Service.mattermost, Service.adminBridge, Service.egressGateway, "scout"),
      new RegExp(`^host ${host}/agents/scout/bot-token$`),
    ],
  });
  sweep = await StackSweep.begin(
    { stack, parts, secrets, operator, events: inject("events") },
    "scout",
  );
});
afterAll(() => sweep?.end());

/** A search without a leak; each has found what it planted itself. */
async function clean(search: Promise<Sweep>): Promise<Sweep> {
  const seen = await search;
  expect(seen.leaks).toEqual([]);
  return seen;
}

describe("no secret value in a process but its consumers'", () => {
  it("B16: not in the environment or the arguments of any process", async () => {
    const { places, known } = await clean(sweep.environs());
    for (const service of Object.values(Service))
      expect(places.some((place) => place.startsWith(`environ of ${service}:`))).toBe(true);
    expect(known.length).toBeGreaterThan(0);
    const { known: inArguments } = await clean(sweep.commandLines());
    expect(inArguments).toEqual([]);
  });

  it("B16: not in the memory of any process but the store's, the consumer's and what carries it there", async () => {
    const { known } = await clean(sweep.memories());
    // Nor does the search miss what is there: each value is found where it is used.
    const holders = (secret: string) =>
      known
        .filter((line) => line.startsWith(`${secret} in `))
        .map((line) => /memory of ([^:]+):/.exec(line)?.[1]);
    expect(holders("the agent's secret")).toEqual(
      expect.arrayContaining([Service.secretStore, "scout"]),
    );
    expect(holders("the bot's token")).toContain(Service.egressGateway);
    expect(holders("the operator's password")).toContain(Service.mattermost);
  });

  it("B20: no process may write a core dump", async () => {
    expect(await sweep.dumping()).toEqual([]);
    for (const part of parts) {
      const { Ulimits } = (await inspect(stack.container(part))).HostConfig;
      expect(Ulimits, part).toEqual([{ Name: "core", Soft: 0, Hard: 0 }]);
    }
  });

  it("B20: no container may swap", async () => {
    expect(await sweep.swapping()).toEqual([]);
  });
});

describe("no secret value in what the Engine keeps and says", () => {
  it("A4, B16: not in inspect, logs or declarations, where the reference stands instead", async () => {
    await clean(sweep.inspects());
    await clean(sweep.logs());
    await clean(sweep.objects());
    expect(JSON.stringify(await engine("/volumes"))).toContain("secret-files/canary");
  });

  it("B16: not in any event of the Engine since before the stack began", async () => {
    expect((await clean(sweep.events())).planted).toContain("events: recorded");
  });

  it("B15: not in an image's history or config", async () => {
    expect((await clean(sweep.imageTexts())).places.length).toBeGreaterThan(12);
  });

  it("B15: not in an image's layers", async () => {
    await clean(sweep.imageLayers());
  });

  it("B20: a container has written nothing into its own layer but the places of its mounts", async () => {
    for (const part of parts) {
      const name = stack.container(part);
      const changes = await engine<{ Path: string }[] | null>(`/containers/${name}/changes`);
      const { Mounts, HostConfig } = await inspect(name);
      const places = [
        ...Mounts.map((mount) => mount.Destination),
        ...Object.keys(HostConfig.Tmpfs ?? {}),
        ...[
          "/etc/hosts",
          "/etc/hostname",
          "/etc/resolv.conf",
          "/etc/mtab",
          "/dev",
          "/proc",
          "/sys",
          "/.dockerenv",
        ],
        "/sbin/docker-init",
        "/usr/sbin/docker-init",
        "/dev/console",
        "/dev/pts",
        "/dev/shm",
        "/sbin",
      ];
      for (const { Path } of changes ?? []) {
        expect(
          places.some((place) => place === Path || place.startsWith(`${Path}/`)),
          `${part} ${Path}`,
        ).toBe(true);
      }
    }
  });
});

describe("no secret value in a file but its consumer's own", () => {
  it("B20: not in a volume of any container, the record of the socket proxy among them", async () => {
    const { places } = await clean(sweep.volumes());
    for (const place of [
      "postgres: /var/lib/postgresql",
      "scout: /workspace",
      "admin-bridge: /data",
      `${Service.socketProxy}: ${Path.audit}`,
    ])
      expect(places).toContain(`volume of ${place}`);
  });

  it("B20: not in a container's own RAM disk", async () => {
    await clean(sweep.ramFiles());
  });

  it("A15, B20: of the host's directory of sockets and secrets, in the agent's own files alone", async () => {
    const { known } = await clean(sweep.hostFiles());
    expect(known).toEqual([
      `the agent's secret in host ${host}/agents/scout/config/config.json`,
      `the agent's secret in host ${host}/agents/scout/secrets/CANARY`,
      `the bot's token in host ${host}/agents/scout/bot-token`,
    ]);
  });

  it("B8: a config file is rendered from its template by the development back end too, for the agent alone", () => {
    const path = `${host}/agents/scout/config/config.json`;
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ bot: { token: canary } });
    const { mode, uid } = statSync(path);
    expect([mode & 0o777, uid]).toEqual([0o400, Uid.agent]);
  });

  it("B16: a secret's file lies on RAM", () => {
    const path = `${host}/agents/scout/secrets/CANARY`;
    const mounts = readFileSync("/proc/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" "));
    const holder = mounts
      .filter((m) => m[1] && path.startsWith(`${m[1]}/`))
      .sort((a, b) => (b[1]?.length ?? 0) - (a[1]?.length ?? 0))[0];
    expect(holder?.[2]).toBe("tmpfs");
    expect(readFileSync(path, "utf8").trim()).toBe(canary);
  });
});

describe("no secret value in a database or in the chat", () => {
  it("B20: not in the admin bridge's database, its write-ahead log included", async () => {
    await clean(sweep.bridgeDatabase());
  });

  it("B16, B20: not in the chat, as it is read and as Postgres keeps it: tokens and passwords as hashes", async () => {
    const { places } = await clean(sweep.chat());
    expect(places.filter((place) => place.startsWith("chat in ")).length).toBeGreaterThan(1);
  });
});

describe("no secret value in what Pulumi keeps and shows", () => {
  it("A4, B20: not in the state, its history and backups, or anywhere in the project's copy", async () => {
    const { places } = await clean(sweep.project());
    for (const folder of ["history", "backups", "stacks"])
      expect(
        places.some((place) => place.includes(`/.pulumi/${folder}/`)),
        folder,
      ).toBe(true);
    await clean(sweep.state());
    expect(await stack.state()).toContain("file:");
  });

  it("A4: not in a preview with every field, nor in its event log", async () => {
    const { planted } = await clean(sweep.preview());
    expect(planted).toEqual(["preview: shown", "preview: event log"]);
  });
});
