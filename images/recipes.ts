import { Path, Service, Uid } from "../spec/names.ts";
import { agentPackages, debianSuite, nodeVersion, npmPackage, postgresMajor } from "./pins.ts";

/** Images that agents and components name. */
export const stackImages = [
  "admin-bridge",
  "agent-base",
  "agent-node",
  "egress-gateway",
  "mattermost-standin",
  "postgres",
  "secret-store",
  "socket-proxy",
] as const;
/** Images that others are built from; nothing runs them. */
export const baseImages = ["debian", "node-runtime"] as const;
export type ImageName = (typeof stackImages)[number] | (typeof baseImages)[number];

/** A Debian tree: the suite's minimum, then these packages between two lists of shell commands run inside it. */
export interface Tree {
  readonly suite: string;
  readonly packages: readonly string[];
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** One thing in an image's layer; all that is data here goes into the image's name. */
export type Ingredient =
  | {
      readonly kind: "directory";
      readonly path: string;
      readonly mode: number;
      readonly owner: number;
    }
  /** A text that stands in the recipe. */
  | { readonly kind: "text"; readonly path: string; readonly mode: number; readonly text: string }
  /** A file of this repository. */
  | { readonly kind: "file"; readonly path: string; readonly mode: number; readonly from: string }
  /** A TypeScript program of this repository, bundled to one file. */
  | { readonly kind: "bundle"; readonly path: string; readonly entry: string }
  /** Node's binary, its shared libraries and the CA certificates. */
  | { readonly kind: "node"; readonly version: string; readonly suite: string }
  /** A package of the npm registry, unpacked under `path`, with links to its commands in `/usr/local/bin`. */
  | {
      readonly kind: "npm-package";
      readonly path: string;
      readonly integrity: string;
      readonly commands: Readonly<Record<string, string>>;
    }
  /** Files of a package of `package-lock.json` that stands outside the bundles, where the programs of `/opt/berth` find it. */
  | {
      readonly kind: "installed-package";
      readonly name: string;
      readonly files: readonly string[];
    }
  | { readonly kind: "tree"; readonly tree: Tree };

export interface Recipe {
  /** None: from scratch. */
  readonly base?: ImageName;
  readonly ingredients: readonly Ingredient[];
  /** Lines of the Dockerfile after the layer is added. */
  readonly lines: readonly string[];
}

const directory = (path: string, owner = 0, mode = 0o755): Ingredient => ({
  kind: "directory",
  path,
  mode,
  owner,
});
const text = (path: string, content: string, mode = 0o644): Ingredient => ({
  kind: "text",
  path,
  mode,
  text: content,
});
const bundle = (name: string, entry: string): Ingredient => ({
  kind: "bundle",
  path: `/opt/berth/${name}.mjs`,
  entry,
});
const json = (...words: readonly string[]) => JSON.stringify(words);

/** Passwd lines of the users that services run under; an image has no others. */
const serviceUsers = [
  ["root", 0],
  ["mattermost", Uid.mattermost],
  ["socket-proxy", Uid.socketProxy],
] as const;

const nodeRuntime: Recipe = {
  ingredients: [
    { kind: "node", version: nodeVersion, suite: debianSuite },
    directory("/etc"),
    text(
      "/etc/passwd",
      serviceUsers.map(([n, id]) => `${n}:x:${id}:${id}::/:/sbin/nologin\n`).join(""),
    ),
    text("/etc/group", serviceUsers.map(([n, id]) => `${n}:x:${id}:\n`).join("")),
    text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    directory("/tmp", 0, 0o1777),
    directory("/var"),
    directory("/run"),
    directory("/opt/berth"),
  ],
  lines: [
    "ENV PATH=/usr/local/bin:/usr/bin:/bin",
    // Fails the build where a library is missing or the binary is of another machine.
    `RUN ${json(
      "/usr/local/bin/node",
      "-e",
      `require("node:crypto").createHash("sha256"); if (process.version !== "v${nodeVersion}") process.exit(1)`,
    )}`,
  ],
};

/** What a service may choose about its image. */
interface ServiceImage {
  readonly uid?: number;
  readonly flags?: readonly string[];
  readonly packages?: readonly Ingredient[];
  /** Directories that are mount points; a new named volume takes its owner from here. */
  readonly mounts: readonly Ingredient[];
}

function serviceImage(
  name: string,
  { uid = 0, flags = [], packages = [], mounts }: ServiceImage,
): Recipe {
  return {
    base: "node-runtime",
    ingredients: [
      bundle(name, `services/${name}/main.ts`),
      bundle("health", "services/common/health-main.ts"),
      ...packages,
      ...mounts,
    ],
    lines: [
      `USER ${uid}:${uid}`,
      `ENTRYPOINT ${json("/usr/local/bin/node", ...flags, `/opt/berth/${name}.mjs`)}`,
    ],
  };
}

/** Programs of ours that read what strangers write: no code from strings, no `__proto__`. */
const strict = ["--disable-proto=delete", "--disallow-code-generation-from-strings"];

/** The userland of agents; service images take Node's libraries from it. */
export const agentTree: Tree = {
  suite: debianSuite,
  packages: agentPackages,
  before: [],
  after: [
    `groupadd --gid ${Uid.agent} agent`,
    `useradd --uid ${Uid.agent} --gid ${Uid.agent} --no-create-home --home-dir ${Path.workspace} --shell /bin/bash agent`,
  ],
};

const postgresTree: Tree = {
  suite: debianSuite,
  packages: [`postgresql-${postgresMajor}`],
  before: [
    `groupadd --gid ${Uid.postgres} postgres`,
    `useradd --uid ${Uid.postgres} --gid ${Uid.postgres} --no-create-home --home-dir /var/lib/postgresql --shell /usr/sbin/nologin postgres`,
    // Peer authentication asks this image for the name behind a connecting uid.
    `groupadd --gid ${Uid.mattermost} mattermost`,
    `useradd --uid ${Uid.mattermost} --gid ${Uid.mattermost} --no-create-home --home-dir / --shell /usr/sbin/nologin mattermost`,
    "mkdir -p /etc/postgresql-common",
    "echo create_main_cluster=false > /etc/postgresql-common/createcluster.conf",
  ],
  // The just-in-time compiler and Debian's Perl wrappers are most of the size and are never used here.
  after: [
    "dpkg --purge --force-depends libllvm19 libz3-4 perl perl-modules-5.40 libperl5.40 locales libc-l10n",
    "rm -rf /var/lib/postgresql/* /etc/postgresql /run/postgresql",
  ],
};

/** All images. Order means nothing; bases are found by name. */
export const recipes: Readonly<Record<ImageName, Recipe>> = {
  "node-runtime": nodeRuntime,
  // On node-runtime, so that services and agents share one copy of Node on disk and in memory.
  debian: {
    base: "node-runtime",
    ingredients: [{ kind: "tree", tree: agentTree }],
    lines: ["ENV PATH=/usr/local/bin:/usr/bin:/bin"],
  },
  "socket-proxy": serviceImage("socket-proxy", {
    // Well below the container's memory: a runaway heap ends with a message, not by the kernel.
    flags: [...strict, "--max-old-space-size=160"],
    mounts: [directory(Path.proxyRun), directory(Path.audit)],
  }),
  "egress-gateway": serviceImage("egress-gateway", {
    flags: strict,
    mounts: [
      directory(Path.agentsRun),
      directory(Path.proxyRun),
      directory(Path.tokenSocket.replace(/\/[^/]*$/, ""), Uid.mattermost),
      directory(Path.storeRun),
      directory(Path.storeEgressRun),
    ],
  }),
  "secret-store": serviceImage("secret-store", {
    packages: [
      {
        kind: "installed-package",
        name: "@1password/sdk-core",
        files: ["package.json", "nodejs/core.js", "nodejs/core_bg.wasm"],
      },
    ],
    mounts: [
      directory(Path.agentsRun),
      directory(Path.proxyRun),
      directory(Path.secretStoreRun),
      directory(Path.storeRun),
      directory(Path.storeEgressRun),
    ],
  }),
  "admin-bridge": serviceImage("admin-bridge", {
    uid: Uid.mattermost,
    mounts: [
      directory("/data", Uid.mattermost, 0o700),
      directory("/var/tmp", Uid.mattermost),
      directory(Path.tokenSocket.replace(/\/[^/]*$/, ""), Uid.mattermost),
      directory(Path.storeRun),
    ],
  }),
  "mattermost-standin": serviceImage("mattermost-standin", {
    uid: Uid.mattermost,
    mounts: [
      directory("/data", Uid.mattermost, 0o700),
      directory("/var/tmp", Uid.mattermost),
      directory(Path.postgresRun, Uid.postgres),
    ],
  }),
  postgres: {
    ingredients: [
      { kind: "tree", tree: postgresTree },
      directory("/etc/berth"),
      {
        kind: "file",
        path: "/etc/berth/pg_hba.conf",
        mode: 0o644,
        from: "images/postgres/pg_hba.conf",
      },
      {
        kind: "file",
        path: "/etc/berth/postgresql.conf",
        mode: 0o644,
        from: "images/postgres/postgresql.conf",
      },
      {
        kind: "file",
        path: "/usr/local/bin/berth-postgres",
        mode: 0o755,
        from: "images/postgres/berth-postgres.sh",
      },
      directory("/var/lib/postgresql", Uid.postgres, 0o700),
      directory(Path.postgresRun, Uid.postgres),
    ],
    lines: [
      `ENV PATH=/usr/lib/postgresql/${postgresMajor}/bin:/usr/local/bin:/usr/bin:/bin PGHOST=${Path.postgresRun}`,
      `USER ${Uid.postgres}:${Uid.postgres}`,
      "WORKDIR /var/lib/postgresql",
      `ENTRYPOINT ${json("/usr/local/bin/berth-postgres")}`,
    ],
  },
  "agent-base": {
    base: "debian",
    ingredients: [
      bundle("agent-runner", "services/agent-runner/main.ts"),
      bundle("demo-agent", "services/agent-runner/demo-agent/main.ts"),
      text(
        "/usr/local/bin/demo-agent",
        '#!/bin/sh\nexec /usr/local/bin/node /opt/berth/demo-agent.mjs "$@"\n',
        0o755,
      ),
      directory(Path.agentRun),
      directory(Path.workspace, Uid.agent),
    ],
    lines: [
      `USER ${Uid.agent}:${Uid.agent}`,
      `WORKDIR ${Path.workspace}`,
      `ENTRYPOINT ${json("/usr/local/bin/node", "/opt/berth/agent-runner.mjs")}`,
    ],
  },
  "agent-node": {
    base: "agent-base",
    ingredients: [
      {
        kind: "npm-package",
        path: "/usr/local/lib/node_modules/npm",
        integrity: npmPackage.integrity,
        commands: { npm: "bin/npm-cli.js", npx: "bin/npx-cli.js" },
      },
    ],
    lines: [],
  },
};

/** Image of a platform service, by the service's name. Mattermost's is the stand-in. */
export const serviceImages: Readonly<Record<Service, ImageName>> = {
  [Service.socketProxy]: "socket-proxy",
  [Service.postgres]: "postgres",
  [Service.mattermost]: "mattermost-standin",
  [Service.adminBridge]: "admin-bridge",
  [Service.egressGateway]: "egress-gateway",
  [Service.secretStore]: "secret-store",
};
