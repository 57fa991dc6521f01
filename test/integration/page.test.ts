import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { engineAnswer, inspect } from "../support/engine.ts";
import { root, Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
let browser: Browser;

/** Debian's Chromium; installed where the machine allows it, since this suite must run on a fresh one. */
function chromiumPath(): string {
  const path = "/usr/bin/chromium";
  if (!existsSync(path)) {
    execFileSync("apt-get", ["update", "-qq"], { stdio: "ignore" });
    execFileSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "chromium"], {
      stdio: "ignore",
    });
  }
  return path;
}

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: chromiumPath(),
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}, 300_000);

afterAll(() => browser.close());

/** Waits until the page shows, without being loaded again, that `name` answered with what was written. */
async function answer(page: Page, name: string, written: string): Promise<void> {
  await page
    .locator(`#messages article.message.reply[data-user="${name}"] .text`, { hasText: written })
    .waitFor({ timeout: 60_000 });
}

describe("the stand-in's web page in a real browser", () => {
  it("a person logs in, writes `@lal hello`, and sees lal and data answer live", async () => {
    const page = await browser.newPage({ viewport: { width: 1180, height: 760 } });
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(`${stack.mattermostUrl}/`);
    await page.fill("#login-name", "operator");
    await page.fill("#login-password", inject("operatorPassword"));
    await page.click("#login-button");
    await page.locator("#channels").getByText("Town Square").click();
    await page.locator("#live.on").waitFor();
    await engineAnswer(`/containers/${stack.container("lal")}/stop?t=10`, "POST");
    expect((await inspect(stack.container("lal"))).State.Running).toBe(false);
    await page.fill("#message-input", "@lal hello from a browser");
    await page.click("#send-button");
    await answer(page, "lal", "hello from a browser");
    await page.fill("#message-input", "@data and you, <b>data</b>?");
    await page.click("#send-button");
    await answer(page, "data", "and you, <b>data</b>?");
    expect(await page.locator("#messages b").count()).toBe(0);
    expect(problems).toEqual([]);
    const folder = join(root, "test-results");
    mkdirSync(folder, { recursive: true });
    await page.screenshot({ path: join(folder, "page.png") });
  });

  it("a wrong password is refused with a sentence", async () => {
    const page = await browser.newPage();
    await page.goto(`${stack.mattermostUrl}/`);
    await page.fill("#login-name", "operator");
    await page.fill("#login-password", "not-the-password-1");
    await page.click("#login-button");
    await page
      .getByText(/password|credentials/i)
      .first()
      .waitFor();
    expect(await page.locator("#message-input").isVisible()).toBe(false);
  });
});
