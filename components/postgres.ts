import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { serviceContainer } from "../spec/container.ts";
import { Path, Service, Uid } from "../spec/names.ts";
import { serviceLimits } from "../spec/presets.ts";
import { MiB } from "../spec/units.ts";
import { createContainer, healthcheck } from "./internal/container.ts";
import { dataVolume, type SharedVolume, socketVolume } from "./internal/volumes.ts";

export interface PostgresArgs {
  readonly stack: string;
  readonly image: string;
  /** Keep the data whatever happens to the stack: protected from delete, retained on the host. */
  readonly protectData: boolean;
}

/** Postgres without a network: reached by its socket, where the uid of the caller is the password. */
export class Postgres extends pulumi.ComponentResource {
  /** Wait for it: it is healthy. */
  readonly container: docker.Container;
  /** Volume in RAM that holds the socket. */
  readonly socket: SharedVolume;

  constructor(name: string, args: PostgresArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:index:Postgres", name, {}, opts);
    const { stack } = args;
    const data = dataVolume(
      {
        stack,
        component: Service.postgres,
        part: `${name}-data`,
        retain: args.protectData,
        protect: args.protectData,
      },
      this,
    );
    this.socket = socketVolume(
      { stack, component: Service.postgres, part: `${name}-run`, uid: Uid.postgres, mode: "0755" },
      this,
    );
    this.container = createContainer(
      name,
      serviceContainer({
        stack,
        service: Service.postgres,
        image: args.image,
        // One process a connection: the server and Mattermost's 100 connections at most.
        limits: { ...serviceLimits, memoryBytes: 512 * MiB, pids: 256, stopGraceSeconds: 60 },
        user: `${Uid.postgres}:${Uid.postgres}`,
        env: {},
        binds: [`${data.name}:/var/lib/postgresql`, `${this.socket.name}:${Path.postgresRun}`],
        networks: [],
        healthcheck: healthcheck(["pg_isready", "-q", "-h", Path.postgresRun], {
          intervalMs: 3_000,
          startPeriodMs: 120_000,
        }),
      }),
      "healthy",
      [data, this.socket],
      { parent: this },
    );
    this.registerOutputs({ container: this.container.name });
  }
}
