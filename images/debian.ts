import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashOf, type Json } from "../spec/canonical.ts";
import type { Cache } from "./cache.ts";
import type { Architecture } from "./pins.ts";
import type { Tree } from "./recipes.ts";
import { run } from "./run.ts";

/** What making a tree needs of its surroundings. */
export interface DebianContext {
  readonly cache: Cache;
  readonly architecture: Architecture;
  readonly log: (line: string) => void;
  /** Where packages come from. Undefined: debootstrap's own default. */
  readonly mirror: string | undefined;
}

const debianArchitecture: Record<Architecture, string> = { x64: "amd64", arm64: "arm64" };

/**
 * Folders that no running container needs. `copyright` files stay.
 * Set-uid bits go as well: no container of ours may gain rights.
 */
const tidy = [
  "apt-get clean",
  "rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/* /tmp/* /usr/share/man /usr/share/info /usr/share/locale",
  "find /usr/share/doc -type f ! -name copyright -delete",
  "find /usr/share/doc -type l -delete",
  "find /usr/share/doc -depth -type d -empty -delete",
  "find / -xdev -type f -perm /6000 -exec chmod a-s {} +",
  "rm -f /etc/resolv.conf /etc/hostname /etc/apt/apt.conf.d/99berth /etc/dpkg/dpkg.cfg.d/berth /usr/sbin/policy-rc.d",
];

/**
 * A gzipped tar archive of a Debian tree, from the cache or made now.
 * Packages are installed into the tree before it becomes an image, because a build that runs `apt-get` in a container needs
 * a network inside the Engine; this way the machine's own network is enough.
 * @throws Error that says what to install or to run as
 */
export function debianTree(context: DebianContext, tree: Tree): Promise<string> {
  return context.cache.file(key(context, "tree", tree as unknown as Json), async (path) => {
    const minimum = await minimalTree(context, tree.suite);
    context.log(`Debian ${tree.suite} with ${tree.packages.join(", ")}`);
    await context.cache.withFolder(async (folder) => {
      const root = join(folder, "root");
      await mkdir(root);
      await run("tar", ["-xzf", minimum, "--numeric-owner", "-C", root]);
      await inside(root, [
        ...tree.before,
        "apt-get update",
        "apt-get -y upgrade",
        `apt-get -y install --no-install-recommends ${tree.packages.join(" ")}`,
        ...tree.after,
        ...tidy,
      ]);
      await pack(root, path);
    });
  });
}

/** Reads single files of a tree's archive into `folder`, symbolic links as what they point to. */
export async function filesOfTree(
  archive: string,
  folder: string,
  patterns: readonly string[],
): Promise<void> {
  await run("tar", ["-xzf", archive, "-C", folder, "--no-same-owner", "--wildcards", ...patterns]);
}

/** The suite's minimum, as debootstrap makes it: common start of all trees. */
function minimalTree(context: DebianContext, suite: string): Promise<string> {
  return context.cache.file(key(context, "minimum", suite), async (path) => {
    await requireDebootstrap(context);
    context.log(`Debian ${suite} by debootstrap`);
    await context.cache.withFolder(async (folder) => {
      const root = join(folder, "root");
      await isolated("debootstrap", [
        "--variant=minbase",
        `--arch=${debianArchitecture[context.architecture]}`,
        suite,
        root,
        ...(context.mirror ? [context.mirror] : []),
      ]);
      await addSecuritySuite(root, suite, context.log);
      await pack(root, path);
    });
  });
}

async function requireDebootstrap(context: DebianContext): Promise<void> {
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) {
    throw new Error(
      "base images are made by debootstrap, which needs root on Debian or Ubuntu: run as root there, or build on such a machine and move the images with docker save and docker load",
    );
  }
  if (existsSync("/usr/sbin/debootstrap")) return;
  context.log("installing debootstrap");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-y", "--no-install-recommends", "debootstrap"];
  await run("apt-get", install, { env }).catch(async () => {
    await run("apt-get", ["update"], { env });
    await run("apt-get", install, { env });
  });
}

/** Adds the suite's security updates where the mirror has them beside it, as Debian's own mirrors do. */
async function addSecuritySuite(
  root: string,
  suite: string,
  log: (line: string) => void,
): Promise<void> {
  const list = join(root, "etc/apt/sources.list");
  const plain = await readFile(list, "utf8");
  const mirror = /^deb (\S+)\/debian\/? /m.exec(plain)?.[1];
  if (!mirror) return;
  await writeFile(list, `${plain}deb ${mirror}/debian-security ${suite}-security main\n`);
  await inside(root, ["apt-get update --error-on=any"]).catch(async () => {
    log(`no security suite beside ${mirror}/debian: using ${suite} alone`);
    await writeFile(list, plain);
  });
}

/** Runs shell commands in the tree, each of which must succeed, with the machine's name servers and proxies. */
async function inside(root: string, commands: readonly string[]): Promise<void> {
  await copyFile("/etc/resolv.conf", join(root, "etc/resolv.conf")).catch(() => undefined);
  await writeFile(join(root, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  // The tree is thrown away when anything fails, so nothing need be forced to disk on the way.
  await writeFile(join(root, "etc/dpkg/dpkg.cfg.d/berth"), "force-unsafe-io\n");
  await writeFile(
    join(root, "etc/apt/apt.conf.d/99berth"),
    'Acquire::Retries "3";\nAcquire::Languages "none";\nDPkg::Use-Pty "0";\n',
  );
  await isolated("chroot", [
    root,
    "/bin/sh",
    "-ec",
    ["mount -t proc proc /proc || true", ...commands].join("\n"),
  ]);
}

/** Runs a program in a mount namespace of its own, so that what it mounts goes with it, however it ends. */
async function isolated(command: string, args: readonly string[]): Promise<void> {
  await run("unshare", ["--mount", "--propagation", "private", command, ...args], {
    env: {
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      LC_ALL: "C.UTF-8",
      DEBIAN_FRONTEND: "noninteractive",
      ...Object.fromEntries(
        Object.entries(process.env).filter(([name]) => /^(https?|ftp|no)_proxy$/i.test(name)),
      ),
    },
  });
}

async function pack(root: string, path: string): Promise<void> {
  await rm(join(root, "var/cache/apt"), { recursive: true, force: true });
  await run("tar", [
    "--numeric-owner",
    "--sort=name",
    "--one-file-system",
    "--exclude=./dev/*",
    "--exclude=./proc/*",
    "--exclude=./sys/*",
    "-C",
    root,
    "-I",
    "gzip -1",
    "-cf",
    path,
    ".",
  ]);
}

function key({ architecture }: DebianContext, kind: string, what: Json): string {
  return `debian-${kind}-${hashOf({ architecture, what, tidy }).slice(0, 16)}.tar.gz`;
}
