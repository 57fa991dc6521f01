import { describe, expect, it } from "vitest";
import { parseStrict } from "../../../services/socket-proxy/strict-json.ts";
import { canonicalJson, type Json } from "../../../spec/canonical.ts";
import { agentContainer } from "../../../spec/container.ts";
import {
  alwaysSet,
  type CreateBody,
  dangers,
  keysOf,
  usualValues,
} from "../../corpus/create-dangers.ts";
import { allProbes, merge, namesLeaf, probesOf } from "../../corpus/create-probes.ts";
import {
  createSchema,
  isLeafType,
  type SchemaLeaf,
  versionsOf,
} from "../../corpus/create-schema.ts";
import { declarationOf } from "../socket-proxy/engine-double.ts";

const { versions, leaves } = createSchema;
const inRange = (version: string) => leaves.filter((leaf) => versionsOf(leaf).includes(version));

/** All that stands at a pointer with `*`. */
function valuesAt(value: Json | undefined, path: readonly string[]): Json[] {
  const [name, ...rest] = path;
  if (name === undefined) return value === undefined ? [] : [value];
  if (typeof value !== "object" || value === null) return [];
  if (name === "*") return Object.values(value).flatMap((entry) => valuesAt(entry as Json, rest));
  return Object.hasOwn(value, name) ? valuesAt((value as CreateBody)[name], rest) : [];
}
const pathOf = (pointer: string) => pointer.split("/").slice(1);
const isZero = (value: Json) => value === null || value === "" || value === 0 || value === false;

describe("the schema of container creates", () => {
  it("holds every API version from the oldest supported one on, without a gap", () => {
    expect(versions).toEqual(versions.map((_, index) => `1.${41 + index}`));
    expect(versions.length).toBeGreaterThanOrEqual(16);
  });

  it("has this many leaves in each version: all that are described and, before 1.46, those of HostConfig twice", () => {
    // The same numbers that reflection counts in the Engine's Go types, each list that is also taken as one text twice.
    expect(
      Object.fromEntries(versions.map((version) => [version, inRange(version).length])),
    ).toEqual({
      "1.41": 248,
      "1.42": 252,
      "1.43": 254,
      "1.44": 260,
      "1.45": 262,
      "1.46": 156,
      "1.47": 156,
      "1.48": 158,
      "1.49": 158,
      "1.50": 158,
      "1.51": 158,
      "1.52": 150,
      "1.53": 150,
      "1.54": 150,
      "1.55": 150,
      "1.56": 151,
    });
  });

  it("gives each leaf a range of its own, a known type, and a kind for each star of its pointer", () => {
    const wrong = leaves.filter(
      ({ pointer, type, stars = [], since, until }) =>
        !isLeafType(type) ||
        !versions.includes(since) ||
        versions.indexOf(until) < versions.indexOf(since) ||
        stars.length !== pathOf(pointer).filter((name) => name === "*").length ||
        !/^(\/(\*|[A-Za-z0-9]+))+$/.test(pointer),
    );
    expect(wrong).toEqual([]);
    const places = versions.flatMap((version) =>
      inRange(version).map(({ pointer, type }) => `${version} ${pointer} ${type}`),
    );
    expect(places.length).toBe(new Set(places).size);
  });

  it("holds what is known to be dangerous, in the versions that have it", () => {
    const known: Readonly<Record<string, string>> = {
      "/Image": "1.41-1.56",
      "/User": "1.41-1.56",
      "/Env/*": "1.41-1.56",
      "/Entrypoint/*": "1.41-1.56",
      "/Healthcheck/Test/*": "1.41-1.56",
      "/Labels/*": "1.41-1.56",
      "/Volumes/*": "1.41-1.56",
      "/MacAddress": "1.41-1.51",
      "/HostConfig/Privileged": "1.41-1.56",
      "/HostConfig/Binds/*": "1.41-1.56",
      "/HostConfig/VolumesFrom/*": "1.41-1.56",
      "/HostConfig/Mounts/*/Source": "1.41-1.56",
      "/HostConfig/Mounts/*/VolumeOptions/DriverConfig/Options/*": "1.41-1.56",
      "/HostConfig/Mounts/*/VolumeOptions/Subpath": "1.45-1.56",
      "/HostConfig/Mounts/*/ImageOptions/Subpath": "1.48-1.56",
      "/HostConfig/Mounts/*/TmpfsOptions/Options/*/*": "1.46-1.56",
      "/HostConfig/Mounts/*/BindOptions/ReadOnlyNonRecursive": "1.44-1.56",
      "/HostConfig/Mounts/*/ClusterOptions": "1.42-1.56",
      "/HostConfig/Devices/*/PathOnHost": "1.41-1.56",
      "/HostConfig/DeviceRequests/*/Capabilities/*/*": "1.41-1.56",
      "/HostConfig/DeviceCgroupRules/*": "1.41-1.56",
      "/HostConfig/CapAdd/*": "1.41-1.56",
      "/HostConfig/CapAdd": "1.41-1.51",
      "/HostConfig/SecurityOpt/*": "1.41-1.56",
      "/HostConfig/MaskedPaths/*": "1.41-1.56",
      "/HostConfig/ReadonlyPaths/*": "1.41-1.56",
      "/HostConfig/NetworkMode": "1.41-1.56",
      "/HostConfig/PidMode": "1.41-1.56",
      "/HostConfig/IpcMode": "1.41-1.56",
      "/HostConfig/UTSMode": "1.41-1.56",
      "/HostConfig/UsernsMode": "1.41-1.56",
      "/HostConfig/CgroupnsMode": "1.41-1.56",
      "/HostConfig/Cgroup": "1.41-1.56",
      "/HostConfig/CgroupParent": "1.41-1.56",
      "/HostConfig/Runtime": "1.41-1.56",
      "/HostConfig/Annotations/*": "1.43-1.56",
      "/HostConfig/Sysctls/*": "1.41-1.56",
      "/HostConfig/LogConfig/Config/*": "1.41-1.56",
      "/HostConfig/PidsLimit": "1.41-1.56",
      "/HostConfig/PortBindings/*/*/HostPort": "1.41-1.56",
      "/HostConfig/Umask": "1.56-1.56",
      "/NetworkingConfig/EndpointsConfig/*/Aliases/*": "1.41-1.56",
      "/NetworkingConfig/EndpointsConfig/*/GwPriority": "1.48-1.56",
      "/Privileged": "1.41-1.45",
      "/Binds/*": "1.41-1.45",
      "/Mounts/*/VolumeOptions/DriverConfig/Options/*": "1.41-1.45",
      "/Cpuset": "1.41-1.45",
    };
    const ranges = Object.keys(known).map((place) => [
      place,
      leaves.filter(({ pointer }) => pointer === place).map((at) => `${at.since}-${at.until}`)[0],
    ]);
    expect(Object.fromEntries(ranges)).toEqual(known);
  });
});

describe("the probes of container creates", () => {
  it("T5: every leaf of every version has a probe that says something at the leaf", () => {
    const without = leaves.flatMap((leaf) =>
      versionsOf(leaf)
        .filter((version) => {
          const probes = probesOf(leaf).filter((probe) => probe.version === version);
          const speaks = ({ body }: { body: CreateBody }) =>
            valuesAt(body, pathOf(leaf.pointer)).some((value) => !isZero(value));
          return !probes.some(speaks);
        })
        .map((version) => `${version} ${leaf.pointer}`),
    );
    expect(without).toEqual([]);
  });

  it("T5: a leaf of a type that nobody has thought about has none", () => {
    const leaf: SchemaLeaf = { pointer: "/New", type: "file", since: "1.41", until: "1.41" };
    expect(probesOf(leaf)).toEqual([]);
    expect(probesOf({ ...leaf, type: "string" })).toEqual([
      { pointer: "/New", version: "1.41", body: { New: "probe" } },
    ]);
  });

  it("T5: every array and every map has a probe with an entry that says nothing", () => {
    const bodies = new Set(allProbes().map(({ version, body }) => version + canonicalJson(body)));
    for (const body of [
      '{"HostConfig":{"Mounts":[{}]}}',
      '{"HostConfig":{"PortBindings":{"22/tcp":[{}]}}}',
      '{"HostConfig":{"PortBindings":{"22/tcp":[]}}}',
      '{"HostConfig":{"PortBindings":{"22/tcp":null}}}',
      '{"HostConfig":{"DeviceRequests":[{"Capabilities":[[]]}]}}',
      '{"NetworkingConfig":{"EndpointsConfig":{"host":{}}}}',
      '{"NetworkingConfig":{"EndpointsConfig":{"host":null}}}',
      '{"HostConfig":{"ConsoleSize":[0]}}',
      '{"Env":[""]}',
    ]) {
      expect([body, bodies.has(`1.41${body}`)]).toEqual([body, true]);
    }
    const stars = leaves.flatMap(({ pointer }) =>
      [...pointer.matchAll(/\*/g)].map(({ index }) => pointer.slice(0, index + 1)),
    );
    const probed = new Set(allProbes().map(({ pointer }) => pointer));
    expect(stars.filter((pointer) => !probed.has(pointer))).toEqual([]);
  });

  it("T5: the known ways out of a container are among them, in both places that old Engines read", () => {
    const bodies = new Set(allProbes().map(({ version, body }) => version + canonicalJson(body)));
    const ways = [
      '{"Binds":["/:/host"]}',
      '{"Privileged":true}',
      '{"PidMode":"host"}',
      '{"CapAdd":["ALL"]}',
      '{"CapAdd":"ALL"}',
      '{"SecurityOpt":["seccomp=unconfined"]}',
      '{"MaskedPaths":[]}',
      '{"ReadonlyPaths":[]}',
      '{"CgroupnsMode":"host"}',
      '{"PidsLimit":-1}',
    ];
    expect(ways.filter((way) => !bodies.has(`1.56{"HostConfig":${way}}`))).toEqual([
      // From Engine 29 on, a list must be written as one.
      '{"CapAdd":"ALL"}',
    ]);
    expect(ways.filter((way) => !bodies.has(`1.45{"HostConfig":${way}}`))).toEqual([]);
    expect(ways.filter((way) => !bodies.has(`1.45${way}`))).toEqual([]);
    expect(ways.filter((way) => bodies.has(`1.46${way}`))).toEqual([]);
  });

  it("T5: each probe is a body that the strict reader takes, so that it is refused for what it asks", () => {
    const wrong = allProbes().filter(({ body }) => {
      const text = canonicalJson(body);
      return canonicalJson(parseStrict(Buffer.from(text))) !== text;
    });
    expect(wrong).toEqual([]);
  });

  it("T5: each probe asks for something that no instance gets, but for the flags that all of them have", () => {
    const { HostConfig, ...rest } = agentContainer(declarationOf());
    const rendered = {
      ...rest,
      HostConfig: { ...HostConfig, RestartPolicy: { Name: "no" } },
    } as unknown as CreateBody;
    const same = allProbes().filter(
      ({ body }) => canonicalJson(merge(rendered, body)) === canonicalJson(rendered),
    );
    expect(same.filter((probe) => !probe.asRendered)).toEqual([]);
    expect(new Set(same.map(({ pointer }) => pointer))).toEqual(alwaysSet);
  });

  it("what is known of a place is known of one that is there", () => {
    const places = new Set(leaves.map(({ pointer }) => pointer));
    const maps = new Set(
      leaves.flatMap(({ pointer, stars = [] }) =>
        [...pointer.matchAll(/\*/g)]
          .filter((_, star) => stars[star] === "map")
          .map(({ index }) => pointer.slice(0, index + 1)),
      ),
    );
    const written = [...dangers.keys(), ...usualValues.keys(), ...alwaysSet];
    expect(written.filter((pointer) => !places.has(pointer))).toEqual([]);
    expect([...keysOf.keys()].filter((pointer) => !maps.has(pointer))).toEqual([]);
  });
});

describe("merge", () => {
  it("joins objects, appends arrays, replaces all else, and leaves what it is given alone", () => {
    const base = { Image: "a", Cmd: ["x"], HostConfig: { Binds: ["a:/a"], Init: true } };
    const before = canonicalJson(base);
    expect(
      merge(base, { Image: "b", Cmd: ["y"], HostConfig: { Binds: ["/:/b"], CapAdd: ["ALL"] } }),
    ).toEqual({
      Image: "b",
      Cmd: ["x", "y"],
      HostConfig: { Binds: ["a:/a", "/:/b"], Init: true, CapAdd: ["ALL"] },
    });
    expect(merge(base, { Cmd: "y", HostConfig: null })).toEqual({
      Image: "a",
      Cmd: "y",
      HostConfig: null,
    });
    expect(canonicalJson(base)).toBe(before);
  });
});

describe("namesLeaf", () => {
  it("takes a pointer for a leaf, its member or what is below it, and for no other", () => {
    const source = "/HostConfig/Mounts/*/Source";
    const told = ["/HostConfig/Mounts", "/HostConfig/Mounts/0", "/HostConfig/Mounts/3/Source"];
    expect(told.filter((pointer) => !namesLeaf(pointer, source))).toEqual([]);
    const other = ["", "/", "/HostConfig", "/HostConfig/Binds", "/HostConfig/Mounts/0/Target"];
    expect([...other, "/Mounts"].filter((pointer) => namesLeaf(pointer, source))).toEqual([]);
    expect(namesLeaf("/Healthcheck", "/Healthcheck/Test/*")).toBe(true);
    expect(namesLeaf("/HostConfig/CapAdd/1", "/HostConfig/CapAdd")).toBe(true);
    expect(namesLeaf("/ExposedPorts/22~1tcp", "/ExposedPorts/*")).toBe(true);
  });
});
