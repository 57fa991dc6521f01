/** Time as the store sees it; a test has its own. */
export interface Clock {
  /** Wall clock, in ms. */
  now(): number;
  /** Calls `act` once after `ms`. @returns takes it back */
  after(ms: number, act: () => void): () => void;
}

export const systemClock: Clock = {
  now: Date.now,
  after: (ms, act) => {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
};
