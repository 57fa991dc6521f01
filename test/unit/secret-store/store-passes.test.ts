import { afterEach, beforeEach, expect, it } from "vitest";
import { agent, gone, Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
});
afterEach(() => rig.close());

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

it("calls that come while a pass waits share it", async () => {
  const { store } = await rig.start();
  await store.declare([agent("lal", { A: "generated:16" })]);
  const [one, two, three] = [store.refresh(), store.refresh(), store.refresh()];
  expect([one === two, two === three]).toEqual([true, true]);
  await three;
});
