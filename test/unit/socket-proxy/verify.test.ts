import { describe, expect, it } from "vitest";
import { differences, type Evidence, namedVolumes } from "../../../services/socket-proxy/verify.ts";
import { agentContainer } from "../../../spec/container.ts";
import { Label } from "../../../spec/names.ts";
import { declarationOf, imageOf, inspectOf } from "./engine-double.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests reach into answers of the Engine to spoil them
type Loose = any;
interface Case {
  container: Loose;
  image: Loose;
  volumes: Map<string, Loose>;
  networks: Map<string, Loose>;
  host: { defaultRuntime: string; cgroupVersion: string; swapLimit: boolean };
}

const id = "b".repeat(64);

function evidenceOf(network: "sealed" | "mattermost" | "none" = "sealed") {
  const spec = agentContainer(declarationOf({ network }));
  const labels = { [Label.stack]: "dev" };
  const evidence: Case = {
    container: inspectOf(spec, id),
    image: imageOf(),
    volumes: new Map(
      namedVolumes(spec).map((name) => [
        name,
        { Name: name, Driver: "local", Options: null, Labels: labels },
      ]),
    ),
    networks: new Map(
      Object.keys(spec.Networks).map((name) => [
        name,
        { Name: name, Id: "e".repeat(64), Internal: true, Labels: labels },
      ]),
    ),
    host: { defaultRuntime: "runc", cgroupVersion: "2", swapLimit: true },
  };
  return { spec, evidence };
}

function differencesAfter(
  spoil: (evidence: Case) => void,
  network: "sealed" | "mattermost" | "none" = "sealed",
): string[] {
  const { spec, evidence } = evidenceOf(network);
  spoil(evidence);
  return differences(spec, "dev", evidence as Evidence);
}

const mattermostNet = "berth-dev-mattermost-net";

describe("a container as declared", () => {
  it.each(["sealed", "mattermost", "none"] as const)("has no difference (%s)", (network) => {
    expect(differencesAfter(() => undefined, network)).toEqual([]);
  });

  const harmless: [string, (evidence: Case) => void][] = [
    [
      "swap accounting is missing",
      ({ container, host }) => {
        container.HostConfig.MemorySwap = -1;
        host.swapLimit = false;
      },
    ],
    [
      "cgroup v1 shares its namespace",
      ({ container, host }) => {
        container.HostConfig.CgroupnsMode = "host";
        host.cgroupVersion = "1";
      },
    ],
    [
      "the daemon shows ulimits of its own beside ours, and it has run",
      ({ container }) => {
        container.State.StartedAt = "2026-01-01T00:00:00Z";
        container.HostConfig.Ulimits.push({ Name: "nofile", Soft: 1, Hard: 1 });
      },
    ],
    [
      "the image asks for an anonymous volume",
      ({ container, image }) => {
        image.Config.Volumes = { "/cache": {} };
        container.Mounts.push({
          Type: "volume",
          Name: "f".repeat(64),
          Destination: "/cache",
          Driver: "local",
          RW: true,
        });
      },
    ],
    [
      "the image exposes a port",
      ({ container, image }) => {
        image.Config.ExposedPorts = { "80/tcp": {} };
        container.Config.ExposedPorts = { "80/tcp": {} };
      },
    ],
  ];
  it.each(harmless)("may differ in nothing that matters: %s", (_title, change) => {
    expect(differencesAfter(change)).toEqual([]);
  });

  it("may have been joined to its network after the create, as the docker provider does", () => {
    const after = differencesAfter(({ container }) => {
      container.HostConfig.NetworkMode = "default";
    }, "mattermost");
    expect(after).toEqual([]);
  });
});

describe("each difference is named", () => {
  const cases: [string, (evidence: Case) => void][] = [
    ["Image", ({ container }) => (container.Image = `sha256:${"d".repeat(64)}`)],
    ["Image", ({ image, container }) => (image.Id = container.Image = "")],
    ["Name", ({ container }) => (container.Name = "/berth-dev-other")],
    ["Path", ({ container }) => (container.Path = "/bin/sh")],
    ["Args", ({ container }) => container.Args.push("--inspect")],
    ["AppArmorProfile", ({ container }) => (container.AppArmorProfile = "unconfined")],
    ["HostConfig.Privileged", ({ container }) => (container.HostConfig.Privileged = true)],
    ["HostConfig.CapAdd", ({ container }) => (container.HostConfig.CapAdd = ["CAP_SYS_ADMIN"])],
    ["HostConfig.CapDrop", ({ container }) => (container.HostConfig.CapDrop = null)],
    ["HostConfig.Binds", ({ container }) => container.HostConfig.Binds.push("/:/host")],
    ["HostConfig.Binds", ({ container }) => (container.HostConfig.Binds[0] += ",z")],
    ["HostConfig.Binds", ({ container }) => container.HostConfig.Binds.pop()],
    ["HostConfig.Mounts", ({ container }) => (container.HostConfig.Mounts = [{ Type: "bind" }])],
    ["HostConfig.VolumesFrom", ({ container }) => (container.HostConfig.VolumesFrom = ["x"])],
    ["HostConfig.Devices", ({ container }) => (container.HostConfig.Devices = [{}])],
    ["HostConfig.DeviceRequests", ({ container }) => (container.HostConfig.DeviceRequests = [{}])],
    [
      "HostConfig.DeviceCgroupRules",
      ({ container }) => (container.HostConfig.DeviceCgroupRules = ["a"]),
    ],
    [
      "HostConfig.SecurityOpt",
      ({ container }) => container.HostConfig.SecurityOpt.push("seccomp=unconfined"),
    ],
    ["HostConfig.SecurityOpt", ({ container }) => (container.HostConfig.SecurityOpt = null)],
    ["HostConfig.ReadonlyRootfs", ({ container }) => (container.HostConfig.ReadonlyRootfs = false)],
    ["HostConfig.Tmpfs", ({ container }) => (container.HostConfig.Tmpfs["/x"] = "")],
    ["HostConfig.Tmpfs", ({ container }) => (container.HostConfig.Tmpfs["/tmp"] = "exec")],
    ["HostConfig.NetworkMode", ({ container }) => (container.HostConfig.NetworkMode = "host")],
    ["HostConfig.NetworkMode", ({ container }) => (container.HostConfig.NetworkMode = "bridge")],
    ["HostConfig.PidMode", ({ container }) => (container.HostConfig.PidMode = "host")],
    ["HostConfig.IpcMode", ({ container }) => (container.HostConfig.IpcMode = "host")],
    ["HostConfig.UTSMode", ({ container }) => (container.HostConfig.UTSMode = "host")],
    ["HostConfig.UsernsMode", ({ container }) => (container.HostConfig.UsernsMode = "host")],
    ["HostConfig.CgroupnsMode", ({ container }) => (container.HostConfig.CgroupnsMode = "host")],
    ["HostConfig.CgroupParent", ({ container }) => (container.HostConfig.CgroupParent = "/x")],
    ["HostConfig.Runtime", ({ container }) => (container.HostConfig.Runtime = "other")],
    ["HostConfig.Sysctls", ({ container }) => (container.HostConfig.Sysctls = { a: "1" })],
    ["HostConfig.Ulimits", ({ container }) => (container.HostConfig.Ulimits = [{}])],
    ["HostConfig.Ulimits", ({ container }) => (container.HostConfig.Ulimits = null)],
    ["HostConfig.Ulimits", ({ container }) => (container.HostConfig.Ulimits[0].Soft = -1)],
    ["HostConfig.Ulimits", ({ container }) => (container.HostConfig.Ulimits[0].Hard = 1)],
    ["HostConfig.Ulimits", ({ container }) => container.HostConfig.Ulimits.push({})],
    ["HostConfig.GroupAdd", ({ container }) => (container.HostConfig.GroupAdd = ["0"])],
    ["HostConfig.ExtraHosts", ({ container }) => (container.HostConfig.ExtraHosts = ["a:1.2.3.4"])],
    ["HostConfig.Dns", ({ container }) => (container.HostConfig.Dns = ["1.2.3.4"])],
    ["HostConfig.Links", ({ container }) => (container.HostConfig.Links = ["/a:/b"])],
    [
      "HostConfig.PortBindings",
      ({ container }) => (container.HostConfig.PortBindings = { "1/tcp": [] }),
    ],
    [
      "HostConfig.PublishAllPorts",
      ({ container }) => (container.HostConfig.PublishAllPorts = true),
    ],
    ["HostConfig.AutoRemove", ({ container }) => (container.HostConfig.AutoRemove = true)],
    ["HostConfig.OomKillDisable", ({ container }) => (container.HostConfig.OomKillDisable = true)],
    ["HostConfig.OomScoreAdj", ({ container }) => (container.HostConfig.OomScoreAdj = -1000)],
    ["HostConfig.Memory", ({ container }) => (container.HostConfig.Memory = 0)],
    ["HostConfig.MemorySwap", ({ container }) => (container.HostConfig.MemorySwap = -1)],
    ["HostConfig.NanoCpus", ({ container }) => (container.HostConfig.NanoCpus += 1)],
    ["HostConfig.CpusetCpus", ({ container }) => (container.HostConfig.CpusetCpus = "0")],
    ["HostConfig.ShmSize", ({ container }) => (container.HostConfig.ShmSize *= 2)],
    [
      "HostConfig.RestartPolicy",
      ({ container }) => (container.HostConfig.RestartPolicy.Name = "always"),
    ],
    [
      "HostConfig.RestartPolicy",
      ({ container }) => (container.HostConfig.RestartPolicy.MaximumRetryCount = 1),
    ],
    ["HostConfig.LogConfig", ({ container }) => (container.HostConfig.LogConfig.Type = "syslog")],
    ["HostConfig.Init", ({ container }) => (container.HostConfig.Init = false)],
    ["HostConfig.MaskedPaths", ({ container }) => (container.HostConfig.MaskedPaths = [])],
    ["HostConfig.MaskedPaths", ({ container }) => (container.HostConfig.MaskedPaths = null)],
    ["HostConfig.ReadonlyPaths", ({ container }) => container.HostConfig.ReadonlyPaths.pop()],
    ["HostConfig.Annotations", ({ container }) => (container.HostConfig.Annotations = { a: "b" })],
    [
      "HostConfig.SomethingOfApi199",
      ({ container }) => (container.HostConfig.SomethingOfApi199 = [0]),
    ],
    ["Config.User", ({ container }) => (container.Config.User = "0:0")],
    ["Config.User", ({ container }) => (container.Config.User = "")],
    ["Config.Env", ({ container }) => container.Config.Env.push("LD_PRELOAD=/x")],
    ["Config.Env", ({ container }) => container.Config.Env.pop()],
    ["Config.Env", ({ container }) => container.Config.Env.push(container.Config.Env[0])],
    ["Config.Cmd", ({ container }) => (container.Config.Cmd = ["x"])],
    ["Config.Entrypoint", ({ container }) => (container.Config.Entrypoint = ["/bin/sh"])],
    ["Config.WorkingDir", ({ container }) => (container.Config.WorkingDir = "/")],
    ["Config.Hostname", ({ container }) => (container.Config.Hostname = "mattermost")],
    ["Config.Domainname", ({ container }) => (container.Config.Domainname = "x")],
    ["Config.Tty", ({ container }) => (container.Config.Tty = true)],
    ["Config.OpenStdin", ({ container }) => (container.Config.OpenStdin = true)],
    ["Config.Healthcheck", ({ container }) => (container.Config.Healthcheck = null)],
    [
      "Config.Healthcheck",
      ({ container }) => (container.Config.Healthcheck = { Test: ["CMD", "x"] }),
    ],
    ["Config.StopSignal", ({ container }) => (container.Config.StopSignal = "SIGKILL")],
    ["Config.StopTimeout", ({ container }) => (container.Config.StopTimeout = 1)],
    ["Config.ExposedPorts", ({ container }) => (container.Config.ExposedPorts = { "1/tcp": {} })],
    ["Config.Volumes", ({ container }) => (container.Config.Volumes["/x"] = {})],
    ["Config.MacAddress", ({ container }) => (container.Config.MacAddress = "02:00:00:00:00:01")],
    ["Config.Labels", ({ container }) => (container.Config.Labels["traefik.enable"] = "true")],
    ["Config.Labels", ({ container }) => (container.Config.Labels["berth.config"] = "0")],
    ["Config.Labels", ({ container }) => (container.Config.Labels["berth.declaration"] = "{}")],
    ["Config.Labels", ({ container }) => delete container.Config.Labels["berth.pids"]],
    ["Image.Labels", ({ image }) => (image.Config.Labels["berth.stack"] = "dev")],
    ["Mounts", ({ container }) => (container.Mounts[0].Source = "/")],
    ["Mounts", ({ container }) => (container.Mounts[0].RW = true)],
    ["Mounts", ({ container }) => (container.Mounts[0].Propagation = "rshared")],
    ["Mounts", ({ container }) => (container.Mounts[1].Driver = "other")],
    ["Mounts", ({ container }) => (container.Mounts[1].Name = "berth-dev-data-workspace")],
    [
      "Mounts",
      ({ container }) => container.Mounts.push({ Type: "bind", Source: "/", Destination: "/h" }),
    ],
    ["Mounts", ({ container }) => container.Mounts.push(container.Mounts[0])],
    ["Mounts", ({ container }) => container.Mounts.pop()],
    [
      "NetworkSettings.Networks",
      ({ container }) => (container.NetworkSettings.Networks.bridge = {}),
    ],
    [
      "Volumes",
      ({ volumes }) => (volumes.values().next().value.Options = { o: "bind", device: "/" }),
    ],
    ["Volumes", ({ volumes }) => (volumes.values().next().value.Driver = "nfs")],
    ["Volumes", ({ volumes }) => (volumes.values().next().value.Labels = null)],
    ["Volumes", ({ volumes }) => volumes.clear()],
  ];
  it.each(cases)("%s (case %#)", (field, spoil) => {
    expect(differencesAfter((evidence) => void spoil(evidence))).toContain(field);
  });

  const onNetwork: [string, (evidence: Case) => void][] = [
    ["HostConfig.NetworkMode", ({ container }) => (container.HostConfig.NetworkMode = "host")],
    [
      "HostConfig.NetworkMode",
      ({ container }) => (container.HostConfig.NetworkMode = "container:x"),
    ],
    [
      "NetworkSettings.Networks",
      ({ container }) => (container.NetworkSettings.Networks.bridge = {}),
    ],
    ["NetworkSettings.Networks", ({ container }) => (container.NetworkSettings.Networks = {})],
    [
      "NetworkSettings.Networks",
      ({ container }) =>
        container.NetworkSettings.Networks[mattermostNet].Aliases.push("mattermost"),
    ],
    [
      "NetworkSettings.Networks",
      ({ container }) => (container.NetworkSettings.Networks[mattermostNet].Aliases = null),
    ],
    [
      "NetworkSettings.Networks",
      ({ container }) => (container.NetworkSettings.Networks[mattermostNet].Links = ["a"]),
    ],
    [
      "NetworkSettings.Networks",
      ({ container }) =>
        (container.NetworkSettings.Networks[mattermostNet].IPAMConfig = { IPv4Address: "1.2.3.4" }),
    ],
    ["Networks", ({ networks }) => (networks.get(mattermostNet).Internal = false)],
    ["Networks", ({ networks }) => (networks.get(mattermostNet).Labels = {})],
    [
      "Networks",
      ({ container }) =>
        (container.NetworkSettings.Networks[mattermostNet].NetworkID = "f".repeat(64)),
    ],
    ["Networks", ({ networks }) => networks.clear()],
  ];
  it.each(onNetwork)("%s of an agent on mattermost-net (case %#)", (field, spoil) => {
    expect(differencesAfter((evidence) => void spoil(evidence), "mattermost")).toContain(field);
  });

  it("a member with a strange name is named without repeating it", () => {
    const after = differencesAfter(({ container }) => (container.HostConfig["a\nb"] = 1));
    expect(after).toEqual(["HostConfig.?"]);
  });
});
