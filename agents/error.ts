/** Wrong input in an agent's file or in the list. Its message lists everything wrong; a stack trace would not help. */
export class AgentError extends Error {
  override readonly name = "AgentError";

  constructor(file: string, problems: readonly string[]) {
    super(`Fix ${file}:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
  }
}
