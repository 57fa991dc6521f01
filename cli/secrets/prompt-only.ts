import type { Sealer, SealerHost } from "./sealer.ts";

/** Keeps nothing: the person is asked whenever the secret store wants the token. */
export function promptOnly({ ask }: Pick<SealerHost, "ask">): Sealer {
  return {
    name: "prompt",
    available: async () =>
      ask ? undefined : "there is no terminal to ask on: give the token with --from-stdin",
    seal: async () =>
      'nothing is kept: "berth secrets unlock" asks for the token each time the secret store has started',
    unseal: async () => ask?.(),
  };
}
