import * as pulumi from "@pulumi/pulumi";
import { AgentError } from "./agents/define.ts";
import { loadConfig } from "./config.ts";
import { program } from "./program.ts";

/** The agents' files; what is wrong in one is for its author to read, so it comes without a stack trace. */
const { agents: fleet } = await import("./agents/index.ts").catch((error: unknown) => {
  throw error instanceof AgentError ? new pulumi.RunError(error.message) : error;
});

const config = loadConfig();
// Pulumi takes a stack trace for every property of every resource, which is most of the time of a run without changes.
const stackTraceLimit = Error.stackTraceLimit;
Error.stackTraceLimit = 0;
const outputs = program(config, fleet);
Error.stackTraceLimit = stackTraceLimit;

export const { stackName, mattermostUrl, adminUrl, mattermost, agents, socketProxy } = outputs;
