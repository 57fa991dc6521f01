import { aliases, type Draft, type Flag, flags } from "./docker-flags.ts";

/** A `docker run` or `docker create` line, as the request that the docker command makes of it. */
export interface DockerLine {
  /** Of the query. */
  readonly name: string | undefined;
  readonly platform: string | undefined;
  /** The create body, without what says nothing. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** What of a line is not understood, in a sentence. */
export class DockerLineError extends Error {}

/** Whether a text is meant as a line for a shell, and not as a raw request. */
export function isDockerLine(text: string): boolean {
  return /^\s*(\$\s+)?(sudo\s+)?docker(\s|$)/.test(text);
}

/**
 * Reads a line: the words of a shell, then the flags of `docker run`, then image and command. Pure.
 * @throws DockerLineError for shell syntax beside quotes, another command, and every flag that is not understood
 */
export function readDockerLine(text: string): DockerLine {
  const words = splitWords(text.trim().replace(/^\$\s+/, ""));
  if (words[0] === "sudo") words.shift();
  words.shift();
  if (words[0] === "container") words.shift();
  const command = words.shift();
  if (command !== "run" && command !== "create") {
    throw new DockerLineError(
      `"docker ${command ?? ""}" is not read here: only docker run and docker create are; write the request itself (METHOD /path HTTP/1.1)`,
    );
  }
  const draft: Draft = {
    isDetached: false,
    attached: [],
    config: {},
    host: {},
    healthcheck: {},
    endpoints: {},
  };
  const rest = readFlags(words, draft);
  const [image, ...args] = rest;
  if (image === undefined) throw new DockerLineError("it names no image");
  return {
    name: draft.name,
    platform: draft.platform,
    body: bodyOf(draft, image, args, command === "run" && draft.isDetached),
  };
}

/** The line as the bytes of its request. */
export function requestOf({ name, platform, body }: DockerLine): Buffer {
  const query = [
    ...(name === undefined ? [] : [`name=${encodeURIComponent(name)}`]),
    ...(platform === undefined ? [] : [`platform=${encodeURIComponent(platform)}`]),
  ];
  const target = `/v1.41/containers/create${query.length > 0 ? `?${query.join("&")}` : ""}`;
  const text = JSON.stringify(body);
  const head = [
    `POST ${target} HTTP/1.1`,
    "Host: docker",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${text}`);
}

/** Puts the flags into the draft. @returns image and command */
function readFlags(words: string[], draft: Draft): string[] {
  const problems: string[] = [];
  for (let word = words[0]; word?.startsWith("-") && word !== "-"; word = words[0]) {
    words.shift();
    if (word === "--") break;
    for (const problem of word.startsWith("--")
      ? readLong(word, words, draft)
      : readShort(word, words, draft)) {
      problems.push(problem);
    }
  }
  if (problems.length > 0) throw new DockerLineError(problems.join("; "));
  return words;
}

function readLong(word: string, words: string[], draft: Draft): string[] {
  const [, name = "", written] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  const flag = flagOf(name.length > 1 ? name : "");
  if (!flag) return [`the flag --${name} is not understood`];
  if (flag.takesValue) return apply(`--${name}`, flag, written ?? words.shift(), draft);
  return apply(`--${name}`, flag, written ?? "true", draft);
}

/** `-d`, `-it`, `-e A=b`, `-eA=b`, `-e=A=b`. */
function readShort(word: string, words: string[], draft: Draft): string[] {
  for (let at = 1; at < word.length; at++) {
    const letter = word[at] ?? "";
    const flag = flagOf(letter);
    if (!flag) return [`the flag -${letter} is not understood`];
    const behind = word.slice(at + 1);
    if (flag.takesValue) {
      const value = behind === "" ? words.shift() : behind.replace(/^=/, "");
      return apply(`-${letter}`, flag, value, draft);
    }
    if (behind.startsWith("=")) return apply(`-${letter}`, flag, behind.slice(1), draft);
    const problems = apply(`-${letter}`, flag, "true", draft);
    if (problems.length > 0) return problems;
  }
  return [];
}

function flagOf(written: string): Flag | undefined {
  const name = Object.hasOwn(aliases, written) ? (aliases[written] ?? "") : written;
  return Object.hasOwn(flags, name) ? flags[name] : undefined;
}

function apply(shown: string, flag: Flag, value: string | undefined, draft: Draft): string[] {
  if (value === undefined) return [`${shown}: its value is missing`];
  try {
    if (flag.takesValue) flag.put(draft, value);
    else if (/^(1|t|true)$/i.test(value)) flag.put(draft, true);
    else if (/^(0|f|false)$/i.test(value)) flag.put(draft, false);
    else return [`${shown}: must be true or false`];
    return [];
  } catch (error) {
    return [`${shown}: ${(error as Error).message}`];
  }
}

function bodyOf(
  draft: Draft,
  image: string,
  args: readonly string[],
  isDetached: boolean,
): Record<string, unknown> {
  const { attached, config, host, healthcheck } = draft;
  const all = attached.length === 0;
  const isAttached = (stream: string) => !isDetached && (all || attached.includes(stream));
  const isInteractive = config.OpenStdin === true;
  const endpoints = endpointsOf(draft);
  return {
    ...config,
    Image: image,
    ...(args.length > 0 ? { Cmd: [...args] } : {}),
    AttachStdin: !isDetached && (isInteractive || attached.includes("stdin")),
    AttachStdout: isAttached("stdout"),
    AttachStderr: isAttached("stderr"),
    StdinOnce: isInteractive && !isDetached,
    ...(Object.keys(healthcheck).length > 0 ? { Healthcheck: healthcheck } : {}),
    HostConfig: {
      // What the docker command writes where its user says nothing.
      NetworkMode: "default",
      RestartPolicy: { Name: "no" },
      ConsoleSize: [0, 0],
      MemorySwappiness: -1,
      ...host,
    },
    ...(Object.keys(endpoints).length > 0
      ? { NetworkingConfig: { EndpointsConfig: endpoints } }
      : {}),
  };
}

function endpointsOf({ endpoints, host }: Draft): Record<string, object> {
  const { "": own, ...named } = endpoints;
  if (!own) return named;
  const network = typeof host.NetworkMode === "string" ? host.NetworkMode : "default";
  const links = host.Links === undefined ? {} : { Links: host.Links };
  return { ...named, [network]: { ...named[network], ...links, ...own } };
}

/** Characters that mean more to a shell than themselves. */
const shellOnly = /[$`;|&<>()*?]/;

/** Splits a line into words as a shell does: quotes, backslashes, continued lines. @throws DockerLineError for more */
function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: "'" | '"' | undefined;
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? "";
    if (quote === "'") {
      if (character === "'") quote = undefined;
      else word = (word ?? "") + character;
    } else if (character === "\\") {
      at += 1;
      const next = text[at] ?? "";
      if (next === "\n") continue;
      const stays = quote === '"' && !/["\\$`]/.test(next);
      word = (word ?? "") + (stays ? `\\${next}` : next);
    } else if (quote === '"') {
      if (character === '"') quote = undefined;
      else if (/[$`]/.test(character)) throw shellProblem(character);
      else word = (word ?? "") + character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= "";
    } else if (/\s/.test(character)) {
      if (character === "\n" && text.slice(at).trim() !== "") {
        throw new DockerLineError("one line at a time, continued with a backslash");
      }
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (shellOnly.test(character)) {
      throw shellProblem(character);
    } else word = (word ?? "") + character;
  }
  if (quote) throw new DockerLineError(`a ${quote} is not closed`);
  return word === undefined ? words : [...words, word];
}

function shellProblem(character: string): DockerLineError {
  return new DockerLineError(
    `"${character}" means something to a shell, which is not run here: write what it stands for, in single quotes`,
  );
}
