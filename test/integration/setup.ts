import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { until } from "../support/engine.ts";
import { canary, secretsDirectory, sharedFleet, writeFleet } from "../support/fleet.ts";
import { type OutsideWorld, startOutside } from "../support/outside.ts";
import { Stack, type StackFacts } from "../support/stack.ts";
import { recordEvents } from "../support/sweep/events.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The one stack that most files of this folder share. */
    readonly stack: StackFacts;
    readonly operatorPassword: string;
    /** A file with every event of the Engine since before the stack began. */
    readonly events: string;
    /** What stands in for the internet, for the stack's egress gateway. */
    readonly outside: {
      readonly container: string;
      readonly address: string;
      readonly certificate: string;
    };
  }
}

/** One real stack for the whole folder, with the agents of `sharedFleet`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stack = await Stack.create("shared");
  const events = join(tmpdir(), `${stack.name}-events.ndjson`);
  const endRecord = recordEvents(events);
  const secrets = secretsDirectory(stack, { canary });
  stack.configure({
    secretsDirectory: JSON.stringify(secrets),
    // Attacks of many files come from the bridge's own container; its suspension is the subject of another suite.
    suspension: JSON.stringify({ denials: 1_000_000, windowSeconds: 60, seconds: 1 }),
  });
  writeFleet(stack, sharedFleet(secrets));
  let outside: OutsideWorld | undefined;
  try {
    await stack.up();
    outside = await startOutside({
      network: `berth-${stack.name}-egress-net`,
      names: ["allowed.example.test", "refused.example.test"],
    });
    const password = await until(
      "the admin bridge to make a person",
      () => stack.addPerson("operator"),
      90_000,
    );
    const { container, address, certificate } = outside;
    project.provide("outside", { container, address, certificate });
    project.provide("stack", stack.facts);
    project.provide("events", events);
    project.provide("operatorPassword", password);
  } catch (error) {
    await outside?.close();
    await stack.remove();
    await forget();
    throw error;
  }
  const world = outside;
  return async () => {
    await world.close();
    await stack.remove();
    await forget();
  };

  async function forget(): Promise<void> {
    await endRecord();
    rmSync(events, { force: true });
  }
}
