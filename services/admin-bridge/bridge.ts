import type http from "node:http";
import { join } from "node:path";
import { Port } from "../../spec/names.ts";
import { watchDeclarations } from "../common/declarations.ts";
import type { Log } from "../common/log.ts";
import { Alerts, alertMemory, proxyAlerts, storeAlerts } from "./alerts.ts";
import { Caretaker } from "./caretaker.ts";
import { Commands } from "./commands.ts";
import { Conversation } from "./conversation.ts";
import { checkDockerHealth } from "./docker-health.ts";
import { Engine, pause } from "./engine.ts";
import { Fleet } from "./fleet.ts";
import { declareGauges } from "./gauges.ts";
import { type Health, httpApi, publishedAddresses, type Status } from "./http-api.ts";
import { Identities } from "./identities.ts";
import { Listeners } from "./listeners.ts";
import { LocalMode } from "./local-mode.ts";
import { bridgeMetrics } from "./metrics.ts";
import { agentMode, isDockerMode } from "./mode.ts";
import { serveOperator } from "./operator.ts";
import { People } from "./people.ts";
import { Provisioner } from "./provisioner.ts";
import { Router } from "./router.ts";
import { SecretWatch, storeInWords } from "./secret-watch.ts";
import { openSession } from "./session.ts";
import type { BridgeSettings } from "./settings.ts";
import { Speaker } from "./speaker.ts";
import { Store } from "./store.ts";
import { TokenMint } from "./token-mint.ts";
import { serveTokens } from "./tokens.ts";

/** Between two looks at all containers, beside those that events cause. */
const lookEveryMs = 10_000;
/** The Engine's restart policy acts within this after an end; a look before that would see the agent as down. */
const settleMs = 1_000;
/** Longest time that leaving takes; the container's stop grace is longer. */
const leaveWithinMs = 8_000;

/** The admin bridge: what it is made of, and the loops that keep it going. */
export class Bridge {
  readonly #settings: BridgeSettings;
  readonly #log: Log;
  readonly #port: number;
  readonly #metrics = bridgeMetrics();
  readonly #store: Store;
  readonly #engine: Engine;
  readonly #local: LocalMode;
  readonly #fleet: Fleet;
  readonly #provisioner: Provisioner;
  readonly #mint: TokenMint;
  readonly #identities: Identities;
  readonly #router: Router;
  readonly #listeners: Listeners;
  readonly #caretaker: Caretaker;
  readonly #conversation: Conversation;
  readonly #secrets: SecretWatch;
  readonly #alerts: { readonly proxy: Alerts; readonly store: Alerts };
  readonly #servers: http.Server[] = [];
  readonly #ending = new AbortController();
  #provisionedOnce = false;
  #loops: Promise<unknown> = Promise.resolve();

  /** @param port of the HTTP interface; 0: any that is free */
  constructor(settings: BridgeSettings, log: Log, port: number = Port.adminBridge) {
    const { stack, operators, team, channel, mattermostUrl: url } = settings;
    const path = settings.data === ":memory:" ? ":memory:" : join(settings.data, "bridge.db");
    const store = new Store(path);
    const engine = new Engine(settings.proxy, stack);
    const local = new LocalMode(settings.localSocket);
    const people = new People();
    const identities = new Identities(store, log);
    const speaker = new Speaker(log);
    const metrics = this.#metrics;
    const dockerMode = isDockerMode();
    const tell = (text: string) => speaker.notice(text);
    const alerts = { tell, log };
    this.#alerts = {
      proxy: new Alerts({ ...alerts, source: proxyAlerts, memory: alertMemory(store, "alerts") }),
      store: new Alerts({
        ...alerts,
        source: storeAlerts,
        memory: alertMemory(store, "storeAlerts"),
      }),
    };
    const secrets = new SecretWatch({ socketPath: settings.storeSocket }, log);
    const fleet = new Fleet({ engine, store, metrics, log, dockerMode, tell });
    const provisioner = new Provisioner({ local, stack, store, metrics, log });
    const mint = new TokenMint({ local, provisioner, store, metrics, stack }, settings.tokenWaits);
    const platform = () => this.#inWords();
    const commands = new Commands({
      fleet,
      people,
      identities,
      speaker,
      store,
      metrics,
      log,
      operators,
      secrets,
      platform,
    });
    const router = new Router({
      fleet,
      provisioner,
      people,
      identities,
      commands,
      speaker,
      store,
      metrics,
      log,
    });
    const onDirect = router.heardBy.bind(router);
    const listeners = new Listeners({ local, url, stack, store, log, onDirect });
    this.#conversation = new Conversation({
      url,
      open: () => openSession({ local, url, stack, team, channel, store, log }),
      router,
      provisioner,
      people,
      speaker,
      metrics,
      log,
      onSession: () => this.#caretaker.run(),
    });
    this.#caretaker = new Caretaker({
      stack,
      operators,
      fleet,
      provisioner,
      mint,
      listeners,
      people,
      identities,
      speaker,
      store,
      log,
      signal: this.#ending.signal,
      session: () => this.#conversation.session,
      onDone: (session) => {
        this.#provisionedOnce = true;
        this.#conversation.settled(session);
      },
    });
    [this.#settings, this.#log, this.#port] = [settings, log, port];
    [this.#store, this.#engine, this.#local] = [store, engine, local];
    [this.#fleet, this.#provisioner, this.#router] = [fleet, provisioner, router];
    [this.#listeners, this.#mint, this.#identities] = [listeners, mint, identities];
    this.#secrets = secrets;
    declareGauges(metrics, {
      agents: () => fleet.agents,
      hearing: () => this.#conversation.hearing,
      engineUp: () => fleet.engineUp,
      listeners: () => listeners.size,
      secrets: () => secrets.view.state,
    });
  }

  /** Opens the interfaces and begins. Resolves when they listen; the work goes on until {@link close}. */
  async open(): Promise<void> {
    const { tokenSocket, operatorSocket, allowedHosts, proxy } = this.#settings;
    const [log, local, provisioner, store] = [
      this.#log,
      this.#local,
      this.#provisioner,
      this.#store,
    ];
    const api = httpApi({
      health: () => this.health(),
      status: () => this.status(),
      metrics: async () => this.#metrics.render() + ((await this.#engine.proxyMetrics()) ?? ""),
      allowedHosts,
      addresses: await publishedAddresses(),
      log,
    });
    await new Promise<void>((resolve, reject) => {
      api.once("error", reject);
      api.listen(this.#port, resolve);
    });
    this.#servers.push(api);
    const find = (name: string) => this.#caretaker.find(name);
    this.#servers.push(await serveTokens({ path: tokenSocket, mint: this.#mint, log, find }));
    const isAgent = (name: string) => this.#fleet.find(name) !== undefined;
    const ready = () => this.#provisionedOnce && this.#conversation.session !== undefined;
    const identities = this.#identities;
    const parts = { local, provisioner, store, identities, log, mint: this.#mint };
    this.#servers.push(
      await serveOperator({ path: operatorSocket, ...parts, isAgent, find, ready }),
    );
    const signal = this.#ending.signal;
    const look = () => void this.#fleet.look();
    // One end is several events, and one look afterwards says what became of all of them.
    let settled: NodeJS.Timeout | undefined;
    this.#loops = Promise.all([
      watchDeclarations(proxy, {
        signal,
        log,
        onChange: (list) => {
          this.#caretaker.declare(list);
          look();
        },
      }),
      this.#engine.follow({
        signal,
        log,
        onConnected: look,
        onEvent: (event) => {
          if (!this.#fleet.event(event)) return;
          clearTimeout(settled);
          settled = setTimeout(look, settleMs).unref();
        },
      }),
      this.#engine.followAlerts({ signal, log, onLine: (line) => this.#alerts.proxy.hear(line) }),
      this.#secrets.keep({ signal, onAlert: (line) => this.#alerts.store.hear(line) }),
      this.#lookAgainAndAgain(signal),
      this.#conversation.keep(signal),
    ]);
  }

  /** Port of the HTTP interface. */
  get port(): number {
    const address = this.#servers[0]?.address();
    return typeof address === "object" && address !== null ? address.port : this.#port;
  }

  /** Mattermost hears us and we it, and the declarations have been acted on. */
  get ready(): boolean {
    return this.#conversation.hearing && this.#provisionedOnce;
  }

  /** Ends all work; own tokens are revoked where Mattermost is there. The agents go on as they are. */
  async close(): Promise<void> {
    this.#ending.abort();
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
    const leave = async () => {
      await this.#caretaker.idle();
      await this.#listeners.close();
      const { session } = this.#conversation;
      if (session) await this.#local.revokeToken(session.tokenId).catch(() => undefined);
      await this.#loops;
    };
    await Promise.race([leave(), pause(leaveWithinMs, new AbortController().signal)]);
    this.#router.flush();
    this.#store.close();
  }

  async health(): Promise<Health> {
    const { stack, defaultImage } = this.#settings;
    const docker = await checkDockerHealth(this.#engine, stack, defaultImage);
    // An image that no agent declares is not shown by the proxy, and not needed.
    const needed = this.#fleet.agents.some((agent) => agent.declaration.image === defaultImage);
    const image = docker.imageAvailable || (docker.socketConnected && !needed);
    const allThere = docker.socketConnected && image && docker.networkExists;
    return { ok: !isDockerMode() || allThere, mode: agentMode(), docker };
  }

  status(): Status {
    return {
      stack: this.#settings.stack,
      ready: this.ready,
      secrets: { state: this.#secrets.view.state },
      agents: this.#fleet.agents.map((agent) => ({
        name: agent.name,
        activation: agent.declaration.activation,
        driver: agent.declaration.driver,
        state: agent.state,
        answered: agent.answered,
        ...(agent.greeting === undefined ? {} : { greeting: agent.greeting }),
        ...(agent.lastError === undefined ? {} : { lastError: agent.lastError }),
      })),
    };
  }

  async #inWords(): Promise<string> {
    const docker = this.#fleet.engineUp ? "answers" : "does not answer";
    const count = this.#fleet.agents.length;
    const platform = `Stack ${this.#settings.stack}: Mattermost is connected, Docker ${docker}, ${count} agents are declared.`;
    return `${platform}\n${storeInWords(await this.#secrets.look())}`;
  }

  async #lookAgainAndAgain(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#fleet.look();
      // A bot that could not be made is tried again, and a removal that Mattermost's absence held up.
      this.#caretaker.run();
      await pause(lookEveryMs, signal);
    }
  }
}
