import * as docker from "@pulumi/docker";
import type * as pulumi from "@pulumi/pulumi";
import type { ContainerSpec, Healthcheck } from "../../spec/container.ts";
import { containerArgs, containerOptions, type Run } from "./container-args.ts";

/** Makes a rendered container. */
export function createContainer(
  name: string,
  spec: ContainerSpec,
  run: Run,
  opts: pulumi.CustomResourceOptions,
): docker.Container {
  return new docker.Container(name, containerArgs(spec, run), containerOptions(opts));
}

/** The check of every service of ours: it answers on a socket in its own `/tmp`. */
export const ownHealthcheck: Healthcheck = healthcheck([
  "/usr/local/bin/node",
  "/opt/berth/health.mjs",
]);

/** A check by a command in the container, every 15 s unless said otherwise. */
export function healthcheck(
  command: readonly string[],
  timing: { readonly intervalMs?: number; readonly startPeriodMs?: number } = {},
): Healthcheck {
  return {
    test: ["CMD", ...command],
    intervalMs: timing.intervalMs ?? 15_000,
    timeoutMs: 10_000,
    startPeriodMs: timing.startPeriodMs ?? 30_000,
    retries: 3,
  };
}
