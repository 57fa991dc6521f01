import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { sep } from "node:path";
import { isWithin, type OpReference, parseReference } from "../../spec/references.ts";
import type { PushedValues } from "./pushed.ts";
import type { Rounds } from "./rounds.ts";
import type { Seed } from "./seed.ts";
import { deliverable, type Form, maxValueBytes, type Resolution } from "./value.ts";

/** Where values come from. */
export interface Sources {
  /** `file:`, `env:` and `generated:` references are accepted. */
  readonly development: boolean;
  /** Directory of the operator's secret files; undefined: `file:` references are off. */
  readonly directory: string | undefined;
  readonly pushed: PushedValues;
  readonly seed: Seed;
  readonly rounds: Rounds;
  /** What is known of 1Password's values; undefined: the stack has no 1Password. */
  readonly op: OpSource | undefined;
}

/** What is known of `op://` references. */
export interface OpSource {
  /** Says which ones are wanted from now on; values of all others go at once. */
  want(references: Iterable<OpReference>): void;
  resolve(reference: OpReference): Resolution;
  /** The item that a reference leads to, whatever name it was called by. */
  itemOf(reference: OpReference): string | undefined;
  /** Another number whenever a reference leads to another item. */
  readonly revision: number;
}

/** Who wants the value of a reference. */
export interface Consumer {
  readonly agent: string;
  /** What generated values are made for: the secret's name. */
  readonly name: string;
  /** Allow-list of the agent's declaration. */
  readonly vaults: readonly string[];
  readonly form: Form;
  /** Another agent whose references lead to this item, too, by whatever name. */
  readonly alsoOf: (item: string) => string | undefined;
}

/** Resolves one agent's reference. Never throws, and never puts a value into a reason. */
export async function resolve(
  written: string,
  consumer: Consumer,
  sources: Sources,
): Promise<Resolution> {
  let reference: ReturnType<typeof parseReference>;
  try {
    reference = parseReference(written);
  } catch (error) {
    return { kind: "gone", reason: (error as Error).message };
  }
  if (reference.scheme === "op") return resolveOp(reference, consumer, sources);
  if (!sources.development) {
    const reason = `refused in this stack: ${reference.scheme}: references are for development; use an op:// reference, or set development: true in berth:secrets`;
    return { kind: "gone", reason };
  }
  switch (reference.scheme) {
    case "env":
      return checked(sources.pushed.resolve(reference.name), consumer.form);
    case "file":
      return readSecretFile(reference.path, sources.directory, consumer.form);
    case "generated": {
      const bytes = sources.seed.derive(consumer, reference.bytes, sources.rounds.of(consumer));
      const value = Buffer.from(bytes.toString("base64url"));
      bytes.fill(0);
      return deliverable(value, consumer.form);
    }
  }
}

function resolveOp(reference: OpReference, consumer: Consumer, { op }: Sources): Resolution {
  const refused = problemOfOp(reference, consumer);
  if (refused !== undefined) return { kind: "gone", reason: refused };
  if (!op) {
    const reason =
      "not configured: this stack has no 1Password; set provider: onepassword in berth:secrets, or use file:, env: or generated:";
    return { kind: "gone", reason };
  }
  const shared = problemOfItem(reference, consumer, op);
  if (shared !== undefined) return { kind: "unavailable", reason: shared, wrong: true };
  return checked(op.resolve(reference), consumer.form);
}

/** Why an agent may not have what an `op://` reference names; undefined: it may. */
export function problemOfOp(
  reference: OpReference,
  { agent, vaults, form }: Pick<Consumer, "agent" | "vaults" | "form">,
): string | undefined {
  if (!isWithin(reference, vaults)) {
    const allowed = vaults.length === 0 ? "none" : vaults.join(", ");
    return `refused: "${reference.vault}/${reference.item}" is not among the vaults of ${agent} (${allowed}); add it to vaults in its file, if it is this agent's own`;
  }
  if (form === "text" && reference.attribute === "otp")
    return "refused: a one-time password is good for half a minute, so it can only be a secret of its own, not a part of a text";
  return undefined;
}

/** Why an agent may not have the item that a reference leads to; undefined: it may, as far as is known. */
export function problemOfItem(
  reference: OpReference,
  { alsoOf }: Pick<Consumer, "alsoOf">,
  op: Pick<OpSource, "itemOf"> | undefined,
): string | undefined {
  const item = op?.itemOf(reference);
  const other = item === undefined ? undefined : alsoOf(item);
  if (other === undefined) return undefined;
  return `refused: "${reference.vault}/${reference.item}" is also an item of ${other}, perhaps by another name; each agent needs an item of its own`;
}

/** Refuses a value that its consumer cannot take. */
function checked(found: Resolution, form: Form): Resolution {
  return found.kind === "value" ? deliverable(found.value.reveal(), form, found.identity) : found;
}

async function readSecretFile(
  path: string,
  directory: string | undefined,
  form: Form,
): Promise<Resolution> {
  if (directory === undefined) {
    return { kind: "gone", reason: "no directory of secret files is configured for this stack" };
  }
  try {
    const [root, real] = await Promise.all([realpath(directory), realpath(path)]);
    if (!real.startsWith(root.endsWith(sep) ? root : root + sep)) {
      return { kind: "gone", reason: `the file does not lie under ${directory}` };
    }
    // Never waits on a pipe and never follows a link that was put there since.
    const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
    const file = await open(real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const room = Buffer.alloc(maxValueBytes + 3);
    try {
      if (!(await file.stat()).isFile()) return { kind: "gone", reason: "it is no regular file" };
      let size = 0;
      for (let read = -1; read !== 0 && size < room.length; size += read)
        read = (await file.read(room, size, room.length - size)).bytesRead;
      return deliverable(withoutLineEnd(room.subarray(0, size)), form);
    } finally {
      room.fill(0);
      await file.close();
    }
  } catch (error) {
    const { code = "failed" } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP")
      return { kind: "gone", reason: `there is no such file under ${directory}` };
    const cure =
      code === "EACCES"
        ? ": the secret store reads as user 0 without further rights, so the file and its directories must belong to root or be readable by all"
        : "";
    return { kind: "unavailable", reason: `the file cannot be read (${code})${cure}` };
  }
}

/** Editors and `echo` end a file with a line break that is not part of the secret. */
function withoutLineEnd(bytes: Buffer): Buffer {
  const end = bytes.at(-1) === 10 ? (bytes.at(-2) === 13 ? 2 : 1) : 0;
  return Buffer.from(bytes.subarray(0, bytes.length - end));
}
