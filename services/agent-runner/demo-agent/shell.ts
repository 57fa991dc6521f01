// A bundle hoists plain imports to its top, where they would be loaded at every start.
const { spawn } = process.getBuiltinModule("node:child_process");

const maxBytes = 8 * 1024;
const maxMs = 30_000;

/** Runs a shell command with limits on its output and its time. @returns what it wrote and how it ended, for the chat */
export function runShell(
  command: string,
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv; readonly signal: AbortSignal },
): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn("/bin/sh", ["-c", command], {
      cwd: options.cwd,
      env: options.env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    let cut = false;
    let late = false;
    const kill = () => {
      try {
        if (child.pid) process.kill(-child.pid, "SIGKILL");
      } catch {
        // It ended in this moment.
      }
    };
    const timer = setTimeout(() => {
      late = true;
      kill();
    }, maxMs);
    options.signal.addEventListener("abort", kill, { once: true });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (part: string) => {
        output += part;
        if (output.length <= maxBytes) return;
        output = output.slice(0, maxBytes);
        cut = true;
      });
    }
    const end = (how: string) => {
      clearTimeout(timer);
      options.signal.removeEventListener("abort", kill);
      const shown = output.replaceAll("```", "'''").trimEnd();
      const notes = [how, cut ? `output cut at ${maxBytes} characters` : ""].filter(Boolean);
      resolve(`${shown ? `\`\`\`\n${shown}\n\`\`\`\n` : ""}${notes.join(", ")}`);
    };
    child.on("error", (error) => end(`The shell did not start: ${error.message}`));
    child.on("close", (code, signal) => {
      if (late) return end(`Stopped after ${maxMs / 1_000} s`);
      end(signal ? `Ended by ${signal}` : `Exit code ${code}`);
    });
  });
}
