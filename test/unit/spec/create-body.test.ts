import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defineAgent, toDeclaration } from "../../../agents/define.ts";
import { agentContainer, type ContainerSpec, serviceContainer } from "../../../spec/container.ts";
import { createBody } from "../../../spec/create-body.ts";
import { templatesOf } from "../../../spec/instance.ts";
import { serviceLimits } from "../../../spec/presets.ts";
import { agentInput } from "../../support/arbitraries.ts";

const containers = agentInput().map((input): ContainerSpec[] => {
  const declaration = toDeclaration(defineAgent(input), {
    stack: "dev",
    images: (name) => `localhost/berth/${name}:0123456789ab`,
  });
  return [agentContainer(declaration), ...templatesOf(declaration).map((one) => one.container)];
});
const service = (more: object = {}) =>
  serviceContainer({
    stack: "dev",
    service: "postgres",
    image: "localhost/berth/postgres:0123456789ab",
    limits: serviceLimits,
    user: "10002:10002",
    env: { A: "1" },
    binds: ["b:/b"],
    networks: [],
    healthcheck: {
      test: ["CMD", "true"],
      intervalMs: 15_000,
      timeoutMs: 1_500,
      startPeriodMs: 30_000,
      retries: 3,
    },
    ...more,
  });
type Body = Record<string, unknown> & { HostConfig: Record<string, unknown> };
const body = (spec: ContainerSpec) => createBody(spec) as Body;

describe("the create body of a rendering", () => {
  it("T8: is plain JSON and a copy: equal renderings give equal bodies, and no change of one reaches the other", () =>
    fc.assert(
      fc.property(containers, (specs) => {
        for (const spec of specs) {
          const made = body(spec);
          expect(JSON.parse(JSON.stringify(made))).toEqual(made);
          expect(body(structuredClone(spec))).toEqual(made);
          (made.Env as string[]).push("EVIL=1");
          (made.HostConfig.Binds as string[]).push("/:/host");
          (made.HostConfig.CapDrop as string[]).pop();
          expect(JSON.stringify(spec)).not.toMatch(/EVIL|\/host/);
          expect(spec.HostConfig.CapDrop).toEqual(["ALL"]);
        }
      }),
    ));

  it("holds every member of the rendering and no other, so that nothing is the image's or the daemon's choice", () =>
    fc.assert(
      fc.property(containers, (specs) => {
        for (const spec of specs) {
          const { HostConfig, NetworkingConfig, ...made } = body(spec);
          expect(Object.keys(made).sort()).toEqual([
            "Entrypoint",
            "Env",
            "Healthcheck",
            "Image",
            "Labels",
            "StopSignal",
            "StopTimeout",
            "User",
            "WorkingDir",
          ]);
          expect(made).toMatchObject({ Image: spec.Image, User: spec.User, Env: spec.Env });
          expect(made.Healthcheck).toEqual({ Test: ["NONE"] });
          expect(Object.keys(HostConfig).sort()).toEqual(
            [
              ..."Binds NetworkMode RestartPolicy CapDrop SecurityOpt ReadonlyRootfs Tmpfs Memory".split(
                " ",
              ),
              ..."MemorySwap NanoCpus PidsLimit ShmSize Ulimits Init IpcMode LogConfig".split(" "),
            ].sort(),
          );
          expect(HostConfig).toMatchObject({
            Memory: spec.HostConfig.Memory,
            MemorySwap: spec.HostConfig.Memory,
            PidsLimit: spec.HostConfig.PidsLimit,
            Ulimits: [{ Name: "core", Soft: 0, Hard: 0 }],
            LogConfig: { Type: "json-file", Config: { "max-file": "3", "max-size": "10m" } },
          });
          expect(NetworkingConfig === undefined).toBe(HostConfig.NetworkMode === "none");
        }
      }),
    ));

  it("writes durations in nanoseconds, ports as exposed and bound, aliases for each network", () => {
    const made = body(
      service({
        command: ["serve"],
        networks: ["berth-dev-mattermost-net"],
        ports: [{ hostIp: "127.0.0.1", hostPort: 8065, containerPort: 80 }],
        capabilities: ["CAP_SETUID", "CAP_CHOWN"],
      }),
    );
    expect(made).toMatchObject({
      Cmd: ["serve"],
      Healthcheck: {
        Test: ["CMD", "true"],
        Interval: 15_000_000_000,
        Timeout: 1_500_000_000,
        StartPeriod: 30_000_000_000,
        Retries: 3,
      },
      ExposedPorts: { "80/tcp": {} },
      HostConfig: {
        CapAdd: ["CAP_CHOWN", "CAP_SETUID"],
        NetworkMode: "berth-dev-mattermost-net",
        PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8065" }] },
      },
      NetworkingConfig: {
        EndpointsConfig: { "berth-dev-mattermost-net": { Aliases: ["postgres"] } },
      },
    });
  });

  it("leaves out what is empty: a zero would be a value of its own to the Engine", () => {
    const made = body(service());
    for (const member of ["Cmd", "Entrypoint", "ExposedPorts", "NetworkingConfig", "WorkingDir"])
      expect(made).not.toHaveProperty(member);
    for (const member of ["CapAdd", "PortBindings"])
      expect(made.HostConfig).not.toHaveProperty(member);
  });
});
