/**
 * Makes a look that is shared: calls during a look share the one that begins after it, so that each caller sees what was
 * there when it called, and no crowd of callers asks more than twice at a time.
 */
export function coalesce<T>(look: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  const ask = (): Promise<T> => {
    if (!running) {
      running = look().finally(() => {
        running = undefined;
      });
      return running;
    }
    next ??= running
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        next = undefined;
        return ask();
      });
    return next;
  };
  return ask;
}
