import { waitForAgents } from "../admin-api.ts";
import { type Command, readArguments } from "../command.ts";
import { CliError, withoutControls } from "../console.ts";
import type { EngineClient } from "../engine-api.ts";
import { addUser, pushSecrets } from "../operator.ts";
import {
  mustHaveSucceeded,
  type Outputs,
  operate,
  outputsOf,
  type StackContext,
  selectStack,
} from "../pulumi-stack.ts";
import { repair, startServices } from "../repair.ts";
import { unlockAfterUp } from "../secrets/unlock.ts";
import {
  openSession,
  prepareEngine,
  prepareImages,
  prepareTools,
  type Session,
  stackContext,
} from "../session.ts";
import { mustBeHealthy } from "./doctor.ts";
import { waitSeconds } from "./wait.ts";

/** Time for the admin bridge to take the first person's account, after `pulumi up` has found it healthy. */
const firstPersonMs = 120_000;

/** Everything, in order: preconditions, tools, Engine, images, `pulumi up`, the first person, the first answers. */
export const up: Command = {
  usage: "up",
  summary: "bring the stack up and wait for its agents",
  async run(args) {
    readArguments(args, {}, { least: 0, most: 0, usage: up.usage });
    const session = openSession();
    const { stages } = session;
    await stages.step("doctor", () => mustBeHealthy(session));
    // Compiling Go and fetching an Engine use different things: both at once.
    const [tools, engine] = await Promise.all([prepareTools(session), prepareEngine(session)]);
    // An Engine that was not there before could not be checked before.
    if (engine.started) await mustBeHealthy(session);
    await prepareImages(session, engine);
    const context = stackContext(session, tools, engine);
    await stages.step("pulumi up", () => pulumiUp(context, session, engine.client));
    const outputs = await outputsOf(context);
    const person = session.config.operator;
    const account = await stages.step("first person", () =>
      firstPerson(session, engine.client, person),
    );
    await unlockAfterUp(session, engine.client);
    await handOverSecrets(session, engine.client);
    const answers = await stages.step("agents", () => firstAnswers(outputs));
    report(session, outputs, { ...account, name: person }, answers.greetings);
    return 0;
  },
};

/** Most rounds of mending after a run that was cut off. */
const maxRepairs = 6;
const upArgs = ["up", "--yes", "--skip-preview", "--parallel", "32", "--suppress-outputs"];

async function pulumiUp(
  context: StackContext,
  session: Session,
  engine: EngineClient,
): Promise<{ says: string }> {
  const { say } = session.console;
  await selectStack(context);
  let result = await operate(context, upArgs, say);
  // Each round can uncover what depends on what it has mended.
  for (let round = 0; round < maxRepairs; round++) {
    if (!(await repair(context, engine, result, say))) break;
    result = await operate(context, upArgs, say);
  }
  mustHaveSucceeded(result, upArgs);
  const started = await startServices(engine, session.stack);
  if (started.length > 0) say(`started what was down: ${started.join(", ")}`);
  return { says: didChange(result.output) ? "done" : "nothing to change" };
}

/** Whether Pulumi's summary counts anything but unchanged resources. */
export function didChange(output: string): boolean {
  const summary = output.slice(Math.max(0, output.lastIndexOf("Resources:")));
  return /\b[0-9]+ (created|updated|deleted|replaced|imported)\b/.test(summary);
}

/** Makes the first person's account, as soon as the chat server takes it. */
async function firstPerson(
  session: Session,
  engine: EngineClient,
  name: string,
): Promise<{ says: string; password: string | undefined }> {
  const end = Date.now() + firstPersonMs;
  for (;;) {
    try {
      const password = await addUser(session, engine, name);
      return {
        says: password ? `made an account for ${name}` : `${name} has an account already`,
        password,
      };
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

async function handOverSecrets(session: Session, engine: EngineClient): Promise<void> {
  const { pushed, missing } = await pushSecrets(session, engine);
  if (pushed.length > 0) session.console.say(`secrets: handed over ${pushed.join(", ")}`);
  if (missing.length > 0) {
    session.console.say(
      `secrets: no value here for ${missing.join(", ")}: set them and run "berth secrets push"`,
    );
  }
}

async function firstAnswers(outputs: Outputs): Promise<{ says: string; greetings: string[] }> {
  const result = await waitForAgents({
    adminUrl: outputs.adminUrl,
    timeoutMs: waitSeconds * 1000,
  });
  if (!result.done) {
    throw new CliError(
      `the stack is declared, but after ${waitSeconds} s:\n${result.reasons.join("\n")}\n` +
        'Look at "berth logs <part>"; "berth wait" goes on waiting',
    );
  }
  const agents = result.status?.agents ?? [];
  return {
    says: agents.map((agent) => `${agent.name} ${agent.state}`).join(", ") || "none declared",
    greetings: agents.flatMap((agent) =>
      agent.greeting ? [`${agent.name} says: ${withoutControls(agent.greeting)}`] : [],
    ),
  };
}

function report(
  session: Session,
  outputs: Outputs,
  person: { readonly name: string; readonly password: string | undefined },
  greetings: readonly string[],
): void {
  const { print, say } = session.console;
  say(`total: ${session.stages.summary()}`);
  for (const greeting of greetings) print(greeting);
  const server =
    outputs.mattermost === "official"
      ? "the official Mattermost"
      : "berth's stand-in for Mattermost (berth:mattermostImage takes the official one)";
  print(`chat server: ${server}`);
  print(`chat: ${outputs.mattermostUrl}`);
  print(`user: ${person.name}`);
  if (person.password) print(`password: ${person.password} (shown this once)`);
}
