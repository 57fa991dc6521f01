import { setTimeout as sleep } from "node:timers/promises";
import { type EngineClient, engineJson } from "../cli/engine-api.ts";
import { imageReference } from "../images/catalog.ts";
import { percentile } from "./numbers.ts";
import { type Haproxy, startHaproxy } from "./proxy-haproxy.ts";
import {
  endProcess,
  type Memory,
  memoryOf,
  openStreams,
  type StreamRequest,
  untilPing,
} from "./proxy-process.ts";
import { client, type Stage, streamClients } from "./proxy-stage.ts";

/** Quiet time before memory is read. */
const quietMs = 4_000;
const startUps = 3;

/** Milliseconds until the first answer, the middle of three starts. */
export interface StartUp {
  /** Of the socket proxy's container, from the Engine's start call on, and how long that call itself takes. */
  readonly berth: number;
  readonly startCall: number;
  readonly haproxy: number;
}

/** What both use of memory at a moment, in bytes. */
export interface MemoryPair {
  readonly haproxy: Memory;
  readonly berth: Memory;
  /** What `docker stats` shows for the socket proxy: its cgroup's, without inactive files. */
  readonly cgroup: number;
}

/** The two that are compared: HAProxy, a process of this one, and the socket proxy in its container. */
export class Subjects {
  readonly #engine: EngineClient;
  readonly #stage: Stage;
  readonly #haproxy: Haproxy;
  readonly #folder: string;
  #filter: ReturnType<typeof startHaproxy> | undefined;

  /** @param options `folder` is an empty one for HAProxy's socket and configuration */
  constructor(options: {
    readonly engine: EngineClient;
    readonly stage: Stage;
    readonly haproxy: Haproxy;
    readonly folder: string;
  }) {
    this.#engine = options.engine;
    this.#stage = options.stage;
    this.#haproxy = options.haproxy;
    this.#folder = options.folder;
  }

  /** HAProxy's socket. */
  get haproxySocket(): string {
    if (!this.#filter) throw new Error("HAProxy is not started");
    return this.#filter.socket;
  }

  /** Starts both, several times; the last ones stay. @throws Error where one does not answer */
  async start(): Promise<StartUp> {
    const stage = this.#stage;
    const taken = { berth: [] as number[], startCall: [] as number[], haproxy: [] as number[] };
    for (let i = 0; i < startUps; i++) {
      await this.end();
      const begin = performance.now();
      this.#filter = startHaproxy(this.#haproxy, this.#folder, stage.engineSocket);
      taken.haproxy.push(await untilPing(this.haproxySocket, begin));

      await this.#engine.request({ method: "POST", path: `/containers/${stage.proxy}/kill` });
      await this.#engine.request({ method: "POST", path: `/containers/${stage.proxy}/wait` });
      const called = performance.now();
      await engineJson(this.#engine, { method: "POST", path: `/containers/${stage.proxy}/start` });
      taken.startCall.push(performance.now() - called);
      taken.berth.push(await untilPing(stage.socketOf(client), called));
    }
    const of = (times: readonly number[]) => percentile(times, 0.5);
    return { berth: of(taken.berth), startCall: of(taken.startCall), haproxy: of(taken.haproxy) };
  }

  /** Memory of both after some quiet time. */
  async memory(): Promise<MemoryPair> {
    await sleep(quietMs);
    const path = `/containers/${this.#stage.proxy}`;
    const { State } = await engineJson<{ State: { Pid: number } }>(this.#engine, {
      path: `${path}/json`,
    });
    const { memory_stats } = await engineJson<{
      memory_stats: { usage: number; stats: Readonly<Record<string, number>> };
    }>(this.#engine, { path: `${path}/stats?stream=false&one-shot=true` });
    const { usage, stats } = memory_stats;
    return {
      haproxy: memoryOf(this.#filter?.process.pid ?? 0),
      berth: memoryOf(State.Pid),
      cgroup: usage - (stats.total_inactive_file ?? stats.inactive_file ?? 0),
    };
  }

  /** Memory of both while each holds so many streams: a third each of events, `wait` and followed logs. */
  async memoryWithStreams(count: number): Promise<MemoryPair> {
    const container = `/v1.41/containers/${this.#stage.running}`;
    const kinds: readonly Omit<StreamRequest, "socketPath">[] = [
      { method: "GET", path: "/v1.41/events" },
      { method: "POST", path: `${container}/wait` },
      { method: "GET", path: `${container}/logs?follow=1&stdout=1` },
    ];
    const streams = (socketOf: (kind: number) => string) =>
      Array.from({ length: count }, (_, i): StreamRequest => {
        const kind = i % kinds.length;
        return { method: "GET", path: "", ...kinds[kind], socketPath: socketOf(kind) };
      });
    const closing = [await openStreams(streams(() => this.haproxySocket))];
    try {
      const own = streams((kind) => this.#stage.socketOf(streamClients[kind] ?? client));
      closing.push(await openStreams(own));
      return await this.memory();
    } finally {
      for (const close of closing) close();
    }
  }

  /** Bytes of the socket proxy's image, and of what it adds to the base image that all services share. */
  async imageSize(): Promise<{ readonly size: number; readonly own: number }> {
    const sizeOf = async (reference: string) =>
      (await engineJson<{ Size: number }>(this.#engine, { path: `/images/${reference}/json` }))
        .Size;
    const size = await sizeOf(this.#stage.proxyImage);
    return { size, own: size - (await sizeOf(imageReference("node-runtime"))) };
  }

  /** Ends HAProxy; the container goes with the stage. */
  async end(): Promise<void> {
    if (this.#filter) await endProcess(this.#filter.process);
    this.#filter = undefined;
  }
}
