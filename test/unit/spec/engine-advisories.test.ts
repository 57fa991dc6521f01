import { describe, expect, it } from "vitest";
import { advisoriesFor } from "../../../spec/engine-advisories.ts";

const ids = (version: string) => advisoriesFor(version).map(({ id }) => id);
const bad = (version: string) =>
  advisoriesFor(version)
    .filter(({ severity }) => severity === "bad")
    .map(({ id }) => id);
const copying = ["CVE-2026-41567", "CVE-2026-42306"];

describe("advisories of Engine versions", () => {
  it("the newest is known for nothing", () => {
    expect(ids("29.5.1")).toEqual([]);
    expect(ids("30.0.0")).toEqual([]);
  });

  it.each([
    ["26.1.5+dfsg1", ["moby#45610", "CVE-2026-31431", "CVE-2026-34040", ...copying]],
    ["28.5.2", ["CVE-2026-31431", "CVE-2026-34040", ...copying]],
    [
      "20.10.24+dfsg1",
      ["CVE-2024-29018", "moby#45610", "CVE-2026-31431", "CVE-2024-41110", "CVE-2026-34040"].concat(
        copying,
      ),
    ],
    [
      "20.10.24+dfsg1-1+deb12u1",
      ["CVE-2024-29018", "moby#45610", "CVE-2026-31431", "CVE-2026-34040", ...copying],
    ],
    ["29.3.0-rc.1", ["CVE-2026-31431", "API minimum 1.44", "CVE-2026-34040", ...copying]],
    ["29.3.0", ["CVE-2026-31431", "CVE-2026-34040", ...copying]],
    ["29.4.3", copying],
    ["v29.4.3", copying],
    ["28.0.0-rc.2", ["moby#45610", "CVE-2026-31431", "CVE-2026-34040", ...copying]],
  ])("%s is known for %j", (version, wanted) => expect(ids(version)).toEqual(wanted));

  it.each([
    ["CVE-2024-29018", ["23.0.10", "24.0.9", "25.0.4"], ["23.0.11", "25.0.5", "26.0.0", "27.0.1"]],
    [
      "CVE-2024-41110",
      ["20.10.27", "23.0.14", "24.0.9", "25.0.5", "26.1.4", "27.0.3", "27.1.0"],
      ["23.0.15", "25.0.6", "26.1.5", "27.1.1", "28.0.0"],
    ],
    ["moby#45610", ["20.10.24", "27.5.1"], ["28.0.0", "28.5.2", "29.0.0"]],
    ["CVE-2026-31431", ["29.4.0", "29.4.2", "29.4.3-rc.1"], ["29.4.3", "29.5.0"]],
    ["API minimum 1.44", ["29.0.0", "29.2.1"], ["28.5.2", "29.3.0", "29.0.0-rc.1"]],
    ["CVE-2026-34040", ["29.3.0"], ["29.3.1"]],
    ["CVE-2026-41567", ["29.5.0"], ["29.5.1"]],
    ["CVE-2026-42306", ["29.5.0"], ["29.5.1"]],
  ])("%s: %j have it, %j have not", (id, having, fixed) => {
    for (const version of having) expect(ids(version), version).toContain(id);
    for (const version of fixed) expect(ids(version), version).not.toContain(id);
  });

  it("each says what it means, how to end it, and which versions are without it", () => {
    for (const advisory of advisoriesFor("20.10.0").concat(advisoriesFor("29.0.0"))) {
      expect(advisory.means).toMatch(/^[^\n]{30,}[^.\n]$/);
      expect(advisory.cure.length).toBeGreaterThan(20);
      expect(advisory.fixed.length).toBeGreaterThan(0);
      for (const version of advisory.fixed) expect(ids(version)).not.toContain(advisory.id);
    }
  });

  it("what only authorization plugins and docker cp could reach is noted and not called bad", () => {
    expect(bad("28.5.2")).toEqual(["CVE-2026-31431"]);
    expect(bad("29.5.0")).toEqual([]);
  });

  it.each(["", "dev", "library-import", "0.0.0-20260101", "latest", "1e9", "29"])(
    "%j is no version that could be compared, and that is said",
    (version) => expect(ids(version)).toEqual(["version"]),
  );
});
