import { once } from "node:events";
import type { Socket } from "node:net";
import tls from "node:tls";
import { ReachError } from "../egress/reach.ts";
import { authorityOf, type Target } from "../egress/target.ts";

/**
 * Speaks TLS over an open connection and checks that the other side has a valid certificate for the target's host:
 * by Node's own list of authorities, and those in `NODE_EXTRA_CA_CERTS`.
 * @throws ReachError; what is open is closed then
 */
export async function secure(
  socket: Socket,
  target: Target,
  ms: number,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const encrypted = tls.connect({
    socket,
    // What the certificate is checked against; an address is no server name.
    host: target.host,
    ...(target.literal === 0 ? { servername: target.host } : {}),
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.2",
    // Whatever the environment says.
    rejectUnauthorized: true,
  });
  // Until somebody else listens: an error that nobody hears ends the process.
  encrypted.on("error", () => {});
  const ending = AbortSignal.any([signal, AbortSignal.timeout(ms)]);
  try {
    await once(encrypted, "secureConnect", { signal: ending });
    return encrypted;
  } catch (error) {
    encrypted.destroy();
    socket.destroy();
    signal.throwIfAborted();
    const where = authorityOf(target);
    if (ending.aborted)
      throw new ReachError("timeout", "tls-timeout", `${where} does not finish its TLS handshake.`);
    const { code = "unknown" } = error as NodeJS.ErrnoException;
    throw new ReachError(
      "unreachable",
      "tls",
      `${where} cannot be trusted or speaks no TLS (${code}).`,
    );
  }
}
