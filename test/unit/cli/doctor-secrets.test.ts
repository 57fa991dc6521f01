import { describe, expect, it } from "vitest";
import {
  checkCorePattern,
  checkOp,
  checkSwap,
  checkSystemd,
  checkTpm,
  swapsIn,
} from "../../../cli/doctor-secrets.ts";

const cured = { state: "note", cure: expect.stringMatching(/\S/) };

describe("where the token is sealed", () => {
  it("a TPM that systemd can use is good; none, and one that it cannot use, are notes with the cure", () => {
    expect(checkTpm({ isThere: true, isUsable: true }).state).toBe("ok");
    expect(checkTpm({ isThere: true, isUsable: false })).toMatchObject(cured);
    const none = checkTpm({ isThere: false, isUsable: false });
    expect(none).toMatchObject(cured);
    expect(none.says).toMatch(/key file/);
  });

  it.each([
    [undefined, "note"],
    [249, "note"],
    [250, "ok"],
    [257, "ok"],
  ])("systemd %s is %s", (version, state) => {
    const check = checkSystemd(version);
    expect(check.state).toBe(state);
    if (state !== "ok") expect(check.cure).toMatch(/250 or later/);
  });
});

describe("swap", () => {
  const head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
  const swaps = `${head}/dev/dm-1                               partition\t8388604\t\t0\t\t-2\n/swapfile  file\t1024\t0\t-3\n`;

  it("is read from /proc/swaps", () => {
    expect(swapsIn(head, () => true)).toEqual([]);
    expect(swapsIn("", () => true)).toEqual([]);
    expect(swapsIn(swaps, (path) => path === "/dev/dm-1")).toEqual([
      { path: "/dev/dm-1", isSafe: true },
      { path: "/swapfile", isSafe: false },
    ]);
  });

  it("none, and an encrypted one, are good", () => {
    expect(checkSwap([], "5.10.0")).toMatchObject({ state: "ok", says: "off" });
    expect(checkSwap([{ path: "/dev/dm-1", isSafe: true }], "5.10.0").state).toBe("ok");
  });

  it.each([
    ["6.4.0", /option noswap/],
    ["6.18.44-lts", /option noswap/],
    ["7.0.1", /option noswap/],
    ["10.0", /option noswap/],
    ["6.3.9", /kernel 6\.3\.9 cannot.*6\.4 or later/],
    ["5.15.0-91-generic", /cannot/],
    ["?", /cannot/],
  ])("one in the clear is noted by its path; kernel %s decides on the cure", (kernel, cure) => {
    const found = checkSwap(
      swapsIn(swaps, (path) => path === "/dev/dm-1"),
      kernel,
    );
    expect(found).toMatchObject({ state: "note", says: expect.stringContaining("/swapfile") });
    expect(found.says).not.toContain("/dev/dm-1");
    expect(found.cure).toMatch(cure);
  });
});

describe("core dumps", () => {
  it.each(["core\n", "/var/crash/core.%e.%p", ""])(
    "files, by the pattern %j, are forbidden by a limit",
    (text) => expect(checkCorePattern(text).state).toBe("ok"),
  );

  it.each([
    [
      "|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h\n",
      /systemd-coredump/,
      /coredump\.conf/,
    ],
    ["|/usr/share/apport/apport -p%p -s%s", /apport/, /sysctl/],
    ["| /opt/own-keeper", /own-keeper/, /sysctl/],
  ])("a program that gets them, by the pattern %j, is noted with the cure", (text, says, cure) => {
    const check = checkCorePattern(text);
    expect(check.state).toBe("note");
    expect(check.says).toMatch(says);
    expect(check.cure).toMatch(cure);
  });
});

describe("op", () => {
  const op = { provider: "onepassword", via: "op", opPath: "/usr/bin/op" };
  const none = () => false;

  it.each([
    { ...op, provider: "development" },
    { ...op, via: "sdk" },
    { ...op, via: "connect" },
  ])("is no concern of %j", (secrets) => expect(checkOp(secrets, none)).toEqual([]));

  it("is checked where the stack's config asks for it", () => {
    expect(checkOp(op, (path) => path === "/usr/bin/op")).toMatchObject([{ state: "ok" }]);
    expect(checkOp(op, none)).toMatchObject([
      {
        state: "failed",
        says: expect.stringContaining("/usr/bin/op"),
        cure: expect.stringMatching(/\S/),
      },
    ]);
    expect(checkOp({ ...op, opPath: undefined }, () => true)).toMatchObject([
      { state: "failed", cure: expect.stringContaining("opPath") },
    ]);
  });
});
