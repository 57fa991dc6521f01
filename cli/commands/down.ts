import { existsSync, rmSync } from "node:fs";
import { Label, runDirectory } from "../../spec/names.ts";
import { type Command, readArguments } from "../command.ts";
import { type EngineClient, engineJson } from "../engine-api.ts";
import { mustOperate, stackExists } from "../pulumi-stack.ts";
import { endInstances, removeLeftovers } from "../repair.ts";
import {
  openSession,
  prepareEngine,
  prepareTools,
  type Session,
  stackContext,
} from "../session.ts";
import { type FoundEngine, ownEngine, stopEngine } from "../toolchain/engine.ts";

/** Destroys the stack, removes what it left, and stops the Engine where berth has started it. */
export const down: Command = {
  usage: "down",
  summary: "take the stack away; stop the Engine if berth started it",
  async run(args) {
    readArguments(args, {}, { least: 0, most: 0, usage: down.usage });
    const session = openSession();
    const { stages } = session;
    const tools = await prepareTools(session);
    const engine = await prepareEngine(session);
    const context = stackContext(session, tools, engine);
    const ended = await endInstances(engine.client, session.stack);
    if (ended.length > 0) session.console.say(`ended instances: ${ended.join(", ")}`);
    await stages.step("pulumi destroy", async () => {
      if (!(await stackExists(context))) return { says: `there is no stack "${session.stack}"` };
      // Every volume waits two seconds after its end: many at once make that a floor instead of a sum.
      const args = ["destroy", "--yes", "--skip-preview", "--parallel", "32", "--suppress-outputs"];
      await mustOperate(context, args, session.console.say);
      return { says: "done" };
    });
    const left = await removeLeftovers(engine.client, session.stack);
    if (left.length > 0)
      session.console.say(`removed what Pulumi did not know: ${left.join(", ")}`);
    const kept = await keptVolumes(engine.client, session.stack);
    if (kept.length > 0) {
      session.console.print(`volumes kept (docker volume rm removes them): ${kept.join(", ")}`);
    }
    removeSockets(session);
    await stages.step("engine", () => leaveEngine(session, engine));
    return 0;
  },
};

/** Volumes that survive on purpose: workspaces and protected data. */
async function keptVolumes(engine: EngineClient, stack: string): Promise<string[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${Label.stack}=${stack}`] }));
  const { Volumes } = await engineJson<{ Volumes: { Name: string }[] | null }>(engine, {
    path: `/volumes?filters=${filters}`,
  });
  return (Volumes ?? []).map(({ Name }) => Name).sort();
}

/** Socket directories have no container any more. */
function removeSockets(session: Session): void {
  const directory = runDirectory(session.stack);
  if (!existsSync(directory)) return;
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch (error) {
    session.console.say(
      `${directory} stays: ${(error as Error).message}. Remove it as root: rm -r ${directory}`,
    );
  }
}

async function leaveEngine(session: Session, engine: FoundEngine): Promise<{ says: string }> {
  if (!engine.own) return { says: "left running: berth did not start it" };
  const filters = encodeURIComponent(JSON.stringify({ label: [Label.stack] }));
  const others = await engineJson<{ Labels: Record<string, string> }[]>(engine.client, {
    path: `/containers/json?all=1&filters=${filters}`,
  });
  const stacks = new Set(others.map(({ Labels }) => Labels[Label.stack]));
  if (stacks.size > 0) {
    return { says: `left running: other stacks use it (${[...stacks].sort().join(", ")})` };
  }
  await stopEngine(ownEngine(session.cache));
  return { says: "stopped berth's own; its images and volumes stay" };
}
