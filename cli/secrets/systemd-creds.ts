import { randomUUID } from "node:crypto";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { CliError } from "../console.ts";
import { feed } from "./feed.ts";
import type { Sealer, SealerHost } from "./sealer.ts";
import { tokenIn, tokenName } from "./token.ts";

const program = "systemd-creds";
/** Encrypted credentials came with it. */
const leastVersion = 250;
/** From it on a person who is not root can seal, by a service of systemd. */
const leastForPeople = 256;

/**
 * Seals with systemd's own credentials: encrypted and authenticated by the machine's TPM and a key file of root's, or by that
 * file alone where there is no TPM (systemd-creds(1), `--with-key=auto`). A unit gets it by `LoadCredentialEncrypted=`.
 * @param file where the sealed token is kept
 */
export function systemdCreds(host: Pick<SealerHost, "env" | "uid">, file: string): Sealer {
  const { env, uid } = host;
  // A person's credential is bound to the person, besides; root's is the machine's.
  const scope = uid === 0 ? [] : ["--user"];
  const name = `--name=${tokenName}`;
  return {
    name: program,
    async available() {
      const version = await systemdVersion(env);
      if (version === undefined) {
        return `${program} is not on PATH: it comes with systemd ${leastVersion} or later`;
      }
      if (version < leastVersion) {
        return `systemd ${version} is here, and sealing needs ${leastVersion} or later: upgrade`;
      }
      return uid === 0 || version >= leastForPeople
        ? undefined
        : `with systemd ${version} only root can seal, from ${leastForPeople} on everybody: run this as root`;
    },
    async seal(token) {
      // The program would write the file itself, and open to everybody: so it gives the sealed bytes to us.
      const args = ["encrypt", ...scope, name, "--with-key=auto", "-", "-"];
      const result = await feed(program, args, { env, stdin: token.reveal() });
      if (result?.code !== 0 || result.stdout.length === 0) {
        throw new CliError(
          `${program} did not seal the token (${outcome(result)}). "systemd-creds setup" as root makes the host's key; ` +
            "where the TPM is at fault, its reset or the machine's firmware settings are the place to look",
        );
      }
      await writeSealed(file, result.stdout);
      const strength =
        uid === 0 && (await hasTpm2(env))
          ? "with this machine's TPM and root's key file: no other machine can open it"
          : "with a key file on this machine's disk: whoever can read the whole disk can open it, so encrypt the disk";
      return `sealed ${strength}; kept in ${file}`;
    },
    async unseal() {
      const sealed = await readFile(file).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
        throw new CliError(`${file}: cannot be read (${error.code}): run this as its owner`);
      });
      if (sealed === undefined) return undefined;
      const args = ["decrypt", ...scope, name, file, "-"];
      const result = await feed(program, args, { env });
      if (result?.code === 0) return tokenIn(result.stdout.toString("utf8"));
      throw new CliError(
        `${program} cannot open ${file} (${outcome(result)}): it was sealed on another machine, by another user, or before ` +
          'a change of the TPM or the host\'s key. Run "berth secrets seal" again, or give the token with "berth secrets unlock --from-stdin"',
      );
    },
  };
}

/** systemd's version; undefined where its program is not there. */
export async function systemdVersion(env: NodeJS.ProcessEnv): Promise<number | undefined> {
  const result = await feed(program, ["--version"], { env });
  const number = /^systemd (\d+)/.exec(result?.stdout.toString("utf8") ?? "")?.[1];
  return number === undefined ? undefined : Number(number);
}

/** Whether systemd can use a TPM here: the firmware, the driver and the libraries are all there. */
export async function hasTpm2(env: NodeJS.ProcessEnv): Promise<boolean> {
  return (await feed(program, ["has-tpm2", "--quiet"], { env }))?.code === 0;
}

/** In place of an earlier one at once, readable by its owner only. */
async function writeSealed(file: string, bytes: Buffer): Promise<void> {
  const folder = dirname(file);
  const next = `${file}.${randomUUID()}`;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
    await writeFile(next, bytes, { mode: 0o600, flag: "wx" });
    await rename(next, file);
  } catch (error) {
    await rm(next, { force: true }).catch(() => {});
    const code = (error as NodeJS.ErrnoException).code ?? "unknown reason";
    throw new CliError(
      `the sealed token cannot be kept in ${file} (${code}): make ${folder} writable, or name another folder in BERTH_CREDENTIALS`,
    );
  }
}

function outcome(result: { readonly code: number } | undefined): string {
  return result ? `exit code ${result.code}` : "it is not on PATH";
}
