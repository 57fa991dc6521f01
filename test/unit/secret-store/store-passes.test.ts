import { afterEach, beforeEach, expect, it } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { Redacted } from "../../../services/common/redacted.ts";
import { PushedValues } from "../../../services/secret-store/pushed.ts";
import { openRounds } from "../../../services/secret-store/rounds.ts";
import { openSeed } from "../../../services/secret-store/seed.ts";
import type { Sources } from "../../../services/secret-store/source.ts";
import { SecretStore } from "../../../services/secret-store/store.ts";
import type { Resolution } from "../../../services/secret-store/value.ts";
import { agent, gone, owner, Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
});
afterEach(() => rig.close());

const quiet = createLog("secret-store", () => undefined);

/** Sources whose 1Password says what a test wants, by how often it was asked. */
async function sourcesWith(answer: (reads: number) => Resolution): Promise<Sources> {
  let reads = 0;
  const op = {
    want: () => undefined,
    resolve: () => answer(reads++),
    itemOf: () => undefined,
    revision: 0,
  };
  return {
    development: true,
    directory: undefined,
    pushed: new PushedValues(),
    seed: await openSeed(rig.own),
    rounds: await openRounds(rig.own),
    op,
  };
}

it("a pass over agents of which some are removed meanwhile ends early: nobody waits for it", async () => {
  const { store } = await rig.start();
  const fleet = Array.from({ length: 200 }, (_, i) => agent(`a${i}x`, { A: "generated:16" }));
  const first = store.declare(fleet);
  // The pass has begun when its first file is there.
  while (await gone(rig.place("a0x", "A"))) await new Promise((resolve) => setImmediate(resolve));
  await store.declare(fleet.slice(0, 1));
  await first;
  expect(await gone(rig.place("a199x", "A"))).toBe(true);
  expect(store.states.map(({ agent: name }) => name)).toEqual(["a0x"]);
  const delivered = rig.log.filter((line) => line.includes('"delivered"')).length;
  expect(delivered).toBeLessThan(200);
  // What was delivered before is taken away again.
  for (const { name } of fleet.slice(1)) expect(await gone(rig.place(name, "A"))).toBe(true);
});

it("a one-time password whose next one is not read yet stays where it is", async () => {
  const sources = await sourcesWith((reads) =>
    reads === 0
      ? { kind: "value", value: new Redacted(Buffer.from("111111")), identity: "version 1" }
      : { kind: "stands", identity: "version 2" },
  );
  const store = new SecretStore({ directory: rig.agents, sources, log: quiet, owner });
  const reference = "op://agents/lal/code?attribute=otp";
  await store.declare([agent("lal", { CODE: reference })]);
  await store.refresh();
  expect(store.states).toMatchObject([
    { state: "kept", reason: expect.stringMatching(/next look/) },
  ]);
  expect(await rig.text("lal", "CODE")).toBe("111111");
});

it("calls that come while a pass waits share it", async () => {
  const { store } = await rig.start();
  await store.declare([agent("lal", { A: "generated:16" })]);
  const [one, two, three] = [store.refresh(), store.refresh(), store.refresh()];
  expect([one === two, two === three]).toEqual([true, true]);
  await three;
});
