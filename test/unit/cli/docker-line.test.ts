import { describe, expect, it } from "vitest";
import { isDockerLine, readDockerLine, requestOf } from "../../../cli/docker-line.ts";

/** What the docker command writes where nothing is said. */
const unsaid = {
  NetworkMode: "default",
  RestartPolicy: { Name: "no" },
  ConsoleSize: [0, 0],
  MemorySwappiness: -1,
};
const streams = (attached: boolean) => ({
  AttachStdin: false,
  AttachStdout: attached,
  AttachStderr: attached,
  StdinOnce: false,
});
const hostOf = (flags: string) =>
  readDockerLine(`docker run -d ${flags} img`).body.HostConfig as Record<string, unknown>;
const configOf = (flags: string) => readDockerLine(`docker run -d ${flags} img`).body;

describe("a docker line", () => {
  it("without flags says what the docker command says, attached unless -d", () => {
    expect(readDockerLine("docker run -d img sh -c 'a b'").body).toEqual({
      Image: "img",
      Cmd: ["sh", "-c", "a b"],
      ...streams(false),
      HostConfig: unsaid,
    });
    expect(readDockerLine("docker run img").body).toMatchObject(streams(true));
    expect(readDockerLine("docker container create img").body).toMatchObject(streams(true));
    expect(readDockerLine("docker run -a stdout img").body).toMatchObject({
      AttachStdout: true,
      AttachStderr: false,
    });
    expect(readDockerLine("docker run -i img").body).toMatchObject({
      OpenStdin: true,
      AttachStdin: true,
      StdinOnce: true,
    });
  });

  it("becomes a request with its name in the query and the length of its body", () => {
    const text = requestOf(readDockerLine("docker run -d --name a.b img")).toString();
    const [head = "", body = ""] = text.split("\r\n\r\n");
    expect(head).toContain("POST /v1.41/containers/create?name=a.b HTTP/1.1\r\nHost: docker\r\n");
    expect(head).toContain(`Content-Length: ${body.length}`);
    expect(JSON.parse(body)).toMatchObject({ Image: "img" });
  });

  it("is told from a raw request by its first word", () => {
    expect(["docker run x", "$ docker run x", "  sudo docker ps"].every(isDockerLine)).toBe(true);
    expect(isDockerLine("GET /docker HTTP/1.1")).toBe(false);
  });

  it("spells flags in every way that the docker command takes", () => {
    for (const flags of ["-e A=b", "-eA=b", "-e=A=b", "--env A=b", "--env=A=b", "-te A=b"]) {
      expect(configOf(flags).Env, flags).toEqual(["A=b"]);
    }
    expect(hostOf("--init=false")).toMatchObject({ Init: false });
    expect(hostOf("--privileged=true")).toMatchObject({ Privileged: true });
    expect(readDockerLine("docker run -d -- img --rm").body.Cmd).toEqual(["--rm"]);
  });

  for (const [flags, wanted] of [
    ["-m 512m --memory-swap=-1", { Memory: 536870912, MemorySwap: -1 }],
    ["--cpus 1.5 --pids-limit 100 --shm-size 64mb", { NanoCpus: 15e8, PidsLimit: 100 }],
    ["--cap-add sys_admin --cap-drop all", { CapAdd: ["CAP_SYS_ADMIN"], CapDrop: ["ALL"] }],
    ["--pid host --ipc host --uts host", { PidMode: "host", IpcMode: "host", UTSMode: "host" }],
    ["--userns host --cgroupns host", { UsernsMode: "host", CgroupnsMode: "host" }],
    ["-v /:/host:ro -v data:/d", { Binds: ["/:/host:ro", "data:/d"] }],
    ["--network host", { NetworkMode: "host" }],
    ["--net container:x", { NetworkMode: "container:x" }],
    ["--restart on-failure:3", { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 } }],
    ["--tmpfs /a:rw,size=1m --tmpfs /b", { Tmpfs: { "/a": "rw,size=1m", "/b": "" } }],
    ["--security-opt systempaths=unconfined", { MaskedPaths: [], ReadonlyPaths: [] }],
    ["--security-opt seccomp=unconfined", { SecurityOpt: ["seccomp=unconfined"] }],
    ["--log-driver syslog --log-opt a=b", { LogConfig: { Type: "syslog", Config: { a: "b" } } }],
    ["--sysctl net.x=1 --rm --read-only", { Sysctls: { "net.x": "1" }, AutoRemove: true }],
    ["--runtime kata --link a:b --dns 9.9.9.9", { Runtime: "kata", Links: ["a:b"] }],
    ["--group-add 0 --add-host a:1.2.3.4", { GroupAdd: ["0"], ExtraHosts: ["a:1.2.3.4"] }],
    ["--ulimit nofile=1:2", { Ulimits: [{ Name: "nofile", Hard: 2, Soft: 1 }] }],
    [
      "--device /dev/sda --device /dev/b:/dev/x:r",
      {
        Devices: [
          { PathOnHost: "/dev/sda", PathInContainer: "/dev/sda", CgroupPermissions: "rwm" },
          { PathOnHost: "/dev/b", PathInContainer: "/dev/x", CgroupPermissions: "r" },
        ],
      },
    ],
    [
      "-p 127.0.0.1:8080:80 -p 81/udp",
      {
        PortBindings: {
          "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8080" }],
          "81/udp": [{ HostIp: "", HostPort: "" }],
        },
      },
    ],
    [
      "--mount type=bind,src=/,dst=/host,readonly",
      { Mounts: [{ Type: "bind", Source: "/", Target: "/host", ReadOnly: true }] },
    ],
    [
      "--mount type=volume,src=v,dst=/y,volume-opt=type=nfs,volume-driver=local",
      {
        Mounts: [
          {
            Type: "volume",
            Source: "v",
            Target: "/y",
            VolumeOptions: { DriverConfig: { Name: "local", Options: { type: "nfs" } } },
          },
        ],
      },
    ],
  ] as const) {
    it(`${flags} is a member of HostConfig`, () => {
      expect(hostOf(flags)).toMatchObject(wanted);
    });
  }

  it("puts user, entry point, labels, health and ports beside HostConfig", () => {
    expect(
      configOf(
        "-u 0:0 --entrypoint sh -w /w -l a=b -l c -h hh --health-cmd true --health-interval 1m30s -p 80 -v /anon --stop-timeout 5",
      ),
    ).toMatchObject({
      User: "0:0",
      Entrypoint: ["sh"],
      WorkingDir: "/w",
      Labels: { a: "b", c: "" },
      Hostname: "hh",
      Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 90e9 },
      ExposedPorts: { "80/tcp": {} },
      Volumes: { "/anon": {} },
      StopTimeout: 5,
    });
    expect(configOf("--no-healthcheck").Healthcheck).toEqual({ Test: ["NONE"] });
    expect(configOf("--network foo --network-alias al --ip 1.2.3.4").NetworkingConfig).toEqual({
      EndpointsConfig: { foo: { Aliases: ["al"], IPAMConfig: { IPv4Address: "1.2.3.4" } } },
    });
  });

  for (const [line, words] of [
    ["docker run --frobnicate img", /the flag --frobnicate is not understood/],
    ["docker run -Z img", /the flag -Z is not understood/],
    ["docker run --nope --neither img", /--nope is not understood; .*--neither is not understood/],
    ["docker run --constructor x img", /--constructor is not understood/],
    ["docker run -m", /-m: its value is missing/],
    ["docker run -d", /it names no image/],
    ["docker rm -f x", /"docker rm" is not read here/],
    ["docker run -m lots img", /-m: must be a size/],
    ["docker run --cpus many img", /--cpus: must be a number/],
    ["docker run --privileged=maybe img", /--privileged: must be true or false/],
    ["docker run -e HOME img", /-e: say the value of HOME/],
    ["docker run --mount type=bind,nope=1 img", /--mount: "nope" in it is not understood/],
    ["docker run --security-opt seccomp=/x.json img", /profile's file is not read/],
    ["docker run $IMAGE", /"\$" means something to a shell/],
    ['docker run "`id`"', /"`" means something to a shell/],
    ["docker run img; rm -rf /", /";" means something to a shell/],
    ["docker run 'img", /a ' is not closed/],
    ["docker run img\ndocker rm x", /one line at a time/],
  ] as const) {
    it(`names what it does not understand: ${JSON.stringify(line)}`, () => {
      expect(() => readDockerLine(line)).toThrow(words);
    });
  }

  it("takes a line that goes on behind a backslash, and quotes as a shell does", () => {
    expect(
      readDockerLine(`docker run -d \\\n  -e 'A=$x' \\\n  -e "B=\\"q\\"" img`).body.Env,
    ).toEqual(["A=$x", 'B="q"']);
  });
});
