import type { Duplex, Transform } from "node:stream";

/** Bytes carried, seen from the agent. */
export interface Carried {
  sent: number;
  received: number;
}

export type SpliceEnd = "ended" | "failed" | "idle";

/**
 * Carries bytes both ways between two open streams until both sides have ended, one fails, or nothing moves for
 * `idleMs`. Each direction ends on its own. Both streams are destroyed when the promise resolves; it never rejects.
 * @param through what the bytes from near to far pass on their way
 */
export function splice(
  near: Duplex,
  far: Duplex,
  options: { readonly idleMs: number; readonly carried: Carried; readonly through?: Transform },
): Promise<SpliceEnd> {
  const { idleMs, carried, through } = options;
  return new Promise((resolve) => {
    let finished = 0;
    let done = false;
    const end = (how: SpliceEnd) => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      through?.destroy();
      near.destroy();
      far.destroy();
      resolve(how);
    };
    const timer = setTimeout(() => end("idle"), idleMs);
    const count = (from: Duplex, key: keyof Carried) =>
      from.on("data", (part: Buffer) => {
        carried[key] += part.length;
        timer.refresh();
      });
    for (const stream of [near, far]) {
      stream.on("error", () => end("failed"));
      stream.on("finish", () => {
        finished += 1;
        if (finished === 2) end("ended");
      });
      // After both directions are through, `finish` has come first.
      stream.on("close", () => end("failed"));
    }
    through?.on("error", () => end("failed"));
    count(near, "sent");
    count(far, "received");
    if (through) near.pipe(through).pipe(far);
    else near.pipe(far);
    far.pipe(near);
    if (near.destroyed || far.destroyed) end("failed");
  });
}
