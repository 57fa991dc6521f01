import type { Post } from "@mattermost/types/posts";
import type { Declaration } from "../../spec/declaration.ts";
import { type Log, reasonOf } from "../common/log.ts";
import type { Agent } from "./agent.ts";
import type { Fleet } from "./fleet.ts";
import type { Identities } from "./identities.ts";
import { Limiter } from "./limiter.ts";
import { wordsAfterMention } from "./mentions.ts";
import type { Metrics } from "./metrics.ts";
import type { People, Person } from "./people.ts";
import { codeBlock, inline } from "./sanitise.ts";
import { type SecretWatch, secretsInWords } from "./secret-watch.ts";
import { selfName } from "./session.ts";
import type { Speaker } from "./speaker.ts";
import type { Store } from "./store.ts";
import { PlainError } from "./words.ts";

const help = [
  "I run the agents of this server. Say to me, here or after a mention:",
  "- `list` – every agent and its state",
  "- `status [agent]` – the platform, or one agent in full",
  "- `start <agent>`, `stop <agent>`, `restart <agent>` – a stopped agent stays stopped until `start`",
  "- `sleep <agent>` – stop it, and let the next message wake it again",
  "- `logs <agent> [lines]` – the end of its log, to you alone",
  "- `help` – this",
].join("\n");

/** Commands that change something; the rest only reads. */
const mutations = new Set(["start", "stop", "restart", "sleep"]);
const verbs = new Set([...mutations, "list", "status", "logs", "help"]);
const mostLogLines = 500;

/** What the commands work with. */
interface CommandsParts {
  readonly fleet: Fleet;
  readonly people: People;
  readonly identities: Identities;
  readonly speaker: Speaker;
  readonly store: Store;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly operators: readonly string[];
  readonly secrets: SecretWatch;
  /** Some lines on the platform itself. */
  readonly platform: () => Promise<string>;
}

/** Carries out what operators say to `@berth`. Nobody else is obeyed, and every attempt is in the audit. */
export class Commands {
  readonly #options: CommandsParts;
  readonly #rate = new Limiter(20, 60_000);
  readonly #slowed = new Limiter(1, 60_000);
  readonly #refusals = new Limiter(1, 10 * 60_000);

  constructor(options: CommandsParts) {
    this.#options = options;
  }

  /** Handles one message to us. The writer's name is asked of the server each time, never taken from the message. */
  async handle(post: Post, direct: boolean): Promise<void> {
    const { people, store, metrics, log } = this.#options;
    const person = await people.fresh(post.user_id);
    if (!person) return;
    const words = wordsAfterMention(
      post.message,
      direct && !post.message.startsWith("@") ? "" : selfName,
    );
    const [said = "", name, ...rest] = words;
    const verb = verbs.has(said.toLowerCase()) ? said.toLowerCase() : "unknown";
    const count = (outcome: string) => metrics.add("berth_commands_total", { verb, outcome });
    // A flood, from whoever, is neither answered nor allowed to wash older lines out of the audit.
    if (!this.#rate.allows(person.id)) {
      count("limited");
      if (!person.isBot && this.#slowed.allows(person.id)) {
        await this.#reply(post, direct, "That is too much at once; wait a minute.");
      }
      return;
    }
    const refusal = this.#refusal(person);
    if (refusal !== undefined) {
      count("refused");
      const [actor, agent] = [person.username, agentName(name)];
      store.audit({ actor, verb, agent, outcome: "refused", detail: `user id ${person.id}` });
      log.warn("command-refused", { by: person.username, userId: person.id, verb });
      // A bot is not answered: two programs that answer each other do not stop.
      if (!person.isBot && this.#refusals.allows(person.id)) {
        await this.#reply(post, direct, refusal);
      }
      return;
    }
    // No record, no act: where the audit cannot be written, this throws and nothing is done.
    store.audit({ actor: person.username, verb, agent: agentName(name), outcome: "asked" });
    let reply: string;
    try {
      reply = await this.#carryOut(verb, name?.toLowerCase(), rest, person, direct);
      count("done");
      if (mutations.has(verb)) {
        store.audit({ actor: person.username, verb, agent: agentName(name), outcome: "done" });
      }
    } catch (error) {
      count("failed");
      const detail = reasonOf(error);
      store.audit({
        actor: person.username,
        verb,
        agent: agentName(name),
        outcome: "failed",
        detail,
      });
      if (!(error instanceof PlainError)) log.error("command", { verb, reason: detail });
      reply = error instanceof PlainError ? error.message : `That failed: ${inline(detail)}`;
    }
    await this.#reply(post, direct, reply);
  }

  /** Why a person is not obeyed; undefined: he is an operator, and the account that the operator's name means. */
  #refusal(person: Person): string | undefined {
    const { operators, identities } = this.#options;
    if (person.isBot || !operators.includes(person.username.toLowerCase())) {
      return "I take commands from this stack's operators only.";
    }
    return identities.doubt(person);
  }

  async #carryOut(
    verb: string,
    name: string | undefined,
    rest: readonly string[],
    person: Person,
    direct: boolean,
  ): Promise<string> {
    const { fleet, speaker, platform } = this.#options;
    switch (verb) {
      case "list":
        return this.#list();
      case "status":
        return name === undefined
          ? `${await platform()}\n\n${this.#list()}`
          : await this.#describe(this.#find(name));
      case "start": {
        const agent = this.#find(name);
        await fleet.orders.start(agent);
        return `${agent.name} is running.`;
      }
      case "stop": {
        const agent = this.#find(name);
        await fleet.orders.stop(agent);
        return `${agent.name} is stopped, and stays so until \`start ${agent.name}\`.`;
      }
      case "restart": {
        const agent = this.#find(name);
        await fleet.orders.restart(agent);
        return `${agent.name} was restarted.`;
      }
      case "sleep": {
        const agent = this.#find(name);
        await fleet.orders.sleep(agent);
        return agent.declaration.activation === "on-demand"
          ? `${agent.name} sleeps until somebody writes to it.`
          : `${agent.name} was stopped; as it is declared \`${agent.declaration.activation}\`, that decides when it runs.`;
      }
      case "logs": {
        const agent = this.#find(name);
        const lines = Math.min(
          Math.max(Number.parseInt(rest[0] ?? "50", 10) || 50, 1),
          mostLogLines,
        );
        const text = codeBlock(await fleet.orders.logs(agent, lines));
        if (direct) return text;
        // A log may hold what the channel should not read.
        await speaker.whisper(person.id, `Log of ${agent.name}:\n${text}`);
        return `I sent you the log of ${agent.name} in a direct message.`;
      }
      case "help":
        return help;
      default:
        return "I do not know that command; `help` shows those I know.";
    }
  }

  #find(name: string | undefined): Agent {
    if (name === undefined) throw new PlainError("Which agent? `list` shows them.");
    const wanted = name.replace(/^@/, "");
    const agent = this.#options.fleet.find(wanted);
    if (!agent) {
      throw new PlainError(`There is no agent "${inline(wanted, 40)}"; \`list\` shows them.`);
    }
    return agent;
  }

  #list(): string {
    const agents = this.#options.fleet.agents;
    if (agents.length === 0) return "No agent is declared.";
    const rows = agents.map(
      (a) =>
        `| ${a.name} | ${a.state} | ${a.declaration.activation} | ${a.lastError ? inline(a.lastError, 120) : ""} |`,
    );
    return ["| agent | state | activation | last trouble |", "|---|---|---|---|", ...rows].join(
      "\n",
    );
  }

  async #describe(agent: Agent): Promise<string> {
    const { declaration: d } = agent;
    const secrets = hasReferences(d)
      ? secretsInWords(agent.name, await this.#options.secrets.look())
      : [];
    const facts: (readonly [string, string | undefined])[] = [
      ["state", agent.state],
      ["declared", `${d.driver}, ${d.activation}, network ${d.network}, preset ${d.preset}`],
      ["an operator wants it", agent.desired === "auto" ? undefined : agent.desired],
      [
        "container",
        agent.container ? `${agent.container.id.slice(0, 12)} (${agent.container.state})` : "none",
      ],
      ["image", d.image],
      ["channels", d.chat.channels.join(", ")],
      ["last exit code", agent.exitCode === undefined ? undefined : String(agent.exitCode)],
      ["last trouble", agent.lastError],
      ...secrets,
    ];
    return facts
      .flatMap(([key, value]) => (value === undefined ? [] : [`- ${key}: ${inline(value, 400)}`]))
      .join("\n");
  }

  async #reply(post: Post, direct: boolean, text: string): Promise<void> {
    // In a channel the answer stays in the question's thread; a direct channel is a conversation already.
    const root = direct ? post.root_id : post.root_id || post.id;
    await this.#options.speaker.say(post.channel_id, text, root);
  }
}

/** Whether the secret store has anything to do for an agent. */
function hasReferences({ secrets, configFiles = {}, endpoints = {} }: Declaration): boolean {
  return [secrets, configFiles, endpoints].some((members) => Object.keys(members).length > 0);
}

function agentName(word: string | undefined): string | undefined {
  return word === undefined ? undefined : inline(word, 40);
}
