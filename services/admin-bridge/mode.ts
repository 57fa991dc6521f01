/** `docker` unless the environment says `local` (requirement E1): the only place that reads `AGENT_MODE`. */
export function isDockerMode(): boolean {
  return process.env.AGENT_MODE !== "local";
}

/** The mode in the word that `/api/health` uses. */
export function agentMode(): "docker" | "local" {
  return isDockerMode() ? "docker" : "local";
}
