import type { Declaration, Template } from "../../spec/declaration.ts";
import { presets } from "../../spec/presets.ts";
import type { RealProxy } from "./real-proxy.ts";

const node = "/usr/local/bin/node";

/** A worker of an image that has Node: takes a `TASK_ID`, says it and exits with 3. */
export function workerTemplate(image: string, changes: Partial<Template> = {}): Template {
  return {
    preset: "worker",
    image,
    command: [node, "-e", "console.log('task ' + process.env.TASK_ID); process.exitCode = 3"],
    env: { LOG_LEVEL: "info" },
    parameters: { TASK_ID: { pattern: "[a-z0-9-]{1,40}", maxLength: 40 } },
    limits: presets.worker,
    network: "sealed",
    workspace: "shared",
    instances: { max: 8, timeoutSeconds: 600 },
    ...changes,
  };
}

/** One that says `ready` on both streams, nothing until SIGTERM, then `bye`, and exits with 7. */
export function waitingTemplate(image: string, changes: Partial<Template> = {}): Template {
  const program =
    // Before the first word: whoever hears it may stop the program at once.
    "process.on('SIGTERM', () => { console.log('bye'); process.exitCode = 7; process.exit(); });" +
    "console.log('ready'); console.error('ready, too'); setInterval(() => {}, 1000)";
  return workerTemplate(image, { command: [node, "-e", program], parameters: {}, ...changes });
}

/** Declares an agent and makes its container, as `pulumi up` does; it is not started. */
export async function declareAgent(
  proxy: RealProxy,
  name: string,
  changes: Partial<Declaration>,
): Promise<Declaration> {
  const declaration = proxy.declarationOf(name, changes);
  await proxy.declare(declaration);
  await proxy.make(declaration);
  return declaration;
}

/** Makes an instance by the proxy's own call. @returns its id @throws Error with what the proxy says */
export async function createInstance(
  proxy: RealProxy,
  template: string,
  instance: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<string> {
  const body = { template, instance, parameters };
  const answer = await proxy.ask("/berth/instances", "POST", body);
  if (answer.status !== 201) throw new Error(`${template}: ${answer.status} ${answer.text}`);
  return (JSON.parse(answer.text) as { readonly Id: string }).Id;
}

/** The same, started. */
export async function startInstance(...args: Parameters<typeof createInstance>): Promise<string> {
  const id = await createInstance(...args);
  const [proxy] = args;
  const answer = await proxy.ask(`/containers/${id}/start`, "POST");
  if (answer.status !== 204) throw new Error(`${id}: ${answer.status} ${answer.text}`);
  return id;
}
