import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { root } from "../../support/stack.ts";

const tracked = execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter((file) => file !== "" && existsSync(`${root}/${file}`));
const text = (file: string) => readFileSync(`${root}/${file}`, "utf8");

describe("the repository", () => {
  it("the lock file carries no download address", () => {
    expect(text("package-lock.json")).not.toMatch(/"resolved": "http/);
  });

  it("dependencies have exact versions", () => {
    for (const file of tracked.filter((f) => /(^|\/)package\.json$/.test(f))) {
      const manifest = JSON.parse(text(file)) as Record<string, Record<string, string> | undefined>;
      for (const kind of ["dependencies", "devDependencies"]) {
        for (const [name, version] of Object.entries(manifest[kind] ?? {}))
          expect(version, `${file}: ${name}`).toMatch(/^\d/);
      }
    }
  });

  it("the socket proxy and the egress gateway have no dependencies", () => {
    for (const service of ["socket-proxy", "egress-gateway", "common"]) {
      expect(JSON.parse(text(`services/${service}/package.json`))).not.toHaveProperty(
        "dependencies",
      );
    }
  });

  it("a service imports from spec/, services/common and itself only", () => {
    const wrong = tracked
      .filter((f) => /^services\/.*\.ts$/.test(f))
      .flatMap((file) => {
        const own = file.split("/").slice(0, 2).join("/");
        return [...text(file).matchAll(/from "(\.[^"]+)"/g)]
          .map((match) => new URL(match[1] ?? "", `file:///${file}`).pathname.slice(1))
          .filter(
            (to) =>
              !(
                to.startsWith(`${own}/`) ||
                to.startsWith("spec/") ||
                to.startsWith("services/common/")
              ),
          )
          .map((to) => `${file} → ${to}`);
      });
    expect(wrong).toEqual([]);
  });

  it("spec/ imports nothing but itself and node", () => {
    const wrong = tracked
      .filter((f) => /^spec\/.*\.ts$/.test(f))
      .flatMap((file) =>
        [...text(file).matchAll(/from "([^"]+)"/g)]
          .map((m) => m[1] ?? "")
          .filter((to) => !/^(\.\/|node:)/.test(to))
          .map((to) => `${file} → ${to}`),
      );
    expect(wrong).toEqual([]);
  });

  it("only components/ makes Docker resources, only config.ts reads stack config, no service mentions the Docker socket's path", () => {
    const ts = tracked.filter((f) => f.endsWith(".ts") && !f.startsWith("test/"));
    expect(
      ts.filter((f) => /new docker\.(?!Provider)/.test(text(f)) && !f.startsWith("components/")),
    ).toEqual([]);
    expect(ts.filter((f) => /new pulumi\.Config/.test(text(f)) && f !== "config.ts")).toEqual([]);
    expect(
      ts.filter(
        (f) =>
          /Path\.dockerSocket/.test(text(f)) &&
          !/^(services\/socket-proxy|components|bench)\//.test(f),
      ),
    ).toEqual([]);
  });
});
