import * as docker from "@pulumi/docker";
import type * as pulumi from "@pulumi/pulumi";
import type { ContainerSpec, Healthcheck } from "../../spec/container.ts";
import { containerArgs, containerOptions, type Run } from "./container-args.ts";

/** A volume or network that a container uses: its Engine name, a constant, and its resource. */
export interface Used {
  readonly name: string;
  readonly resource: { readonly name: pulumi.Output<string> };
}

/**
 * Makes a rendered container. The names of what it uses come from the resources: it waits for them, and where one
 * must be replaced, which the Engine refuses while it is in use, the container goes first and comes back after.
 */
export function createContainer(
  name: string,
  spec: ContainerSpec,
  run: Run,
  uses: readonly Used[],
  opts: pulumi.CustomResourceOptions,
): docker.Container {
  const names = new Map(uses.map((used) => [used.name, used.resource.name]));
  const args = containerArgs(spec, run, (constant) => names.get(constant) ?? constant);
  return new docker.Container(name, args, containerOptions(opts));
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
