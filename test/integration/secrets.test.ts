import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { Service } from "../../spec/names.ts";
import { engine, engineStream, exec, inspect, logsOf } from "../support/engine.ts";
import { canary, sharedAgents } from "../support/fleet.ts";
import { gzipped, leaks, leaksIn } from "../support/leaks.ts";
import { Person } from "../support/person.ts";
import { Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
const parts = [...Object.values(Service), ...sharedAgents];
/** Every secret value used in the run: the agent's own, the operator's password and a bot's live token. */
const secrets: string[] = [canary, inject("operatorPassword")];

/** Every file below a directory, gzip members opened; bounded. */
function files(directory: string, found: Record<string, Buffer> = {}): Record<string, Buffer> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isSymbolicLink() || ["node_modules", "secret-files"].includes(entry.name)) continue;
    if (entry.isDirectory()) files(path, found);
    else if (entry.isFile() && statSync(path).size < 64 * 1024 * 1024) {
      const bytes = readFileSync(path);
      found[path] = bytes;
      if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
        try {
          found[`${path} (gzip)`] = gunzipSync(bytes);
        } catch {
          // Not a whole gzip file: its plain bytes are searched all the same.
        }
      }
    }
  }
  return found;
}

beforeAll(async () => {
  const operator = await Person.login(stack.mattermostUrl, "operator", inject("operatorPassword"));
  const square = await operator.channel("town-square");
  const question = await operator.say(square, "@scout hello");
  await operator.answer(square, "scout", question, /hello/);
  const { output } = await exec(stack.container("scout"), ["/bin/cat", "/run/berth/bot-token"]);
  expect(output.trim()).toMatch(/^[a-z0-9]{26}$/);
  secrets.push(output.trim());
});

describe("no secret value anywhere but where it belongs", () => {
  it("the sweep itself finds a planted secret in every spelling", () => {
    for (const secret of secrets) {
      const planted = {
        plain: `x${secret}y`,
        base64: Buffer.from(`ab${secret}cd`).toString("base64"),
        hex: Buffer.from(secret).toString("hex"),
        none: "nothing",
        gzip: gunzipSync(gzipped(secret)),
      };
      expect(leaks(planted, [secret])).toEqual(["plain", "base64", "hex", "gzip"]);
    }
  });

  it("A4, B16: not in inspect, logs, state or declarations, where the reference stands instead", async () => {
    const places: Record<string, string> = { state: await stack.state() };
    for (const part of parts) {
      places[`inspect ${part}`] = JSON.stringify(await inspect(stack.container(part)));
      places[`logs ${part}`] = await logsOf(stack.container(part));
    }
    const filter = encodeURIComponent(JSON.stringify({ label: [`berth.stack=${stack.name}`] }));
    places.volumes = JSON.stringify(await engine(`/volumes?filters=${filter}`));
    places.networks = JSON.stringify(await engine(`/networks?filters=${filter}`));
    expect(leaks(places, secrets)).toEqual([]);
    expect(places.state).toContain("file:");
    expect(places.volumes).toContain("secret-files/canary");
  });

  it("A4: not in the preview", async () => {
    const { output } = await stack.preview();
    expect(leaks({ output }, secrets)).toEqual([]);
  });

  it("B15: not in an image's history or config", async () => {
    const places: Record<string, string> = {};
    for (const part of parts) {
      const { Image } = await inspect(stack.container(part));
      places[`history ${part}`] = JSON.stringify(await engine(`/images/${Image}/history`));
      places[`config ${part}`] = JSON.stringify(await engine(`/images/${Image}/json`));
    }
    expect(leaks(places, secrets)).toEqual([]);
  });

  it("B15: not in an image's layers", async () => {
    const ids = new Set<string>();
    for (const part of parts) ids.add((await inspect(stack.container(part))).Image);
    expect(ids.size).toBeGreaterThan(5);
    const names = [...ids].map((id) => `names=${encodeURIComponent(id)}`).join("&");
    expect(await leaksIn(engineStream(`/images/get?${names}`), secrets)).toBe(false);
    async function* planted() {
      const text = Buffer.from(`in a layer ${canary} of an image`);
      yield text.subarray(0, 20);
      yield text.subarray(20);
    }
    expect(await leaksIn(planted(), secrets)).toBe(true);
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

  it("B20: not in a volume of any container, read as the Engine sees it", async () => {
    const searched: string[] = [];
    for (const part of parts) {
      for (const mount of (await inspect(stack.container(part))).Mounts) {
        if (mount.Type !== "volume") continue;
        const path = `/containers/${stack.container(part)}/archive?path=${encodeURIComponent(mount.Destination)}`;
        expect(await leaksIn(engineStream(path), secrets), `${part} ${mount.Destination}`).toBe(
          false,
        );
        searched.push(`${part} ${mount.Destination}`);
      }
    }
    expect(searched).toContain("postgres /var/lib/postgresql");
    expect(searched).toContain("scout /workspace");
  });

  it("B20: not in Postgres's data either: tokens and passwords are stored as hashes", async () => {
    const { output } = await exec(
      stack.container(Service.postgres),
      [
        "/bin/sh",
        "-c",
        "psql -h /run/postgresql -U mattermost -d mattermost -Atc \"select string_agg(t::text, '|') from berth_standin.tokens t\" ; pg_dump -h /run/postgresql -U mattermost mattermost",
      ],
      "2000",
    );
    expect(output.length).toBeGreaterThan(1000);
    expect(leaks({ output }, secrets)).toEqual([]);
  });

  it("B20: not in the project's copy or Pulumi's backend, the user's own file apart", () => {
    const places = files(stack.directory);
    expect(Object.keys(places).length).toBeGreaterThan(20);
    expect(leaks(places, secrets)).toEqual([]);
  });

  it("B16: a secret's file lies on RAM", () => {
    const path = `/run/berth/${stack.name}/agents/scout/secrets/CANARY`;
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
