/** Trouble that Engines of some versions are known to have, and what it means for a stack of berth's. */

/** One known trouble. */
export interface Advisory {
  /** A public number where there is one. */
  readonly id: string;
  /** What it concerns, in one or two words. */
  readonly topic: string;
  /** `bad`: it weakens or breaks a stack. `note`: known, and out of reach as long as people use berth's own ways. */
  readonly severity: "bad" | "note";
  /** What it means here, in one sentence. */
  readonly means: string;
  readonly cure: string;
  /** First version without it, one for each release line that got the fix. */
  readonly fixed: readonly string[];
}

interface Entry extends Advisory {
  /** First version that has it. Absent: all old ones. */
  readonly since?: string;
  /** Distributions' own versions with the fix, which an older upstream number hides. */
  readonly backports?: readonly RegExp[];
}

const table: readonly Entry[] = [
  {
    // moby's advisory GHSA-mq39-4gv4-mvpx. Debian's 20.10.24 does not name it in its changelog.
    id: "CVE-2024-29018",
    topic: "internal networks",
    severity: "bad",
    means:
      'DNS questions of internal networks go on to the outside, so an agent with network: "mattermost" can leak data in names',
    cure: "upgrade to 23.0.11, 25.0.5, 26.0.0 or later (your distribution may have mended an older one), or keep agents sealed (the default), who have no DNS",
    fixed: ["23.0.11", "25.0.5", "26.0.0"],
  },
  {
    // moby#45610; mended by the new filter rules of 28.0.
    id: "moby#45610",
    topic: "published ports",
    severity: "bad",
    means:
      "neighbours on the host's own network segment can reach ports that are published on 127.0.0.1, so Mattermost and the health page are open to them",
    cure: "upgrade to 28.0 or later, or have the host's firewall drop what comes in from outside for 127.0.0.0/8 and for Docker's own networks",
    fixed: ["28.0.0"],
  },
  {
    // Docker's notice of 27 May 2026: exposed is who has neither 29.4.3 nor a mended kernel. 29.4.2 closed the same way by
    // a filter that broke 32-bit programs; 29.4.3 replaced it.
    id: "CVE-2026-31431",
    topic: "kernel",
    severity: "bad",
    means:
      "a program in any container, a sealed agent's too, can become root of the host through AF_ALG sockets, unless the host's kernel has the fix",
    cure: "update the host's kernel, or upgrade to 29.4.3 or later, which closes the way; until then: modprobe -r algif_aead, and keep it from being loaded",
    fixed: ["29.4.3"],
  },
  {
    // Minimum API 1.44 in 29.0, back to 1.40 in 29.3.
    id: "API minimum 1.44",
    topic: "API",
    severity: "bad",
    means: "it refuses API 1.41, which the socket proxy speaks, so no agent can be started",
    cure: "upgrade to 29.3 or later, or set DOCKER_MIN_API_VERSION=1.41 for the daemon",
    since: "29.0.0",
    fixed: ["29.3.0"],
  },
  {
    // GHSA-v23v-6jw2-98fq. Debian's changelog of 20.10.24+dfsg1-1+deb12u1 names it.
    id: "CVE-2024-41110",
    topic: "authorization plugins",
    severity: "note",
    means:
      "a request can hide its body from an authorization plugin; berth uses none, and its socket proxy decides on the request that it writes itself",
    cure: "upgrade to 23.0.15, 25.0.6, 26.1.5, 27.1.1 or later if other programs rely on such a plugin",
    fixed: ["23.0.15", "25.0.6", "26.1.5", "27.1.1"],
    backports: [/^20\.10\.24\+dfsg1-1\+deb12u[1-9]/],
  },
  {
    // GHSA-x744-4wpc-v9h2: "only versions earlier than 29.3.1".
    id: "CVE-2026-34040",
    topic: "authorization plugins",
    severity: "note",
    means:
      "a request above 4 MiB is not shown to an authorization plugin; berth uses none, and no client's bytes go past its socket proxy",
    cure: "upgrade to 29.3.1 or later if other programs rely on such a plugin",
    fixed: ["29.3.1"],
  },
  {
    // GHSA-x86f-5xw2-fm2r: "< 29.5.1".
    id: "CVE-2026-41567",
    topic: "docker cp",
    severity: "note",
    means:
      "copying a compressed archive into a container runs a program of its image as root of the host; the socket proxy knows no such request, so only a person's own docker cp can do it",
    cure: "upgrade to 29.5.1 or later, and never pipe archives into an agent's container",
    fixed: ["29.5.1"],
  },
  {
    // Moby's advisory of the same release.
    id: "CVE-2026-42306",
    topic: "docker cp",
    severity: "note",
    means:
      "while files are copied into a running container with a volume, and each agent has one, it can have that volume mounted over the host's files; the socket proxy knows no such request, so only a person's own docker cp can do it",
    cure: "upgrade to 29.5.1 or later, and never docker cp into a running agent",
    fixed: ["29.5.1"],
  },
];

/**
 * What is known to be wrong with an Engine of this version (`28.5.2`, `26.1.5+dfsg1`, `29.3.0-rc.1`), bad things first.
 * A version that is none that could be compared is one advisory, too.
 */
export function advisoriesFor(version: string): readonly Advisory[] {
  const own = parse(version);
  if (!own) return [unreadable];
  return table
    .filter(
      ({ since, fixed, backports = [] }) =>
        !(since && isBefore(own, since)) &&
        !isFixed(own, fixed) &&
        !backports.some((pattern) => pattern.test(version)),
    )
    .map(({ since: _, backports: __, ...advisory }) => advisory);
}

const unreadable: Advisory = {
  id: "version",
  topic: "version",
  severity: "note",
  means: "the Engine tells no version that could be compared with known advisories",
  cure: "use a released Engine, or look its version up yourself",
  fixed: [],
};

/** Numbers of a version; a pre-release comes before its release, so it has a fourth number below zero. */
function parse(version: string): readonly number[] | undefined {
  const match = /^v?([0-9]{1,5})\.([0-9]{1,5})(?:\.([0-9]{1,5}))?(.*)$/.exec(version);
  if (!match || Number(match[1]) === 0) return undefined;
  const isPreRelease = /^-(alpha|beta|rc|tp|dev)/.test(match[4] ?? "");
  return [...match.slice(1, 4).map((part) => Number(part ?? 0)), isPreRelease ? -1 : 0];
}

function isBefore(own: readonly number[], other: string): boolean {
  for (const [i, part] of (parse(other) ?? []).entries()) {
    const difference = (own[i] ?? 0) - part;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** Whether a version has a fix: it is not before that of its own release line, or not before the newest. */
function isFixed(own: readonly number[], fixed: readonly string[]): boolean {
  return fixed.some(
    (first, i) => !isBefore(own, first) && (i === fixed.length - 1 || parse(first)?.[0] === own[0]),
  );
}
