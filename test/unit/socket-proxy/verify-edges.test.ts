import { describe, expect, it } from "vitest";
import { LogFrames } from "../../../services/socket-proxy/frames.ts";
import {
  differences,
  type Evidence,
  namedVolumes,
  unfitSurroundings,
} from "../../../services/socket-proxy/verify.ts";
import { agentContainer } from "../../../spec/container.ts";
import { declarationOf, imageOf, inspectOf } from "./engine-double.ts";

/** The edges of the comparison: each was found by a small change of it that no other test noticed. */

// biome-ignore lint/suspicious/noExplicitAny: tests reach into answers of the Engine to spoil them
type Loose = any;

const volumeId = "f".repeat(64);
const net = "berth-dev-mattermost-net";

function evidenceOf(network: "sealed" | "mattermost") {
  const spec = agentContainer(declarationOf({ network }));
  const Labels = { "berth.stack": "dev" };
  const volumes = namedVolumes(spec).map((name): [string, Loose] => [
    name,
    { Name: name, Driver: "local", Options: null, Labels: { ...Labels } },
  ]);
  const networks = Object.keys(spec.Networks).map((name): [string, Loose] => [
    name,
    { Name: name, Id: "e".repeat(64), Internal: true, Labels: { ...Labels } },
  ]);
  const evidence = {
    container: inspectOf(spec, "b".repeat(64)) as Loose,
    image: imageOf() as Loose,
    volumes: new Map(volumes),
    networks: new Map(networks),
    host: { defaultRuntime: "runc", cgroupVersion: "2", swapLimit: true },
  };
  return { spec, evidence };
}

function found(
  spoil: (evidence: ReturnType<typeof evidenceOf>["evidence"]) => void,
  network: "sealed" | "mattermost" = "sealed",
): string[] {
  const { spec, evidence } = evidenceOf(network);
  spoil(evidence);
  return differences(spec, "dev", evidence as Evidence);
}

describe("A15: volumes that an image asks for", () => {
  /** An image that asks for a volume at `path`, and a container that has got it. */
  const withVolume = (path: string, change: (mount: Loose) => void = () => undefined) =>
    found(({ image, container }) => {
      image.Config.Volumes = { [path]: {} };
      container.Config.Volumes[path] = {};
      const mount = {
        Type: "volume",
        Name: volumeId,
        Destination: path,
        Driver: "local",
        RW: true,
      };
      change(mount);
      container.Mounts.push(mount);
    });

  it("A15: may be there, anonymous and local, away from all that the rendering says something of", () => {
    expect(withVolume("/cache")).toEqual([]);
    expect(withVolume("/workspaces")).toEqual([]);
    expect(withVolume("/tmpfs")).toEqual([]);
  });

  it.each(["/workspace/sub", "/run/berth/x", "/run", "/tmp/x", "/tmp", "/"])(
    "A15: %s lies on, above or below a place of the rendering",
    (path) => {
      expect(withVolume(path)).toContain("Mounts");
    },
  );

  it.each<[string, (mount: Loose) => void]>([
    ["a bind", (mount) => (mount.Type = "bind")],
    ["a name", (mount) => (mount.Name = "berth-dev-data-workspace")],
    ["a longer name", (mount) => (mount.Name = `${volumeId}0`)],
    ["a name behind another", (mount) => (mount.Name = `x${volumeId}`)],
    ["another driver", (mount) => (mount.Driver = "nfs")],
    ["another place", (mount) => (mount.Destination = "/else")],
  ])("A15: %s in its place is a difference", (_title, change) => {
    expect(withVolume("/cache", change)).toContain("Mounts");
  });
});

describe("each difference is named, at its edges", () => {
  const hash = `sha256:${"c".repeat(64)}`;
  it.each<[string, (evidence: Loose) => void]>([
    ["Platform", ({ container }) => (container.Platform = "windows")],
    ["Image", ({ image, container }) => (image.Id = container.Image = `${hash}0`)],
    ["Image", ({ image, container }) => (image.Id = container.Image = `x${hash}`)],
    ["Image", ({ image, container }) => (image.Id = container.Image = 7)],
    ["Mounts", ({ container }) => (container.Mounts[0].Type = "volume")],
    ["Mounts", ({ container }) => (container.Mounts[1].Type = "bind")],
    ["HostConfig.Binds", ({ container }) => (container.HostConfig.Binds[1] += ":rwx")],
    ["HostConfig.Binds", ({ container }) => (container.HostConfig.Binds = [["x"]])],
    [
      "HostConfig.PortBindings",
      ({ container }) => (container.HostConfig.PortBindings = { "80/tcp": [{ HostPort: "80" }] }),
    ],
    [
      "HostConfig.MemorySwappiness",
      ({ container }) => (container.HostConfig.MemorySwappiness = 60),
    ],
    ["HostConfig.MemorySwappiness", ({ container }) => (container.HostConfig.MemorySwappiness = 1)],
    ["Config.Env", ({ container }) => container.Config.Env.push("HOME=/root")],
    ["Config.Labels", ({ container }) => (container.Config.Labels["berth.image"] = "other")],
    ["Config.Labels", ({ container }) => (container.Config.Labels["berth.agent"] = "data")],
    ["Volumes", ({ volumes }) => (volumes.values().next().value.Name = "other")],
  ])("%s (case %#)", (field, spoil) => {
    expect(found(spoil)).toContain(field);
  });

  it.each<[string, (evidence: Loose) => void]>([
    ["Networks", ({ networks }) => (networks.get(net).Name = "other")],
    [
      "NetworkSettings.Networks",
      ({ container }) => (container.NetworkSettings.Networks[net].Aliases = ["data"]),
    ],
    [
      "NetworkSettings.Networks",
      ({ container }) => (container.NetworkSettings.Networks[net].DriverOpts = { a: "b" }),
    ],
  ])("%s of an agent on mattermost-net (case %#)", (field, spoil) => {
    expect(found(spoil, "mattermost")).toContain(field);
  });

  it("a network that was joined is the one that was looked at", () => {
    const joined = (id: string) =>
      found(({ container }) => {
        container.NetworkSettings.Networks[net].NetworkID = id;
      }, "mattermost");
    expect(joined("e".repeat(64))).toEqual([]);
    expect(joined("")).toEqual([]);
    expect(joined("d".repeat(64))).toEqual(["Networks"]);
  });

  it("what the image sets beside the rendering is no difference; what it sets of the same name is not taken", () => {
    const env = (entry: string) =>
      found(({ image, container }) => {
        image.Config.Env = ["PATH=/usr/bin", entry];
        if (!entry.startsWith("HOME=")) container.Config.Env.push(entry);
      });
    expect(env("LANG=C")).toEqual([]);
    expect(env("HOME=/root")).toEqual([]);
  });

  describe("ulimits", () => {
    const ran = "2026-01-01T00:00:00Z";
    const never = ["", "0001-01-01T00:00:00Z", "soon", "1970-01-01T00:00:00Z"];
    const core = { Name: "core", Soft: 0, Hard: 0 };
    const nofile = { Name: "nofile", Soft: 1, Hard: 1 };
    const ulimits = (started: string, shown: unknown) =>
      found(({ container }) => {
        container.State.StartedAt = started;
        container.HostConfig.Ulimits = shown;
      });

    it("are the rendering's alone until it was started; then the daemon's own may be shown beside them", () => {
      for (const shown of [
        [core, nofile],
        [nofile, core],
      ]) {
        expect(ulimits(ran, shown)).toEqual([]);
        for (const started of never) {
          expect(ulimits(started, shown)).toEqual(["HostConfig.Ulimits"]);
        }
      }
      for (const started of [ran, ...never]) expect(ulimits(started, [core])).toEqual([]);
    });

    it.each<[string, unknown]>([
      ["none at all", null],
      ["an empty list", []],
      ["the daemon's own only", [nofile]],
      ["core dumps without a bound", [{ ...core, Soft: -1, Hard: -1 }]],
      ["core dumps that a program may turn on", [{ ...core, Hard: 1 }]],
      ["a second word about core dumps", [core, { ...core, Soft: -1, Hard: -1 }]],
      [
        "the same in another case, which the Engine takes for it",
        [core, { ...core, Name: "Core", Hard: -1 }],
      ],
      ["the same in another case alone", [{ ...core, Name: "CORE" }]],
      ["another member", [{ ...core, Extra: 1 }]],
      ["one without a name", [core, { Soft: 1, Hard: 1 }]],
      ["one without a bound", [core, { Name: "nofile", Soft: 1 }]],
      ["no objects", [core, "nofile"]],
      ["no list", { core }],
    ])("%s is a difference, started or not", (_title, shown) => {
      for (const started of [ran, ...never]) {
        expect(ulimits(started, shown)).toEqual(["HostConfig.Ulimits"]);
      }
    });
  });

  it("differences of more than one part come all, in their order", () => {
    const all = found(({ container, volumes }) => {
      container.Path = "/bin/sh";
      container.HostConfig.Privileged = true;
      container.Config.User = "0:0";
      volumes.clear();
    });
    expect(all).toEqual(["Config.User", "HostConfig.Privileged", "Path", "Volumes"]);
  });
});

describe("before a create, what the rendering needs", () => {
  const unfit = (
    spoil: (evidence: Loose) => void,
    network: "sealed" | "mattermost" = "mattermost",
  ) => {
    const { spec, evidence } = evidenceOf(network);
    spoil(evidence);
    return unfitSurroundings(spec, "dev", evidence);
  };
  it("is fit as it should be", () => {
    expect(unfit(() => undefined)).toEqual([]);
    expect(unfit(() => undefined, "sealed")).toEqual([]);
  });
  it.each<[string[], (evidence: Loose) => void]>([
    [["Image"], ({ image }) => (image.Id = "c".repeat(64))],
    [["Image.Labels"], ({ image }) => (image.Config.Labels["berth.client"] = "x")],
    [["Volumes"], ({ volumes }) => volumes.clear()],
    [["Networks"], ({ networks }) => (networks.get(net).Internal = false)],
    [
      ["Image", "Networks", "Volumes"],
      ({ image, volumes, networks }) => {
        image.Id = "";
        volumes.clear();
        networks.clear();
      },
    ],
  ])("%j (case %#)", (fields, spoil) => {
    expect(unfit(spoil)).toEqual(fields);
  });
});

describe("log frames", () => {
  const ends = (head: readonly number[]) =>
    new Promise<boolean>((resolve) => {
      const frames = new LogFrames();
      frames.on("error", () => resolve(true));
      frames.on("end", () => resolve(false));
      frames.resume();
      frames.end(Buffer.from([...head, 0, 0, 0, 1, 65]));
    });
  it("one byte of a head that is not as it must be ends the stream", async () => {
    expect(await ends([1, 0, 0, 0])).toBe(false);
    expect(await ends([2, 0, 0, 0])).toBe(false);
    for (const head of [
      [1, 1, 0, 0],
      [1, 0, 1, 0],
      [2, 0, 0, 1],
      [0, 0, 0, 0],
      [3, 0, 0, 0],
    ]) {
      expect(await ends(head)).toBe(true);
    }
  });

  it("a head is looked at behind each frame, wherever the frame was cut", async () => {
    const frame = [1, 0, 0, 0, 0, 0, 0, 2, 65, 66];
    for (const bad of [0, 3]) {
      const bytes = Buffer.from([...frame, ...frame, bad, 0, 0, 0, 0, 0, 0, 1, 65]);
      for (const size of [1, 5, bytes.length]) {
        const frames = new LogFrames();
        const failed = new Promise<boolean>((resolve) => {
          frames.on("error", () => resolve(true));
          frames.on("end", () => resolve(false));
        });
        frames.resume();
        for (let at = 0; at < bytes.length; at += size) frames.write(bytes.subarray(at, at + size));
        frames.end();
        expect(await failed).toBe(true);
      }
    }
  });
});
