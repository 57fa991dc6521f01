import { readFile, writeFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { StoredSession } from "./sessions.ts";

/** What a command may use. */
export interface Conversation {
  readonly session: StoredSession;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  /** Sends a part of the answer. */
  say(text: string): Promise<void>;
  /** Asks for permission and runs a tool. @returns its output, or nothing where it was refused */
  tool(tool: {
    readonly title: string;
    readonly kind: "execute" | "edit" | "fetch";
    readonly rawInput: Readonly<Record<string, string>>;
    work(): Promise<string>;
  }): Promise<string | undefined>;
}

// What only one command needs is loaded by that command: the agent has to be awake at once.
type Command = (rest: string, talk: Conversation) => Promise<void>;

const refused = "That was not permitted.";

const help = `I am berth's demo agent: a real Agent Client Protocol program, without a model behind it. I know:
- \`help\`, \`whoami\`, \`count\`
- \`run <command>\`: runs a shell command in my workspace
- \`fetch <url>\`: asks for a page through my egress gateway
- \`write <file> <text>\`, \`read <file>\`: files in my workspace
- \`sleep <seconds>\`: works for a while; \`lines <n>\`: a long answer
- \`crash\`: my program ends at once

Everything else I repeat to you.`;

const commands: Readonly<Record<string, Command>> = {
  help: (_rest, { say }) => say(help),
  whoami: async (_rest, { say, session }) => {
    const { hostname } = await import("node:os");
    const [uid, gid] = [process.getuid?.(), process.getgid?.()];
    await say(
      `I am demo-agent (uid ${uid}, gid ${gid}) on host ${hostname()}, working in ${session.cwd}.`,
    );
  },
  count: (_rest, { say, session }) => {
    session.count++;
    return say(`This is number ${session.count} of our conversation.`);
  },
  run: async (rest, { say, tool, session, env, signal }) => {
    if (!rest) return say("What shall I run? Write `run <command>`.");
    const output = await tool({
      title: "Run a shell command",
      kind: "execute",
      rawInput: { command: rest },
      work: async () =>
        (await import("./shell.ts")).runShell(rest, { cwd: session.cwd, env, signal }),
    });
    await say(output ?? refused);
  },
  fetch: async (rest, { say, tool, env, signal }) => {
    if (!URL.canParse(rest))
      return say("Write `fetch <url>`, for example `fetch https://example.com/`.");
    const output = await tool({
      title: `Fetch ${rest}`,
      kind: "fetch",
      rawInput: { url: rest },
      work: async () => (await import("./fetch.ts")).fetchThroughProxy(new URL(rest), env, signal),
    });
    await say(output ?? refused);
  },
  write: async (rest, { say, tool, session }) => {
    const [, name = "", text = ""] = /^(\S+)\s+([\s\S]+)$/.exec(rest) ?? [];
    const path = inWorkspace(session.cwd, name);
    if (!path) return say("Write `write <file> <text>`, with a file inside my workspace.");
    const output = await tool({
      title: `Write ${name}`,
      kind: "edit",
      rawInput: { file: name },
      work: async () => {
        await writeFile(path, text);
        return `Written: ${Buffer.byteLength(text)} bytes in ${name}.`;
      },
    }).catch(sentence);
    await say(output ?? refused);
  },
  read: async (rest, { say, session }) => {
    const path = inWorkspace(session.cwd, rest);
    if (!path) return say("Write `read <file>`, with a file inside my workspace.");
    await say(await readFile(path, "utf8").then(quote, sentence));
  },
  sleep: async (rest, { say, signal }) => {
    const seconds = Math.min(Number(rest) || 1, 3_600);
    await say(`Working for ${seconds} s:`);
    for (let left = seconds; left > 0 && !signal.aborted; left--) {
      await sleep(Math.min(left, 1) * 1_000, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await say(` ${Math.ceil(seconds - left + 1)}`);
    }
    if (!signal.aborted) await say(". Done.");
  },
  lines: async (rest, { say, signal }) => {
    const count = Math.min(Number(rest) || 10, 20_000);
    for (let i = 1; i <= count && !signal.aborted; i += 100) {
      const last = Math.min(i + 99, count);
      await say(
        Array.from({ length: last - i + 1 }, (_, k) => `This is line ${i + k}.\n`).join(""),
      );
    }
  },
  silent: async (rest, { signal }) => {
    await sleep((Number(rest) || 1) * 1_000, undefined, { signal }).catch(() => {});
  },
  fail: (rest) => Promise.reject(new Error(rest || "You asked me to fail.")),
  crash: async (_rest, { say }) => {
    await say("Goodbye.");
    await sleep(50);
    process.exit(1);
  },
};

/** Answers one prompt: a command by its first word, else the person's own words, in a few parts. */
export async function answer(asked: string, talk: Conversation): Promise<void> {
  const [, word = "", rest = ""] = /^(\S+)\s*([\s\S]*)$/.exec(asked) ?? [];
  const command = Object.hasOwn(commands, word.toLowerCase())
    ? commands[word.toLowerCase()]
    : undefined;
  if (command) return command(rest.trim(), talk);
  await talk.say("You wrote: ");
  await talk.say(`“${asked}”.`);
  await talk.say(` That is ${asked.length} characters. Write \`help\` to see what I can do.`);
}

function inWorkspace(cwd: string, name: string): string | undefined {
  if (!name) return undefined;
  const path = resolve(cwd, name);
  return relative(cwd, path).startsWith("..") ? undefined : path;
}

function quote(text: string): string {
  return text.length > 8_000 ? `${text.slice(0, 8_000)}\n[cut]` : text || "(The file is empty.)";
}

function sentence(error: unknown): string {
  return `That did not work: ${(error as Error).message}.`;
}
