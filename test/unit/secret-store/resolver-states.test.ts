import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { Redacted } from "../../../services/common/redacted.ts";
import { BackendError } from "../../../services/secret-store/onepassword/backend.ts";
import { Pause } from "../../../services/secret-store/onepassword/pause.ts";
import { Resolver } from "../../../services/secret-store/onepassword/resolver.ts";
import { type OpReference, parseReference } from "../../../spec/references.ts";
import { FakeClock, FakeOnePassword, settled } from "./fake-onepassword.ts";

const reference = parseReference("op://agents/lal/a") as OpReference;
const token = new Redacted("good", "token");

let clock: FakeClock;
let onepassword: FakeOnePassword;
let resolver: Resolver;
let reads: number;

beforeEach(() => {
  clock = new FakeClock();
  onepassword = new FakeOnePassword();
  onepassword.put("agents", "lal", { a: "value" });
  reads = 0;
  resolver = new Resolver({
    makeBackend: (given) => onepassword.make(given),
    pollMs: 60_000,
    clock,
    // In the middle of the jitter: the pause as it is.
    random: () => 0.5,
    log: createLog("secret-store", () => undefined),
    onRead: async () => {
      reads += 1;
    },
    onState: () => undefined,
  });
  resolver.want([reference]);
});

function known(): string {
  const found = resolver.resolve(reference);
  if (found.kind === "value") return found.value.reveal().toString();
  return "reason" in found ? `${found.kind}: ${found.reason}` : found.kind;
}
/** Time until the next look, in seconds. */
function nextSeconds(): number {
  return (Date.parse(resolver.status.nextRead ?? "") - clock.now()) / 1000;
}
/** Requests that are made while the time passes. */
async function during(ms: number): Promise<number> {
  const before = onepassword.calls.length;
  await clock.pass(ms);
  return onepassword.calls.length - before;
}

describe("a locked store", () => {
  it("asks nothing, says how to unlock it, and takes no look for work to do", async () => {
    expect(resolver.status).toEqual({
      state: "locked",
      since: new Date(clock.now()).toISOString(),
      requests: 0,
    });
    expect(known()).toBe("unavailable: the secret store is locked: run berth secrets unlock");
    await resolver.refresh();
    expect(await during(3_600_000)).toBe(0);
  });

  it("is ready after a token that 1Password takes, and says when it read and when it reads again", async () => {
    expect(await resolver.unlock(token)).toEqual({
      state: "ready",
      since: new Date(clock.now()).toISOString(),
      lastRead: new Date(clock.now()).toISOString(),
      nextRead: new Date(clock.now() + 60_000).toISOString(),
      requests: 4,
    });
    expect([known(), reads]).toEqual(["value", 1]);
  });

  it("a refused token is an error and not kept; nothing is asked with it again", async () => {
    await expect(resolver.unlock(new Redacted("bad", "token"))).rejects.toThrow("not valid");
    expect(resolver.status).toMatchObject({ state: "refused", reason: "the token is not valid" });
    expect(known()).toMatch(/^unavailable: 1Password refuses the store's token/);
    expect(await during(7_200_000)).toBe(0);
    expect((await resolver.unlock(token)).state).toBe("ready");
  });

  it("a refused token takes nothing away from a store that has a good one", async () => {
    await resolver.unlock(token);
    await expect(resolver.unlock(new Redacted("bad", "token"))).rejects.toThrow("not valid");
    expect([resolver.status.state, known()]).toEqual(["ready", "value"]);
    expect(await during(60_000)).toBeGreaterThan(0);
    expect(resolver.status.state).toBe("ready");
  });

  it("a token that cannot be tried now is kept and tried again by itself", async () => {
    onepassword.fail("unreachable");
    expect(await resolver.unlock(token)).toMatchObject({
      state: "unreachable",
      reason: "it is unreachable",
    });
    onepassword.fail();
    await clock.pass(5_000);
    expect([resolver.status.state, known()]).toEqual(["ready", "value"]);
  });

  it("a lock forgets token and values, ends what is under way, and closes the way to 1Password", async () => {
    await resolver.unlock(token);
    const late: (() => void)[] = [];
    onepassword.before = () => new Promise((resolve) => late.push(resolve));
    onepassword.put("agents", "lal", { a: "new" });
    await clock.pass(60_000);
    await resolver.lock();
    for (const answer of late) answer();
    await settled();
    expect(known()).toMatch(/locked/);
    expect(resolver.status.nextRead).toBeUndefined();
    expect([onepassword.closed, await during(3_600_000)]).toEqual([1, 0]);
  });
});

describe("a lock while a token is being tried", () => {
  it.each(["lock", "close"] as const)(
    "%s: the token is not kept, whatever 1Password says of it",
    async (end) => {
      let answer: () => void = () => undefined;
      onepassword.before = () =>
        new Promise((resolve) => {
          answer = resolve;
        });
      const unlocking = resolver.unlock(token);
      await settled();
      await resolver[end]();
      onepassword.fail();
      answer();
      expect((await unlocking).state).toBe("locked");
      expect(known()).toMatch(/locked/);
      expect([onepassword.closed, await during(3_600_000)]).toEqual([1, 0]);
      // The next one is tried as ever.
      expect((await resolver.unlock(token)).state).toBe("ready");
    },
  );
});

describe("a store that 1Password does not serve", () => {
  it("rate limited: keeps what it has and waits 5 s, then twice as long each time, half an hour at most", async () => {
    await resolver.unlock(token);
    onepassword.fail("limited");
    await clock.pass(60_000);
    const pauses: number[] = [];
    for (let i = 0; i < 12; i++) {
      expect(resolver.status.state).toBe("limited");
      pauses.push(nextSeconds());
      // One request each: the first that fails ends the look.
      expect(await during(nextSeconds() * 1000)).toBe(1);
    }
    expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]);
    expect(known()).toBe("value");
    onepassword.fail();
    await clock.pass(1_800_000);
    expect([resolver.status.state, nextSeconds()]).toEqual(["ready", 60]);
    onepassword.fail("limited");
    await clock.pass(60_000);
    expect(nextSeconds()).toBe(5);
  });

  it("what 1Password asks for in Retry-After wins over the pause, up to a day", async () => {
    await resolver.unlock(token);
    onepassword.fail("limited", 3_000_000);
    await clock.pass(60_000);
    expect(nextSeconds()).toBe(3_000);
    onepassword.fail("limited", 1e12);
    await clock.pass(3_000_000);
    expect(nextSeconds()).toBe(86_400);
    await resolver.lock();
    await resolver.unlock(token);
    onepassword.fail("limited", 1);
    await resolver.refresh();
    expect(nextSeconds()).toBe(5);
  });

  it("a short Retry-After of anybody on the way does not shorten the pauses while 1Password is away", async () => {
    await resolver.unlock(token);
    onepassword.fail("unreachable", 1_000);
    await clock.pass(60_000);
    const pauses: number[] = [];
    for (let i = 0; i < 4; i++) {
      pauses.push(nextSeconds());
      await clock.pass(nextSeconds() * 1000);
    }
    expect(pauses).toEqual([5, 10, 20, 40]);
    onepassword.fail("unreachable", 600_000);
    await clock.pass(nextSeconds() * 1000);
    expect(nextSeconds()).toBe(600);
  });

  it("a new reference does not break a pause; refresh does, and begins the pauses anew", async () => {
    await resolver.unlock(token);
    onepassword.fail("limited", 3_600_000);
    await clock.pass(60_000);
    resolver.want([reference, parseReference("op://agents/lal/b") as OpReference]);
    expect(await during(3_000_000)).toBe(0);
    onepassword.fail();
    await resolver.refresh();
    expect([resolver.status.state, nextSeconds()]).toEqual(["ready", 60]);
  });

  it("a revoked token: values hold, and it is tried again every half hour only", async () => {
    await resolver.unlock(token);
    onepassword.tokens.clear();
    await clock.pass(60_000);
    expect(resolver.status).toMatchObject({ state: "refused", reason: "the token is not valid" });
    expect([known(), nextSeconds()]).toEqual(["value", 1_800]);
    expect(await during(1_799_999)).toBe(0);
    onepassword.tokens.add("good");
    await clock.pass(1);
    expect(resolver.status.state).toBe("ready");
  });

  it("the first refusal ends the look: no further item is asked for", async () => {
    const wanted = Array.from({ length: 40 }, (_, i) => {
      onepassword.put("agents", `item${i}`, { a: "1" });
      return parseReference(`op://agents/item${i}/a`) as OpReference;
    });
    resolver.want(wanted);
    onepassword.before = (call) =>
      call.startsWith("item ") ? new BackendError("limited", "too many requests") : undefined;
    await resolver.unlock(token);
    expect(resolver.status.state).toBe("limited");
    expect(onepassword.calls.filter((call) => call.startsWith("item ")).length).toBeLessThan(9);
  });

  it("what was read before the refusal is had already", async () => {
    onepassword.put("agents", "data", { a: "of data" });
    const data = parseReference("op://agents/data/a") as OpReference;
    resolver.want([reference, data]);
    onepassword.before = (call) =>
      call === "item v-agents/i2"
        ? new Promise<void>((_, reject) => {
            setImmediate(() => setImmediate(() => reject(new BackendError("unreachable", "gone"))));
          })
        : undefined;
    await resolver.unlock(token);
    expect([resolver.status.state, known()]).toEqual(["unreachable", "value"]);
  });

  it("the state's time is that of its change, whatever comes between", async () => {
    const start = clock.now();
    await resolver.unlock(token);
    await clock.pass(600_000);
    expect(Date.parse(resolver.status.since)).toBe(start);
    onepassword.fail("unreachable");
    await clock.pass(60_000);
    const failed = clock.now();
    await clock.pass(600_000);
    expect(Date.parse(resolver.status.since)).toBe(failed);
  });
});

describe("pauses", () => {
  it("are never under 4 s or over a day, whatever the jitter, the failures and what is asked for", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.array(fc.option(fc.integer({ min: -1e9, max: 1e12 }), { nil: undefined })),
        fc.boolean(),
        (jitter, asked, isLimit) => {
          const pause = new Pause(() => jitter);
          for (const ms of asked) {
            const next = pause.next(ms, isLimit);
            expect(next).toBeGreaterThanOrEqual(4_000);
            expect(next).toBeLessThanOrEqual(ms === undefined ? 1_800_000 : 86_400_000);
          }
        },
      ),
    );
  });
});
