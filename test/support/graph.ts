import * as pulumi from "@pulumi/pulumi";

/**
 * An engine double: it runs a program against Pulumi's mocks and keeps every registration whole.
 * It cannot prove what Docker accepts or how the provider diffs; `test/integration` does.
 */

/** One registered resource as the engine would get it; secrets stay in their envelope. */
export interface Registered {
  /** Computed here: the mocks' own URNs may repeat. */
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  /** URN of the parent; empty for the stack. */
  readonly parent: string;
  readonly custom: boolean;
  /** Empty: the default provider. */
  readonly provider: string;
  readonly protect: boolean;
  readonly retainOnDelete: boolean;
  readonly deleteBeforeReplace: boolean;
  readonly replaceOnChanges: readonly string[];
  readonly ignoreChanges: readonly string[];
  readonly dependencies: readonly string[];
  readonly inputs: Readonly<Record<string, unknown>>;
}

export interface Graph {
  readonly resources: readonly Registered[];
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** What an `up` would do with each resource, by URN. */
export interface Steps {
  readonly creates: readonly string[];
  readonly updates: readonly string[];
  readonly replaces: readonly string[];
  readonly deletes: readonly string[];
  readonly sames: readonly string[];
}

/** The members of a registration request that are read here. */
interface Request {
  getType(): string;
  getName(): string;
  getParent(): string;
  getCustom(): boolean;
  getProvider(): string;
  getProtect(): boolean;
  getRetainondelete(): boolean;
  getDeletebeforereplace(): boolean;
  getReplaceonchangesList(): string[];
  getIgnorechangesList(): string[];
  getDependenciesList(): string[];
  getObject(): { toJavaScript(): Record<string, unknown> } | undefined;
}
interface Response {
  getUrn(): string;
}
interface MonitorLike {
  registerResource(
    request: Request,
    done: (error: Error | null, response?: Response) => void,
  ): Promise<void>;
}

/** Runs a program on the double. @throws what the program throws, and Error for two resources of one URN */
export async function graphOf(
  program: () => object,
  options: { readonly stack?: string; readonly preview?: boolean } = {},
): Promise<Graph> {
  const stack = options.stack ?? "dev";
  await pulumi.runtime.setMocks(
    {
      newResource: ({ name, type, inputs, custom }) => ({
        id: custom === false ? undefined : `${type}:${name}:id`,
        state: inputs as Record<string, unknown>,
      }),
      call: ({ inputs }) => inputs as Record<string, unknown>,
    },
    "berth",
    stack,
    options.preview ?? false,
  );
  const seen: { readonly request: Request; readonly mockUrn: string }[] = [];
  const monitor = pulumi.runtime.getMonitor() as unknown as MonitorLike;
  const send = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, done) =>
    send(request, (error, response) => {
      if (response) seen.push({ request, mockUrn: response.getUrn() });
      done(error, response);
    });
  let outputs: object = {};
  let thrown: unknown;
  // As in index.ts: Pulumi's stack traces are most of the time of a run.
  const stackTraceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    await pulumi.runtime.runInPulumiStack(async () => {
      try {
        outputs = program();
      } catch (error) {
        // Kept, so that what was registered before it is answered: else Pulumi rejects promises that nobody holds.
        thrown = error;
      }
      return outputs;
    });
    // Without it the program returns with registrations in flight.
    await (pulumi.runtime as unknown as { waitForRPCs(): Promise<void> }).waitForRPCs();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  if (thrown !== undefined) throw thrown;
  return { resources: registered(seen, stack), outputs: await plain(outputs) };
}

function registered(
  seen: readonly { readonly request: Request; readonly mockUrn: string }[],
  stack: string,
): Registered[] {
  const byMock = new Map(seen.map((entry) => [entry.mockUrn, entry.request]));
  const chain = (request: Request): string => {
    const parent = byMock.get(request.getParent());
    const own = request.getType();
    return parent && parent.getType() !== "pulumi:pulumi:Stack" ? `${chain(parent)}$${own}` : own;
  };
  const urnOf = (request: Request | undefined): string =>
    request ? `urn:pulumi:${stack}::berth::${chain(request)}::${request.getName()}` : "";
  const resources = seen.map(({ request }) => ({
    urn: urnOf(request),
    type: request.getType(),
    name: request.getName(),
    parent: urnOf(byMock.get(request.getParent())),
    custom: request.getCustom(),
    provider: request.getProvider(),
    protect: request.getProtect(),
    retainOnDelete: request.getRetainondelete(),
    deleteBeforeReplace: request.getDeletebeforereplace(),
    replaceOnChanges: request.getReplaceonchangesList(),
    ignoreChanges: request.getIgnorechangesList(),
    dependencies: request
      .getDependenciesList()
      .map((urn) => urnOf(byMock.get(urn)))
      .sort(),
    inputs: request.getObject()?.toJavaScript() ?? {},
  }));
  const urns = resources.map((resource) => resource.urn);
  const twice = urns.filter((urn, i) => urns.indexOf(urn) !== i);
  if (twice.length > 0) throw new Error(`registered twice: ${twice.join(", ")}`);
  return resources.sort((a, b) => (a.urn < b.urn ? -1 : 1));
}

async function plain(outputs: object): Promise<Record<string, unknown>> {
  const entries = await Promise.all(
    Object.entries(outputs).map(async ([key, value]) => [key, await settled(value)] as const),
  );
  return Object.fromEntries(entries);
}

function settled(value: unknown): Promise<unknown> {
  return new Promise((resolve) => {
    pulumi.output({ value }).apply((known) => resolve(known.value));
  });
}

/** Inputs that the docker provider changes in place; every other one replaces (facts: terraform-provider-docker 4.5). */
const inPlace: Readonly<Record<string, readonly string[]>> = {
  "docker:index/container:Container": [
    "cpuSet",
    "cpuShares",
    "destroyGraceSeconds",
    "maxRetryCount",
    "memory",
    "memoryReservation",
    "memorySwap",
    "mustRun",
    "removeVolumes",
    "restart",
    "start",
    "wait",
    "waitTimeout",
  ],
  "docker:index/network:Network": [],
  "docker:index/volume:Volume": [],
  "docker:index/remoteImage:RemoteImage": ["name"],
};

/** What `up` would do to get from one graph to the next. */
export function steps(before: Graph, after: Graph): Steps {
  const old = new Map(before.resources.map((resource) => [resource.urn, resource]));
  const created: string[] = [];
  const updated: string[] = [];
  const replaced: string[] = [];
  const same: string[] = [];
  for (const resource of after.resources) {
    const previous = old.get(resource.urn);
    old.delete(resource.urn);
    if (!previous) {
      created.push(resource.urn);
      continue;
    }
    const keys = new Set([...Object.keys(previous.inputs), ...Object.keys(resource.inputs)]);
    const changed = [...keys].filter(
      (key) =>
        !resource.ignoreChanges.includes(key) &&
        JSON.stringify(previous.inputs[key]) !== JSON.stringify(resource.inputs[key]),
    );
    if (changed.length === 0) same.push(resource.urn);
    else if (changed.every((key) => inPlace[resource.type]?.includes(key)))
      updated.push(resource.urn);
    else replaced.push(resource.urn);
  }
  return {
    creates: created,
    updates: updated,
    replaces: replaced,
    deletes: [...old.keys()],
    sames: same,
  };
}

/** What `destroy` would leave on the host: nothing but what is retained. @throws Error that names what is protected */
export function leftBy(graph: Graph): readonly Registered[] {
  const locked = graph.resources.filter((resource) => resource.protect);
  if (locked.length > 0) throw new Error(`protected: ${locked.map((r) => r.name).join(", ")}`);
  return graph.resources.filter((resource) => resource.retainOnDelete);
}

/** All resources of a type, `Container` for short. @throws Error where there is none, so no law holds for want of cases */
export function ofType(
  graph: Graph,
  type: "Container" | "Network" | "RemoteImage" | "Volume",
): Registered[] {
  const found = graph.resources.filter((r) => r.type.endsWith(`:${type}`));
  if (found.length === 0) throw new Error(`no ${type} was registered`);
  return found;
}
