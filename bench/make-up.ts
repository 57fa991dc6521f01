import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { stackName } from "../test/support/engine.ts";
import { freePort, removeObjects, root } from "../test/support/stack.ts";
import { row, seconds } from "./numbers.ts";

/** What belongs to one clone alone, or is installed into it. */
const own = new Set([".git", ".berth", "node_modules"]);

/**
 * `make up` of a new clone, and again. What the user's cache and the Engine hold is there: warm. With `cold` first the same with
 * an empty cache, which downloads and compiles everything but images, which the Engine keeps.
 */
export async function makeUp(cold: boolean): Promise<void> {
  const warm = await clone();
  try {
    const first = await seconds(() => warm.make("up", {}));
    const again = await seconds(() => warm.make("up", {}));
    console.log(row("`make up` again: nothing to do", again, "s"));
    console.log(row("`make up` of a new clone, warm cache", first, "s", again));
    if (cold) {
      const empty = await clone();
      try {
        const all = await seconds(() =>
          empty.make("up", { XDG_CACHE_HOME: join(empty.directory, ".cache") }),
        );
        console.log(row("`make up` of a new clone, empty cache", all, "s", again));
      } finally {
        await empty.remove();
      }
    }
  } finally {
    await warm.remove();
  }
}

/** A copy of the project with a stack and ports of its own. */
async function clone() {
  const directory = mkdtempSync(join(tmpdir(), "berth-clone-"));
  const stack = stackName(directory);
  cpSync(root, directory, {
    recursive: true,
    filter: (file) =>
      !relative(root, file)
        .split(sep)
        .some((part) => own.has(part)),
  });
  const [mattermostPort, adminPort] = [await freePort(), await freePort()];
  writeFileSync(
    join(directory, `Pulumi.${stack}.yaml`),
    `config:\n  berth:mattermostPort: ${mattermostPort}\n  berth:adminPort: ${adminPort}\n`,
  );
  const make = (target: string, extra: NodeJS.ProcessEnv) =>
    new Promise<void>((resolve, reject) => {
      const { PULUMI_BACKEND_URL, PULUMI_CONFIG_PASSPHRASE_FILE, ...env } = process.env;
      const child = spawn("make", ["-s", target], {
        cwd: directory,
        env: { ...env, ...extra, BERTH_STACK: stack },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let output = "";
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (part: Buffer) => (output += part.toString()));
      child.on("error", reject);
      child.on("close", (code) =>
        code === 0 ? resolve() : reject(new Error(`make ${target}: exit code ${code}\n${output}`)),
      );
    });
  // Not `make down`: it would also stop the Engine, where berth has started it.
  const remove = async () => {
    await removeObjects(stack);
    rmSync(directory, { recursive: true, force: true });
  };
  return { directory, make, remove };
}
