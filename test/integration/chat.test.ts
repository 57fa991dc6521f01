import { beforeAll, describe, expect, inject, it } from "vitest";
import { inspect, until } from "../support/engine.ts";
import { Person } from "../support/person.ts";
import { Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
let operator: Person;
let square: string;

beforeAll(async () => {
  operator = await Person.login(stack.mattermostUrl, "operator", inject("operatorPassword"));
  square = await operator.channel("town-square");
});

describe("a message and its answer", () => {
  it("an `always` agent greets in its channel without being asked", async () => {
    const data = await operator.client.getUserByUsername("data");
    const greeting = await until("data's greeting", async () =>
      (await operator.posts(square)).find(
        (post) => post.user_id === data.id && /I am data/.test(post.message),
      ),
    );
    expect(greeting.props).toMatchObject({ from_bot: "true" });
  });

  it("B6: an on-demand agent does not run before it is asked, and answers the very message that woke it", async () => {
    expect((await inspect(stack.container("sleeper"))).State.Status).toBe("created");
    const question = await operator.say(square, "@sleeper hello from the test");
    const answer = await operator.answer(square, "sleeper", question, /hello from the test/);
    expect(answer.root_id).toBe(question.id);
    expect((await inspect(stack.container("sleeper"))).State.Running).toBe(true);
    const mine = (await operator.posts(square)).filter(
      (p) => p.root_id === question.id && p.user_id === answer.user_id,
    );
    expect(mine).toHaveLength(1);
  });

  it("A27: a direct message to an agent's bot is answered by that bot account", async () => {
    const direct = await operator.direct("data");
    const question = await operator.say(direct, "are you there, alone with me?");
    const answer = await operator.answer(direct, "data", question, /alone with me/);
    const bot = await operator.client.getUserByUsername("data");
    expect(answer.user_id).toBe(bot.id);
    expect(bot.is_bot).toBe(true);
  });

  it("a direct message wakes a sleeping agent too, and it answers that message", async () => {
    const direct = await operator.direct("probe");
    const question = await operator.say(direct, "good morning probe");
    await operator.answer(direct, "probe", question, /good morning probe/);
  });

  it("two threads with one agent are two conversations", async () => {
    const one = await operator.say(square, "@data count");
    await operator.answer(square, "data", one, /\b1\b/);
    const again = await operator.say(square, "@data count", one.id);
    await operator.answer(square, "data", again, /\b2\b/);
    const two = await operator.say(square, "@data count");
    const fresh = await operator.answer(square, "data", two, /\b1\b/);
    expect(fresh.root_id).toBe(two.id);
  });
});
