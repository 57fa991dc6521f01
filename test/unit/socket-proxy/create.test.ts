import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createBody } from "../../../spec/create-body.ts";
import { instanceContainer, templatesOf } from "../../../spec/instance.ts";
import { declarationOf } from "./engine-double.ts";
import { eventually, type Harness, startHarness } from "./harness.ts";
import { outsideLanguage } from "./language.ts";
import { review } from "./templates.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
  harness.agent({ templates: { review }, instances: { max: 1, timeoutSeconds: 60 } });
  await eventually(() => harness.engine.asked().length > 0);
});
afterEach(async () => {
  const outside = outsideLanguage(harness.engine.recorded);
  await harness.close();
  // I1: after every test of this file.
  expect(outside).toEqual([]);
});

const wanted = { template: "lal.review", instance: "x1", parameters: { TASK_ID: "7" } };
const create = (body: unknown) => harness.ask("/berth/instances", "POST", undefined, body);
const creates = () => harness.engine.recorded.filter(({ path }) => path.includes("/create?"));

describe("create", () => {
  it("sends the template's rendering and nothing of the client's but declared parameters", async () => {
    const answer = await create(wanted);
    expect([answer.status, answer.text]).toEqual([
      201,
      expect.stringMatching(/"Id":"[0-9a-f]{64}"/),
    ]);
    const sent = JSON.parse(creates()[0]?.body ?? "") as { Labels: Record<string, string> };
    const declaration = declarationOf({
      templates: { review },
      instances: { max: 1, timeoutSeconds: 60 },
    });
    const template = templatesOf(declaration).find(({ name }) => name === "review");
    if (!template) throw new Error("no template");
    const leaseEnds = Number(sent.Labels["berth.lease"]);
    expect(sent).toEqual(
      createBody(
        instanceContainer(template, {
          name: "x1",
          client: "admin-bridge",
          parameters: { TASK_ID: "7" },
          leaseEnds,
        }),
      ),
    );
    const started = await harness.ask("/containers/berth-dev-lal.review.x1/start", "POST");
    expect(started.status).toBe(204);
  });
});
