import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { createLog, type Log } from "../../../services/common/log.ts";
import { Redacted } from "../../../services/common/redacted.ts";
import type { Wire } from "../../../services/egress-gateway/egress/reach.ts";
import type { AskStore } from "../../../services/egress-gateway/endpoints/store.ts";
import { Gateway } from "../../../services/egress-gateway/gateway.ts";
import { defaultLimits, type Limits } from "../../../services/egress-gateway/limits.ts";
import type {
  Bot,
  FindChannels,
  Mint,
} from "../../../services/egress-gateway/mattermost/tokens.ts";
import { Upstream } from "../../../services/egress-gateway/mattermost/upstream.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { presets } from "../../../spec/presets.ts";

/** A declaration with the members that matter to a test. */
export function declaration(name: string, members: Partial<Declaration> = {}): Declaration {
  return {
    version: 1,
    stack: "test",
    name,
    driver: "docker",
    image: "localhost/berth/node:0123456789ab",
    runner: true,
    program: { acp: ["demo-agent"] },
    activation: "on-demand",
    preset: "agent",
    limits: presets.agent,
    chat: { channels: [], trigger: "mention", access: { mode: "open" } },
    network: "sealed",
    egress: [],
    secrets: {},
    workspace: { retain: false },
    ...members,
  };
}

/** One log line, parsed. */
export type Line = Record<string, unknown> & { readonly event: string };

/** A gateway in a directory of its own, with a wire and a mint of the test's. */
export class TestGateway {
  readonly directory = mkdtempSync(join(tmpdir(), "gw-"));
  readonly lines: Line[] = [];
  readonly text: string[] = [];
  readonly log: Log = createLog("egress-gateway", (line) => {
    this.text.push(line);
    this.lines.push(JSON.parse(line) as Line);
  });
  readonly gateway: Gateway;
  readonly upstream: Upstream;

  constructor(options: {
    readonly wire?: Wire;
    readonly mint?: Mint;
    readonly findChannels?: FindChannels;
    readonly askStore?: AskStore;
    readonly mattermost?: string;
    readonly limits?: Partial<Limits>;
    readonly privateHosts?: readonly string[];
    readonly forbidden?: readonly string[];
  }) {
    const limits = { ...defaultLimits, ...options.limits };
    this.upstream = new Upstream(new URL(options.mattermost ?? "http://127.0.0.1:9"), limits);
    this.gateway = new Gateway(
      { directory: this.directory, stack: "test" },
      {
        log: this.log,
        limits,
        egress: {
          wire: options.wire ?? world({}),
          privateHosts: new Set(options.privateHosts ?? []),
          forbidden: new Set(options.forbidden ?? []),
        },
        upstream: this.upstream,
        mint: options.mint ?? (async (agent) => bot(agent, "t".repeat(26))),
        findChannels: options.findChannels ?? (async () => []),
        askStore: options.askStore ?? (async () => ({ kind: "unknown", message: "no store" })),
        team: "fleet",
      },
    );
  }

  socket(agent: string): string {
    return join(this.directory, agent, "gateway.sock");
  }

  file(agent: string, name: string): string {
    return join(this.directory, agent, name);
  }

  /** Lines of one event. */
  of(event: string): Line[] {
    return this.lines.filter((line) => line.event === event);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.close();
    this.upstream.close();
    await rm(this.directory, { recursive: true });
  }
}

/** A bot with a token. */
export function bot(username: string, token: string): Bot {
  return {
    token: new Redacted(token, "bot token"),
    userId: "u".repeat(26),
    username,
    channelIds: [],
  };
}

/** Names and their addresses, and what answers on `address:port`: a local port. Everything else refuses. */
export interface World extends Wire {
  /** Addresses that were really connected to. */
  readonly connected: string[];
  readonly resolved: string[];
}

export function world(
  names: Readonly<Record<string, readonly string[]>>,
  listeners: Readonly<Record<string, number>> = {},
): World {
  const connected: string[] = [];
  const resolved: string[] = [];
  return {
    connected,
    resolved,
    resolve: async (host) => {
      resolved.push(host);
      const found = names[host];
      if (!found) throw Object.assign(new Error("not found"), { code: "ENOTFOUND" });
      return found;
    },
    connect: (address, port) => {
      connected.push(`${address}:${port}`);
      const local = listeners[`${address}:${port}`];
      return net.connect({ host: "127.0.0.1", port: local ?? 1, allowHalfOpen: true });
    },
  };
}

/** Listens on a free loopback port. */
export async function listen(server: net.Server): Promise<{ port: number } & AsyncDisposable> {
  const open = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as net.AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
    },
  };
}

/** An HTTP answer, whole. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

/** One request over a unix socket; a fresh connection each time. */
export function call(
  socketPath: string,
  options: {
    readonly method?: string;
    readonly path: string;
    readonly headers?: http.OutgoingHttpHeaders;
    readonly body?: string | Buffer;
  },
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const { method = "GET", path, headers = {} } = options;
    const sent = http.request({ socketPath, method, path, headers, agent: false }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("error", reject);
      answer.on("end", () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          text: Buffer.concat(parts).toString("utf8"),
        }),
      );
    });
    sent.on("error", reject);
    sent.end(options.body);
  });
}

/** `CONNECT` over a unix socket. @returns status, the refusal's body or the open tunnel */
export function tunnel(
  socketPath: string,
  authority: string,
): Promise<{ readonly status: number; readonly text: string; readonly socket: Duplex }> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ socketPath, method: "CONNECT", path: authority, agent: false });
    sent.on("connect", (answer, socket, head) => {
      const status = answer.statusCode ?? 0;
      socket.on("error", () => {});
      if (status === 200) {
        if (head.length > 0) socket.unshift(head);
        return resolve({ status, text: "", socket });
      }
      let text = head.toString("utf8");
      socket.on("data", (part: Buffer) => {
        text += part.toString("utf8");
      });
      socket.on("close", () => resolve({ status, text, socket }));
    });
    sent.on("error", reject);
    sent.end();
  });
}

const key = Buffer.alloc(32, 7);
/** TLS without certificates, by a shared key: real hellos, real handshakes, no files. */
const psk = {
  ciphers: "PSK-AES128-GCM-SHA256",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
} as const;

/** A TLS server that greets with the name it was asked for. */
export function tlsServer(): tls.Server {
  const server = tls.createServer({ ...psk, pskCallback: () => key }, (socket) => {
    socket.on("error", () => {});
    socket.write(`hello ${(socket as tls.TLSSocket & { servername?: string }).servername}`);
    socket.on("data", (part: Buffer) => socket.write(part));
    socket.on("end", () => socket.end());
  });
  server.on("tlsClientError", () => {});
  return server;
}

/** A TLS client over an open stream. */
export function tlsClient(stream: Duplex, servername: string | undefined): tls.TLSSocket {
  return tls.connect({
    ...psk,
    socket: stream,
    ...(servername === undefined ? {} : { servername }),
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk: key, identity: "test" }),
  });
}

/** The first bytes that Node's TLS client sends with these options. */
export async function recordHello(options: tls.ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const sink = new Duplex({
      read() {},
      write(part: Buffer, _encoding, done) {
        resolve(part);
        done();
      },
    });
    const socket = tls.connect({ ...options, socket: sink });
    socket.on("error", () => {});
  });
}

/** Resolves when the condition holds. @throws Error after five seconds */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 5_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
