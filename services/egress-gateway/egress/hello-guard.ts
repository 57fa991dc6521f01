import { Transform, type TransformCallback } from "node:stream";
import { readClientHello } from "./client-hello.ts";
import { authorityOf, type Target } from "./target.ts";

/** Fatal TLS alert `unrecognized_name`: the client's own error text then says what is wrong. */
export const unrecognizedName = Buffer.from([0x15, 3, 3, 0, 2, 2, 112]);

/** Why the guard cut a tunnel. `reason` for programs, `message` for people. */
export class GuardError extends Error {
  readonly reason: "not-tls" | "bad-hello" | "no-sni" | "sni-mismatch" | "no-hello";

  constructor(reason: GuardError["reason"], message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Stands in the way from the agent to the host of a tunnel and lets nothing pass before it has seen that a TLS
 * client asks for that very host (against domain fronting: one address, many sites).
 *
 * On port 443 there must be TLS. On other ports what begins like TLS is checked, and what does not passes: it may
 * be any protocol. What it cannot see is the host *inside* the encrypted stream; a host that serves others' sites
 * under its own name must not be in an allow-list.
 */
export class HelloGuard extends Transform {
  readonly #target: Target;
  readonly #strict: boolean;
  readonly #timer: NodeJS.Timeout | undefined;
  #held: Buffer | undefined = Buffer.alloc(0);

  constructor(target: Target, helloMs: number) {
    super();
    this.#target = target;
    this.#strict = target.port === 443;
    if (this.#strict) {
      this.#timer = setTimeout(
        () => this.destroy(new GuardError("no-hello", "no TLS ClientHello came in time")),
        helloMs,
      );
      this.once("close", () => clearTimeout(this.#timer));
    }
  }

  override _transform(part: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let next: Buffer | undefined | Error;
    try {
      next = this.#held ? this.#judge(this.#held, part) : part;
    } catch {
      // Thrown in an event callback it would end the process.
      next = new GuardError("bad-hello", "the ClientHello cannot be read");
    }
    if (next instanceof Error) done(next);
    else done(null, next);
  }

  /** The end of the agent's side. What is held then is an unfinished hello, or nothing. */
  override _flush(done: TransformCallback): void {
    if (this.#strict && this.#held && this.#held.length > 0)
      done(new GuardError("bad-hello", "the connection ended within its ClientHello"));
    else done(null, this.#held);
  }

  /** What may pass now: all that was held, nothing yet, or never. */
  #judge(before: Buffer, part: Buffer): Buffer | undefined | GuardError {
    const held = Buffer.concat([before, part]);
    this.#held = held;
    if (!this.#strict && held[0] !== 0x16) return this.#release(held);
    const verdict = readClientHello(held);
    if (verdict.kind === "more") return undefined;
    if (verdict.kind === "bad") {
      if (!this.#strict && held[1] !== 3) return this.#release(held);
      return new GuardError(held[0] === 0x16 ? "bad-hello" : "not-tls", verdict.reason);
    }
    return this.#problemOf(verdict.serverName) ?? this.#release(held);
  }

  #release(held: Buffer): Buffer {
    clearTimeout(this.#timer);
    this.#held = undefined;
    return held;
  }

  #problemOf(serverName: string | undefined): GuardError | undefined {
    const host = authorityOf(this.#target, this.#target.port);
    if (serverName === undefined) {
      return this.#target.literal
        ? undefined
        : new GuardError("no-sni", `the TLS client names no host; it must name ${host}`);
    }
    return serverName === this.#target.host
      ? undefined
      : new GuardError(
          "sni-mismatch",
          `the TLS client asks for ${serverName}, the tunnel is for ${host}`,
        );
  }
}
