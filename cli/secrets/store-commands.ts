import { reasonOf } from "../../services/common/log.ts";
import { agentNamePattern } from "../../spec/names.ts";
import { type Command, readArguments } from "../command.ts";
import { CliError, withoutControls } from "../console.ts";
import type { EngineClient } from "../engine-api.ts";
import { openLive } from "../live-stack.ts";
import { pushSecrets, rotateBotToken } from "../operator.ts";
import type { Session } from "../session.ts";
import { checkOffline, declaredIn } from "./declared.ts";
import { lineOf, rotateSecrets, untilDelivered } from "./rotate.ts";
import { jsonIn, reasonIn, type Store, StoreError, storeOf } from "./store.ts";
import { type CheckRow, linesOfCheck, linesOfStatus } from "./words.ts";

const nothing = (usage: string) => ({ least: 0, most: 0, usage });

/** Makes the store forget the token and every value that it has read. */
export const lock: Command = {
  usage: "secrets lock",
  summary: "make the secret store forget the token; what agents have stays with them",
  async run(args) {
    readArguments(args, {}, nothing(lock.usage));
    const { session, engine } = await openLive();
    await storeOf(session, engine).ask("lock");
    session.console.print(
      'locked: agents keep what they have, nothing new is read until "berth secrets unlock"',
    );
    return 0;
  },
};

/** Checks every reference: its form, then whether 1Password has it. */
export const check: Command = {
  usage: "secrets check [--offline]",
  summary: "check every reference of the agents; --offline: their form only",
  async run(args) {
    const { values } = readArguments(
      args,
      { offline: { type: "boolean", default: false } },
      nothing(check.usage),
    );
    const { session, engine } = await openLive();
    const formal = checkOffline(await declaredIn(engine, session.stack));
    const rows = values.offline ? formal : await checkOnline(storeOf(session, engine), formal);
    for (const line of linesOfCheck(rows)) session.console.print(line);
    return rows.every((row) => row.ok) ? 0 : 1;
  },
};

/** The store's results, after what is wrong without asking anybody. @throws StoreError where the store cannot check */
async function checkOnline(store: Store, formal: readonly CheckRow[]): Promise<CheckRow[]> {
  const failed = formal.filter((row) => !row.ok);
  if (failed.length === formal.length) return failed;
  const result = await store.run("check");
  // Exit code 1 may mean that the check failed, or that references did: then there are results.
  if (result.exitCode !== 0 && result.stdout.trim() === "") {
    throw new StoreError(reasonIn(result));
  }
  const { results } = jsonIn("check", result) as { results?: unknown };
  if (!Array.isArray(results)) throw new StoreError("check: the secret store told no results");
  const keyOf = ({ place, reference }: CheckRow) => `${place} ${reference}`;
  const told = new Set(failed.map(keyOf));
  return [...failed, ...(results as CheckRow[]).filter((row) => !told.has(keyOf(row)))];
}

/** How the store and every secret stand. */
export const status: Command = {
  usage: "secrets status [--json]",
  summary: "how the secret store and every agent's secrets stand",
  async run(args) {
    const { values } = readArguments(
      args,
      { json: { type: "boolean", default: false } },
      nothing(status.usage),
    );
    const { session, engine } = await openLive();
    const answer = await storeOf(session, engine).status();
    const lines = values.json
      ? [JSON.stringify(answer, null, 2)]
      : linesOfStatus(session.stack, answer);
    for (const line of lines) session.console.print(line);
    return 0;
  },
};

/** Reads everything again now. */
export const refresh: Command = {
  usage: "secrets refresh",
  summary: "read every secret again now, without the pause after a failure",
  async run(args) {
    readArguments(args, {}, nothing(refresh.usage));
    const { session, engine } = await openLive();
    const store = storeOf(session, engine);
    await store.ask("refresh");
    const { secrets } = await store.status();
    const late = secrets.filter(({ state }) => state !== "delivered");
    session.console.print(`delivered: ${secrets.length - late.length} of ${secrets.length}`);
    for (const one of late) session.console.print(`${one.agent}: ${withoutControls(lineOf(one))}`);
    return late.length === 0 ? 0 : 1;
  },
};

/** A secret by its variable's name, a config file or an endpoint by its place. */
const rotatedName = /^([A-Z][A-Z0-9_]{0,63}|(configFiles|endpoints)\.[a-z0-9][a-z0-9._-]{0,63})$/;

/** New values for an agent's generated secrets and its bot token. */
export const rotate: Command = {
  usage: "secrets rotate <agent> [NAME…] [--no-bot]",
  summary: "new values for an agent's generated secrets (or those named) and its chat token",
  async run(args) {
    const { values, positionals } = readArguments(
      args,
      { "no-bot": { type: "boolean", default: false } },
      { least: 1, most: 1_000, usage: rotate.usage },
    );
    const [agent = "", ...names] = positionals;
    if (!agentNamePattern.test(agent)) {
      throw new CliError(`"${agent}" is no agent's name\nusage: berth ${rotate.usage}`, 2);
    }
    // A word that is no name may be a value, and arguments of a command in a container stand in the Engine's events.
    if (!names.every((name) => rotatedName.test(name))) {
      throw new CliError(
        `what follows the agent must be names like HOOK_KEY or configFiles.config.json: berth makes new values itself, and takes none from here\nusage: berth ${rotate.usage}`,
        2,
      );
    }
    const { session, engine } = await openLive();
    const { print } = session.console;
    const store = storeOf(session, engine);
    const { rotated, skipped } = await rotateSecrets(store, agent, names);
    for (const name of rotated) print(`${name}: has a new value`);
    for (const entry of skipped) print(`not changed: ${withoutControls(entry)}`);
    const bot = values["no-bot"] ? undefined : await tryBotToken(session, engine, agent);
    if (bot) print(bot.says);
    const late = await untilDelivered(store, agent, rotated);
    if (rotated.length > 0) print(`${agent} has them`);
    for (const one of late) print(`not delivered: ${withoutControls(lineOf(one))}`);
    // Who names a secret wants that one.
    const isShort = names.length > 0 && skipped.length > 0;
    return isShort || bot?.isChanged === false ? 1 : 0;
  },
};

/** The bot token changes after the secrets: its failure is no reason to keep back what became of them. */
async function tryBotToken(session: Session, engine: EngineClient, agent: string) {
  try {
    return { isChanged: true, says: await rotateBotToken(session, engine, agent) };
  } catch (error) {
    return { isChanged: false, says: `bot token: ${reasonOf(error)}` };
  }
}

/** Writes what generated secrets lack in 1Password. */
export const create: Command = {
  usage: "secrets create",
  summary: "write the generated secrets that 1Password does not have yet",
  async run(args) {
    readArguments(args, {}, nothing(create.usage));
    const { session, engine } = await openLive();
    const answer = (await storeOf(session, engine).ask("create")) as {
      readonly created?: unknown;
      readonly skipped?: unknown;
    };
    const created = Array.isArray(answer.created) ? answer.created.map(String) : [];
    const skipped = Array.isArray(answer.skipped) ? answer.skipped.map(String) : [];
    session.console.print(
      created.length === 0
        ? "nothing was written"
        : `written: ${withoutControls(created.join(", "))}`,
    );
    for (const entry of skipped) session.console.print(`left as it is: ${withoutControls(entry)}`);
    return 0;
  },
};

/** Hands the values of `env:NAME` references to the secret store. */
export const push: Command = {
  usage: "secrets push",
  summary: "hand the values of env: references to the secret store",
  async run(args) {
    readArguments(args, {}, nothing(push.usage));
    const { session, engine } = await openLive();
    const { pushed, missing } = await pushSecrets(session, engine);
    if (missing.length > 0) {
      throw new CliError(`these have no value in this environment: ${missing.join(", ")}`);
    }
    session.console.print(
      pushed.length === 0 ? "no agent refers to env:" : `handed over: ${pushed.join(", ")}`,
    );
    return 0;
  },
};
