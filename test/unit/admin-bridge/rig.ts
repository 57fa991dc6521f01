import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bridge } from "../../../services/admin-bridge/bridge.ts";
import type { BridgeSettings } from "../../../services/admin-bridge/settings.ts";
import { createLog } from "../../../services/common/log.ts";
import { FakeMattermost } from "./fake-mattermost.ts";
import { FakeProxy, image, until } from "./fake-proxy.ts";

// Mattermost's client library writes frames and events to the console, as in the service's entry.
console.log = () => undefined;

/** A real bridge between a fake proxy and a fake Mattermost, in a directory of its own. */
export class Rig {
  readonly directory = mkdtempSync(join(tmpdir(), "berth-bridge-"));
  readonly proxy = new FakeProxy();
  readonly mattermost = new FakeMattermost();
  readonly lines: string[] = [];
  #bridge: Bridge | undefined;

  static async open(): Promise<Rig> {
    const rig = new Rig();
    await rig.proxy.open();
    await rig.mattermost.open(rig.path("local.sock"));
    // They have their names before the first look at them.
    for (const name of ["oscar", "ada"]) rig.mattermost.person(name);
    return rig;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  settings(change: Partial<BridgeSettings> = {}): BridgeSettings {
    return {
      stack: "t",
      proxy: this.proxy.endpoint,
      mattermostUrl: this.mattermost.url,
      localSocket: this.path("local.sock"),
      tokenSocket: this.path("tokens.sock"),
      operatorSocket: this.path("operator.sock"),
      storeSocket: this.path("store.sock"),
      team: "berth",
      channel: "town-square",
      operators: ["oscar"],
      data: this.directory,
      defaultImage: image,
      allowedHosts: [],
      ...change,
    };
  }

  /** Starts a bridge and waits until it is ready. */
  async start(change: Partial<BridgeSettings> = {}): Promise<Bridge> {
    const log = createLog("admin-bridge", (line) => {
      this.lines.push(line);
    });
    const bridge = new Bridge(this.settings(change), log, 0);
    this.#bridge = bridge;
    await bridge.open();
    await until("the bridge to be ready", () => bridge.ready);
    return bridge;
  }

  /** Ends the bridge in an orderly way; another may be started on the same data. */
  async stop(): Promise<void> {
    const bridge = this.#bridge;
    this.#bridge = undefined;
    await bridge?.close();
  }

  async close(): Promise<void> {
    await this.stop();
    await this.mattermost.close();
    await this.proxy.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  get bridge(): Bridge {
    if (!this.#bridge) throw new Error("no bridge runs");
    return this.#bridge;
  }

  state(name: string): string | undefined {
    return this.bridge.status().agents.find((agent) => agent.name === name)?.state;
  }

  /** What @berth writes after a post, once there is something. */
  async answer(after: Parameters<FakeMattermost["answers"]>[1]): Promise<string> {
    const [first] = await until("an answer of berth", () => {
      const found = this.mattermost.answers("berth", after);
      return found.length > 0 && found;
    });
    return first?.message ?? "";
  }
}
