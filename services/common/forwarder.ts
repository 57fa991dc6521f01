import net from "node:net";
import { type Log, reasonOf } from "./log.ts";

/** Connections that one forwarder carries at a time; more are closed at once. */
const maxConnections = 256;

export interface Forwarder {
  readonly port: number;
  close(): void;
}

/**
 * Carries every connection to `127.0.0.1:port` as plain bytes to a unix socket, each direction closed on its own.
 * While the socket is away the caller gets a 503, since both sides speak HTTP.
 * @param options.port 0 takes any free one
 * @param options.far what is behind the socket, in words for that answer: "The gateway of this agent"
 * @throws Error when the port is taken
 */
export async function forward(options: {
  readonly port: number;
  readonly socketPath: string;
  readonly far: string;
  readonly log: Log;
}): Promise<Forwarder> {
  const { port, socketPath, log } = options;
  const open = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = net.connect({ path: socketPath, allowHalfOpen: true });
    let connected = false;
    open.add(near);
    near.on("close", () => {
      open.delete(near);
      far.destroy();
    });
    far.on("close", () => {
      if (connected) near.destroy();
    });
    near.on("error", () => far.destroy());
    far.on("error", (error) => {
      if (connected) return near.destroy();
      log.warn("forward-failed", { port, reason: reasonOf(error) });
      near.on("data", () => {});
      near.end(unavailable(options.far));
      setTimeout(() => near.destroy(), 1_000).unref();
    });
    far.on("connect", () => {
      connected = true;
      near.pipe(far);
      far.pipe(near);
    });
  });
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

function unavailable(far: string): string {
  const reason = `${far} is not there. Try again in a moment.\n`;
  return [
    "HTTP/1.1 503 Service Unavailable",
    "content-type: text/plain",
    `content-length: ${Buffer.byteLength(reason)}`,
    "retry-after: 1",
    "connection: close",
    "",
    reason,
  ].join("\r\n");
}
