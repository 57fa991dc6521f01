import { Service } from "../../spec/names.ts";
import { type Command, readArguments } from "../command.ts";
import { CliError } from "../console.ts";
import { containerOf, liveEngine } from "../live-stack.ts";
import { openSession } from "../session.ts";
import { finderFor, sealerFor, type TokenOptions, tokenToSeal } from "./finder.ts";
import { sealerName, sealerNames } from "./sealer.ts";
import { storeOf } from "./store.ts";
import { checkShape } from "./token.ts";
import { unlockIfWaiting, unlockWith } from "./unlock.ts";
import { watchStore } from "./watch.ts";

const options = {
  "from-stdin": { type: "boolean", default: false },
  with: { type: "string" },
} as const;
const way = `[--with ${sealerNames.join("|")}]`;

function tokenOptions(values: { "from-stdin": boolean; with?: string | undefined }): TokenOptions {
  return {
    fromStdin: values["from-stdin"],
    ...(values.with === undefined ? {} : { with: sealerName(values.with) }),
  };
}

/** Keeps the token on this machine, so that the secret store can be unlocked without a person. */
export const seal: Command = {
  usage: `secrets seal [--from-stdin] ${way}`,
  summary: "keep the 1Password token on this machine, sealed by TPM, key file or Keychain",
  async run(args) {
    const { values } = readArguments(args, options, { least: 0, most: 0, usage: seal.usage });
    const chosen = tokenOptions(values);
    const session = openSession({ quiet: true });
    const sealer = sealerFor(session, chosen);
    const obstacle = await sealer.available();
    if (obstacle !== undefined || (sealer.name === "prompt" && chosen.with === undefined)) {
      throw new CliError(
        `${sealer.name} cannot keep the token here: ${obstacle ?? "this platform has nothing that could"}. ` +
          'Without it, "berth secrets unlock" takes the token at each start of the secret store, from a terminal or with --from-stdin',
      );
    }
    const token = await tokenToSeal(session, chosen.fromStdin ?? false);
    checkShape(token);
    session.console.print(await sealer.seal(token));
    return 0;
  },
};

/** Gives the token to the secret store, once or at each of its starts. */
export const unlock: Command = {
  usage: `secrets unlock [--watch] [--from-stdin] ${way}`,
  summary: "give the token to the secret store; --watch: at each of its starts, until SIGTERM",
  async run(args) {
    const { values } = readArguments(
      args,
      { ...options, watch: { type: "boolean", default: false } },
      { least: 0, most: 0, usage: unlock.usage },
    );
    const session = openSession({ quiet: true });
    const find = finderFor(session, tokenOptions(values));
    if (!values.watch) {
      const engine = await liveEngine(session);
      const { token, from } = await find();
      const state = await unlockWith(storeOf(session, engine), token);
      session.console.print(`the secret store is ${state}, with the token of ${from}`);
      return 0;
    }
    await watchStore({
      container: containerOf(session, Service.secretStore),
      engine: () => liveEngine(session),
      unlock: async (engine) => {
        const done = await unlockIfWaiting(storeOf(session, engine), find);
        return done && `the secret store is ${done}`;
      },
      console: session.console,
      // SIGTERM and SIGINT end the process itself: there is nothing to put in order.
      signal: new AbortController().signal,
    });
    return 0;
  },
};
