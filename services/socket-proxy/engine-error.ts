import { Denial, notFound } from "./denial.ts";

/** The Engine could not be asked, or its answer could not be used. `kind` says which, for the mapping to a client. */
export class EngineError extends Error {
  readonly kind: "down" | "late" | "unusable" | "refused";
  /** The Engine's status, where it refused. */
  readonly status: number;
  /** One of a few known causes, in our own words. */
  readonly known: string | undefined;

  constructor(kind: EngineError["kind"], message: string, status = 0, cause?: string) {
    super(message);
    this.name = "EngineError";
    this.kind = kind;
    this.status = status;
    this.known = cause;
  }
}

/** What the Engine's own words can mean. They are matched, never passed on: they name foreign objects and paths. */
const causes: readonly (readonly [RegExp, string])[] = [
  [/no such image|image .*not found/i, "its image is not on this Engine"],
  [
    /executable file not found|no such file or directory.*exec|exec.*no such file/i,
    "the image does not hold the program that it is to run",
  ],
  [/exec format error/i, "the image is for another machine type"],
  [/permission denied/i, "the program that it is to run may not be run"],
  [/bind source path does not exist/i, "a directory that it mounts is not there"],
  [/port is already allocated|address already in use/i, "a port that it publishes is taken"],
  [/no space left on device/i, "the disk of the Engine is full"],
  [/network .*not found/i, "a network that it is on is not there"],
  [/cannot allocate memory|out of memory/i, "the Engine's host is out of memory"],
  [/is paused/i, "it is paused"],
  [/is marked for removal|removal .*in progress/i, "it is being removed"],
];

/** The known cause behind the Engine's words, in ours. */
export function causeOf(text: string): string | undefined {
  return causes.find(([pattern]) => pattern.test(text))?.[1];
}

/** The answer to a client for whatever went wrong while its intent was carried out. Fixed words only. */
export function denialOf(error: unknown): Denial {
  if (error instanceof Denial) return error;
  if (!(error instanceof EngineError)) {
    return new Denial(500, "internal", "the socket proxy failed; its log says why");
  }
  if (error.kind === "down") return new Denial(503, "engine-down", "the Engine does not answer");
  if (error.kind === "late") {
    return new Denial(504, "engine-late", "the Engine did not answer in time");
  }
  if (error.kind === "unusable") {
    return new Denial(502, "engine-answer", "the Engine's answer could not be used");
  }
  if (error.status === 404 && error.known === undefined) return notFound();
  if (error.status === 409) {
    return new Denial(
      409,
      "engine-conflict",
      error.known ?? "the container's state does not allow it",
    );
  }
  return new Denial(500, "engine-refused", error.known ?? "the Engine could not do it");
}
