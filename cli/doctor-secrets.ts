import { type Check, failed, note, ok } from "./doctor.ts";

/** Preconditions of keeping secrets: where the token is sealed, and where values could reach a disk. None of them stops `up`. */

/** Kernels from this on can keep a file system on RAM out of swap. */
const noswapKernel = { major: 6, minor: 4 } as const;
/** systemd from this on encrypts credentials. */
const leastSystemd = 250;

/** A TPM that systemd can seal with. */
export function checkTpm(found: { readonly isThere: boolean; readonly isUsable: boolean }): Check {
  const name = "tpm";
  if (found.isUsable) return ok(name, "there: a sealed token opens on this machine only");
  return found.isThere
    ? note(
        name,
        "there, and systemd cannot use it: a sealed token hangs on a key file of root's alone",
        "install libtss2 (on Debian: apt-get install tpm2-tools) and see what systemd-creds has-tpm2 misses",
      )
    : note(
        name,
        "none: a sealed token hangs on a key file of root's alone",
        "switch it on in the firmware, or give the virtual machine one; else encrypt the disk",
      );
}

/** systemd, which seals the token. `version` undefined: its program is not there. */
export function checkSystemd(version: number | undefined): Check {
  const name = "systemd";
  const says = version === undefined ? "no systemd-creds on PATH" : String(version);
  return version !== undefined && version >= leastSystemd
    ? ok(name, `${version}: can seal the token`)
    : note(
        name,
        `${says}: no way to seal the token here`,
        `install systemd ${leastSystemd} or later; until then give the token with berth secrets unlock`,
      );
}

/** A place that memory is swapped to. */
export interface Swap {
  readonly path: string;
  /** What is written there can be read by nobody after the power is off. */
  readonly isSafe: boolean;
}

/** The swap of `/proc/swaps`. `isSafe` says of a path that it is encrypted or RAM itself. */
export function swapsIn(text: string, isSafe: (path: string) => boolean): Swap[] {
  return text
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(/\s+/)[0] ?? "")
    .filter((path) => path !== "")
    .map((path) => ({ path, isSafe: isSafe(path) }));
}

/** Memory that holds values does not reach a disk in the clear. `kernel`: as uname tells it. */
export function checkSwap(swaps: readonly Swap[], kernel: string): Check {
  const name = "swap";
  if (swaps.length === 0) return ok(name, "off");
  const open = swaps.filter((swap) => !swap.isSafe).map(({ path }) => path);
  if (open.length === 0) {
    return ok(name, `encrypted or on RAM: ${swaps.map(({ path }) => path).join(", ")}`);
  }
  const files = knowsNoswap(kernel)
    ? "; for the files alone, before anything is in it: mount /run/berth with the option noswap"
    : `; kernel ${kernel} cannot keep /run/berth out of it, ${noswapKernel.major}.${noswapKernel.minor} or later can`;
  return note(
    name,
    `not encrypted: ${open.join(", ")}: memory and files on RAM, values among them, may be written there`,
    `swapoff -a and take it out of /etc/fstab, or encrypt it (crypttab(5), option swap)${files}`,
  );
}

function knowsNoswap(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split(".", 2).map((part) => Number.parseInt(part, 10) || 0);
  return (
    major > noswapKernel.major || (major === noswapKernel.major && minor >= noswapKernel.minor)
  );
}

/**
 * What becomes of the memory of a program that crashes. A pattern that begins with `|` names a program which gets it whatever
 * the limit of core files is (core(5)); any other makes a file, which the limit of berth's containers, 0, forbids.
 */
export function checkCorePattern(pattern: string): Check {
  const name = "core dumps";
  const text = pattern.trim();
  if (!text.startsWith("|")) return ok(name, "files, which berth's containers may not write");
  const program = text.slice(1).trim().split(/\s+/)[0] ?? "";
  return note(
    name,
    `${program} gets the memory of every program that crashes, of those in containers too, and may keep it on disk`,
    program.endsWith("/systemd-coredump")
      ? "Storage=none in /etc/systemd/coredump.conf (it heeds the containers' limit of 0; other programs have their own)"
      : "sysctl -w kernel.core_pattern=core, and the same in a file of /etc/sysctl.d",
  );
}

/**
 * The 1Password command, where the stack's config asks for it: `berth:secrets` with via op.
 * @param isProgram says of a path that a program is there
 */
export function checkOp(
  secrets: { readonly provider: string; readonly via: string; readonly opPath: string | undefined },
  isProgram: (path: string) => boolean,
): Check[] {
  if (secrets.provider !== "onepassword" || secrets.via !== "op") return [];
  const { opPath } = secrets;
  if (opPath === undefined) {
    return [
      failed("op", "berth:secrets says via op, and no opPath", "name the program's path in opPath"),
    ];
  }
  return [
    isProgram(opPath)
      ? ok("op", `${opPath} is there`)
      : failed(
          "op",
          `${opPath}, which berth:secrets names, is no program here`,
          "install 1Password's command there, or mend opPath",
        ),
  ];
}
