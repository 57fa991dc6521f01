import type { Post } from "@mattermost/types/posts";
import { type Log, reasonOf } from "../common/log.ts";
import { isAllowed } from "./access.ts";
import type { Agent } from "./agent.ts";
import type { Posted } from "./chat-socket.ts";
import type { Commands } from "./commands.ts";
import type { Fleet } from "./fleet.ts";
import type { Identities } from "./identities.ts";
import { Limiter } from "./limiter.ts";
import { mentionsOf } from "./mentions.ts";
import type { Metrics } from "./metrics.ts";
import type { People, Person } from "./people.ts";
import type { Provisioner } from "./provisioner.ts";
import { plainText } from "./sanitise.ts";
import { selfName } from "./session.ts";
import type { Speaker } from "./speaker.ts";
import type { Store } from "./store.ts";
import { PlainError } from "./words.ts";

/** Posts that are remembered as handled: what a reading of missed posts brings again. */
const mostHandled = 2_000;
/** Commands older than this when they are found are not carried out: the world has changed since. */
const staleCommandMs = 2 * 60_000;
/** A new agent's bot and memberships are made within this time, or its early callers must call again. */
const placeWithinMs = 30_000;
/** Between two writes of how far posts were read. */
const markEveryMs = 5_000;

/** What the router works with. */
interface RouterParts {
  readonly fleet: Fleet;
  readonly provisioner: Provisioner;
  readonly people: People;
  readonly identities: Identities;
  readonly commands: Commands;
  readonly speaker: Speaker;
  readonly store: Store;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** Decides what a post means: a command to us, a wake of an agent, an agent's own word. */
export class Router {
  readonly #options: RouterParts;
  readonly #handled = new Set<string>();
  /** Explanations why an agent does not answer: one an agent and person in ten minutes. */
  readonly #explained = new Limiter(1, 10 * 60_000);
  /** Refusals of people who have another's name, on record: the same again. */
  readonly #doubted = new Limiter(1, 10 * 60_000);
  #selfId = "";
  #seen: number;
  #marked = 0;

  constructor(options: RouterParts) {
    this.#options = options;
    this.#seen = Number(options.store.meta("seen") ?? 0);
  }

  /** Our own user id, by which our own posts are known. */
  set self(userId: string) {
    this.#selfId = userId;
  }

  /** Server time of the newest post that was handled, in ms; 0: none ever was. */
  get seen(): number {
    return this.#seen;
  }

  /** A post in a channel of ours, or a direct message to us. */
  heard({ post, channelType }: Posted): void {
    const arrival = performance.now();
    if (!this.#first(post)) return;
    const own = post.user_id === this.#selfId;
    const direct = channelType === "D";
    if (!own && !direct && isPersonal(post)) this.#wakeMentioned(post, arrival);
    this.#mark(post.create_at);
    if (own) return;
    this.#spoken(post);
    const forUs = direct || mentionsOf(post.message).has(selfName);
    if (!forUs || !isPersonal(post)) return;
    if (Date.now() - post.create_at > staleCommandMs) {
      this.#options.log.info("stale-command", { post: post.id });
      return;
    }
    this.#options.commands
      .handle(post, direct)
      .catch((error: unknown) => this.#options.log.error("command", { reason: reasonOf(error) }));
  }

  /** A post in a direct channel of a sleeping agent's bot. */
  heardBy(name: string, { post }: Posted): void {
    const arrival = performance.now();
    const agent = this.#options.fleet.find(name);
    if (!agent) return;
    const place = this.#options.provisioner.place(name);
    if (post.user_id === place?.userId) this.#speaks(agent, post);
    else if (isPersonal(post)) this.#wake(agent, post, arrival, "direct");
  }

  /** A post has a new text: the agent's greeting grows while it is written. */
  edited(post: Post): void {
    for (const agent of this.#options.fleet.agents) {
      if (agent.greetingPost === post.id) this.#greets(agent, post);
    }
  }

  /** Writes down how far posts were read. */
  flush(): void {
    if (this.#seen > 0) this.#options.store.setMeta("seen", String(this.#seen));
    this.#marked = Date.now();
  }

  #mark(at: number): void {
    this.#seen = Math.max(this.#seen, at);
    if (Date.now() - this.#marked > markEveryMs) this.flush();
  }

  #first(post: Post): boolean {
    if (this.#handled.has(post.id)) return false;
    this.#handled.add(post.id);
    if (this.#handled.size > mostHandled) {
      const [oldest] = this.#handled;
      if (oldest) this.#handled.delete(oldest);
    }
    return true;
  }

  #wakeMentioned(post: Post, arrival: number): void {
    const names = mentionsOf(post.message);
    for (const agent of this.#options.fleet.agents) {
      const all = agent.declaration.chat.trigger === "all";
      if (all || names.has(agent.name)) {
        this.#wakeInChannel(agent, post, arrival, names.has(agent.name) ? "mention" : "channel");
      }
    }
  }

  /** A new agent may be called before its place in the chat is made: the call is then kept for as long as that may take. */
  #wakeInChannel(agent: Agent, post: Post, arrival: number, way: "mention" | "channel"): void {
    const place = this.#options.provisioner.place(agent.name);
    if (place) {
      if (place.channelIds.has(post.channel_id)) this.#wake(agent, post, arrival, way);
    } else if (performance.now() - arrival < placeWithinMs) {
      setTimeout(() => this.#wakeInChannel(agent, post, arrival, way), 250).unref();
    }
  }

  /** Wakes where the writer may. A known writer costs no question: the start is asked for in this very call. */
  #wake(agent: Agent, post: Post, arrival: number, way: "mention" | "direct" | "channel"): void {
    if (agent.starting || (agent.running && !agent.stopping) || !agent.contained) return;
    const go = (person: Person | undefined) => {
      if (!person || person.isBot) return;
      if (!this.#mayWake(agent, person, post, way)) return;
      this.#start(agent, person, post, arrival, way);
    };
    const known = this.#options.people.cached(post.user_id);
    if (known) {
      go(known);
      return;
    }
    this.#options.people
      .fresh(post.user_id)
      .then(go, (error: unknown) =>
        this.#options.log.warn("sender-unknown", { agent: agent.name, reason: reasonOf(error) }),
      );
  }

  /** By the agent's list. Who only took a listed name is told why nothing happens. */
  #mayWake(agent: Agent, person: Person, post: Post, way: string): boolean {
    const { identities, store } = this.#options;
    const { access } = agent.declaration.chat;
    if (!isAllowed(access, person, (name) => identities.holderOf(name))) return false;
    const doubt = access.mode === "allowlist" ? identities.doubt(person) : undefined;
    if (doubt === undefined) return true;
    if (this.#doubted.allows(`${agent.name} ${person.id}`)) {
      const [actor, detail] = [person.username, `not the account of this name: ${person.id}`];
      store.audit({ actor, verb: "wake", agent: agent.name, outcome: "refused", detail });
      this.#explain(agent, person, post, way, doubt);
    }
    return false;
  }

  #start(agent: Agent, person: Person, post: Post, arrival: number, way: string): void {
    const { fleet, metrics, store, log } = this.#options;
    const seconds = () => (performance.now() - arrival) / 1000;
    const explain = (why: string) => this.#explain(agent, person, post, way, why);
    fleet
      .wake(agent, () => metrics.observe("berth_wake_request_seconds", seconds()))
      .then(
        (result) => {
          if (result === "started") {
            metrics.observe("berth_wake_seconds", seconds());
            metrics.add("berth_wakes_total", { way });
            log.info("agent-woken", { agent: agent.name, way, by: person.username });
            store.audit({
              actor: person.username,
              verb: "wake",
              agent: agent.name,
              outcome: "done",
            });
          } else if (result === "stopped") {
            explain(`${agent.name} was stopped by an operator; \`start ${agent.name}\` starts it.`);
          } else if (result === "manual") {
            explain(`${agent.name} runs only when an operator says \`start ${agent.name}\` to me.`);
          }
        },
        (error: unknown) => {
          explain(error instanceof PlainError ? error.message : "I could not start it.");
          store.audit({
            actor: person.username,
            verb: "wake",
            agent: agent.name,
            outcome: "failed",
            detail: reasonOf(error),
          });
        },
      )
      .catch((error: unknown) => log.error("wake", { reason: reasonOf(error) }));
  }

  /** Says why an agent does not answer: where it was called, or to the person alone where that was a direct message. */
  #explain(agent: Agent, person: Person, post: Post, way: string, why: string): void {
    if (way === "channel" || !this.#explained.allows(`${agent.name} ${person.id}`)) return;
    const said =
      way === "direct"
        ? this.#options.speaker.whisper(person.id, why)
        : this.#options.speaker.say(post.channel_id, why, post.root_id || post.id);
    said.catch((error: unknown) =>
      this.#options.log.warn("not-explained", { agent: agent.name, reason: reasonOf(error) }),
    );
  }

  #spoken(post: Post): void {
    for (const agent of this.#options.fleet.agents) {
      if (this.#options.provisioner.place(agent.name)?.userId === post.user_id) {
        this.#speaks(agent, post);
      }
    }
  }

  #speaks(agent: Agent, post: Post): void {
    if (agent.answered || post.type !== "") return;
    agent.answered = true;
    agent.greetingPost = post.id;
    this.#greets(agent, post);
  }

  #greets(agent: Agent, post: Post): void {
    agent.greeting = plainText(post.message).slice(0, 500);
    this.#options.store.update(agent.name, {
      answered: true,
      greeting: agent.greeting,
      greetingPost: post.id,
    });
  }
}

/** Written by an account itself: no system message, and nothing that a webhook, a plugin or a bot wrote. */
function isPersonal(post: Post): boolean {
  const props = post.props ?? {};
  return (
    post.type === "" &&
    !["from_bot", "from_webhook", "from_plugin", "from_oauth_app"].some(
      (mark) => String(props[mark] ?? "false") === "true",
    )
  );
}
