import { Label, Service } from "../spec/names.ts";
import { type EngineClient, engineJson } from "./engine-api.ts";
import { exportState, mustOperate, type StackContext, type StateExport } from "./pulumi-stack.ts";
import type { RunResult } from "./run.ts";

/**
 * Mends what a Pulumi that was killed half-way has left, as the next operation's output tells it: the Engine's objects that it
 * could not record, and the record of what it was doing.
 * @param result of that next operation, failed or not
 * @returns whether something was mended, so that the operation is worth another try
 */
export async function repair(
  context: StackContext,
  engine: EngineClient,
  result: RunResult,
  say: (line: string) => void,
): Promise<boolean> {
  const removed = result.code === 0 ? [] : await removeOrphans(engine, context, result.output);
  if (removed.length > 0) {
    say(`pulumi: removed what a run that was cut off had left: ${removed.join(", ")}`);
  }
  const pending = /pending operations from previous deployment/.test(result.output);
  if (pending) {
    say("pulumi: an earlier run was cut off; reading the stack again");
    const refresh = ["refresh", "--yes", "--skip-preview", "--clear-pending-creates"];
    await mustOperate(context, [...refresh, "--suppress-outputs"], say);
  }
  return pending || removed.length > 0;
}

/**
 * Starts services that do not run. An Engine that was killed counts them as stopped by hand and leaves them down, and Pulumi does
 * not look. Agents are the admin bridge's to start.
 * @returns names of the services that were down
 */
export async function startServices(engine: EngineClient, stack: string): Promise<string[]> {
  const filters = encodeURIComponent(
    JSON.stringify({
      label: [`${Label.stack}=${stack}`],
      status: ["created", "exited", "dead"],
    }),
  );
  const down = await engineJson<{ Id: string; Labels: Record<string, string> }[]>(engine, {
    path: `/containers/json?all=1&filters=${filters}`,
  });
  const started: string[] = [];
  // In the order in which they need one another.
  for (const service of Object.values(Service)) {
    const found = down.find(({ Labels }) => Labels[Label.component] === service);
    if (!found) continue;
    await engineJson(engine, { method: "POST", path: `/containers/${found.Id}/start` });
    started.push(service);
  }
  return started;
}

/** Grace of an instance whose stack goes, as at the socket proxy. */
const instanceGraceSeconds = 5;

/**
 * Ends what the socket proxy made of templates: Pulumi does not know of it, and the proxy, which would end it with its
 * declaration, need not be running. Before the stack's destruction: it holds agents' workspaces.
 * @returns names of the instances
 */
export async function endInstances(engine: EngineClient, stack: string): Promise<string[]> {
  const filters = encodeURIComponent(
    JSON.stringify({ label: [`${Label.stack}=${stack}`, Label.instance] }),
  );
  const instances = await engineJson<{ Id: string; Names: string[] }[]>(engine, {
    path: `/containers/json?all=1&filters=${filters}`,
  });
  await Promise.all(
    instances.map(async ({ Id }) => {
      // The proxy may end it at the same moment: what is gone, or going, is as good as ended.
      await engine.request({
        method: "POST",
        path: `/containers/${Id}/stop?t=${instanceGraceSeconds}`,
      });
      const path = `/containers/${Id}?force=1&v=1`;
      const { status, text } = await engine.request({ method: "DELETE", path });
      if (status >= 400 && status !== 404 && status !== 409) {
        throw new Error(`the Engine did not remove ${Id}: ${text.trim()} (status ${status})`);
      }
    }),
  );
  return instances.map(({ Id, Names }) => Names[0]?.slice(1) ?? Id).sort();
}

/**
 * Removes every container and network that carries a stack's label, instances that the socket proxy made among them; for
 * after its destruction. Volumes with a name stay: they hold data. Those without, which an image brought along, go too.
 */
export async function removeLeftovers(engine: EngineClient, stack: string): Promise<string[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${Label.stack}=${stack}`] }));
  const containers = await engineJson<{ Id: string; Names: string[] }[]>(engine, {
    path: `/containers/json?all=1&filters=${filters}`,
  });
  for (const { Id } of containers) {
    await engineJson(engine, { method: "DELETE", path: `/containers/${Id}?force=1&v=1` });
  }
  const networks = await engineJson<{ Id: string; Name: string }[]>(engine, {
    path: `/networks?filters=${filters}`,
  });
  for (const { Id } of networks)
    await engineJson(engine, { method: "DELETE", path: `/networks/${Id}` });
  return [
    ...containers.map(({ Id, Names }) => Names[0]?.slice(1) ?? Id),
    ...networks.map(({ Name }) => Name),
  ].sort();
}

/**
 * Removes containers and networks that stand in the way of the state: made by a run that was cut off before it could record
 * them. Only what carries this stack's label and is not in its state; volumes never, they hold data.
 * @param output lines of the failed operation
 * @returns names of what was removed
 */
async function removeOrphans(
  engine: EngineClient,
  context: StackContext,
  output: string,
): Promise<string[]> {
  const inTheWay = conflictsIn(output);
  if (inTheWay.length === 0) return [];
  const state = await exportState(context);
  const removed: string[] = [];
  for (const { kind, name } of inTheWay) {
    if (await removeOrphan(engine, context.stack, state, kind, name)) removed.push(name);
  }
  return removed;
}

async function removeOrphan(
  engine: EngineClient,
  stack: string,
  state: StateExport,
  kind: "containers" | "networks",
  name: string,
): Promise<boolean> {
  const path = `/${kind}/${encodeURIComponent(name)}`;
  const inspect = await engine.request({ path: kind === "containers" ? `${path}/json` : path });
  if (inspect.status !== 200) return false;
  const found = JSON.parse(inspect.text) as {
    Id: string;
    Labels?: Record<string, string> | null;
    Config?: { Labels?: Record<string, string> | null };
  };
  const labels = found.Config?.Labels ?? found.Labels;
  const known = (state.deployment.resources ?? []).some(({ id }) => id === found.Id);
  if (known || labels?.[Label.stack] !== stack) return false;
  await engineJson(engine, {
    method: "DELETE",
    path: `/${kind}/${found.Id}${kind === "containers" ? "?force=1" : ""}`,
  });
  return true;
}

/** Names that the Engine said are taken already, each once. */
export function conflictsIn(
  output: string,
): { readonly kind: "containers" | "networks"; readonly name: string }[] {
  const containers = output.matchAll(/container name "\/?([A-Za-z0-9_.-]+)" is already in use/g);
  const networks = output.matchAll(/network with name "?([A-Za-z0-9_.-]+)"? already exists/g);
  return [
    ...namesOf(containers).map((name) => ({ kind: "containers" as const, name })),
    ...namesOf(networks).map((name) => ({ kind: "networks" as const, name })),
  ];
}

function namesOf(matches: Iterable<RegExpExecArray>): string[] {
  return [...new Set([...matches].map(([, name]) => name ?? ""))].filter((name) => name !== "");
}
