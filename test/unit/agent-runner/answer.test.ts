import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Answer } from "../../../services/agent-runner/chat/answer.ts";
import type { MattermostRest } from "../../../services/agent-runner/mattermost/rest.ts";
import { defaultTiming } from "../../../services/agent-runner/settings.ts";
import { createLog } from "../../../services/common/log.ts";

describe("an answer", () => {
  it("is finished although an edit in between fails just when the program ends", async () => {
    const edits: { readonly message: string; readonly patienceMs: number }[] = [];
    const failing = Promise.withResolvers<never>();
    const rest: Pick<MattermostRest, "createPost" | "editPost"> = {
      createPost: async () => ({ id: "post" }) as never,
      editPost: async (_id, message, { patienceMs = 0 } = {}) => {
        edits.push({ message, patienceMs });
        if (edits.length === 1) await failing.promise;
        return undefined as never;
      },
    };
    const lines: string[] = [];
    const answer = new Answer({
      rest: rest as MattermostRest,
      log: createLog("agent-runner", (line) => lines.push(line)),
      timing: { ...defaultTiming, firstEdit: 1, editEvery: 1 },
      channelId: "channel",
      rootId: "",
      onFirstPost: () => {},
      onRefused: () => expect.unreachable("nothing was refused"),
    });
    answer.append("Working");
    while (answer.posts === 0) await pause(1);
    answer.append(" on it");
    while (edits.length === 0) await pause(1);
    // The edit is under way; it is one in between, so it is not tried again by itself.
    answer.append(". Done.");
    const finished = answer.finish(undefined, 60_000);
    failing.reject(new Error("503"));
    await finished;
    expect(edits).toEqual([
      { message: "Working on it", patienceMs: 0 },
      { message: "Working on it. Done.", patienceMs: 60_000 },
    ]);
    expect(lines).toEqual([]);
  });
});
