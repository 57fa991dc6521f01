import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

/** Drops rights in a process of its own, then says what is left. Argument: the directory with the socket's stand-in. */
const script = `
  import fs from "node:fs";
  import { dropPrivileges } from "${join(import.meta.dirname, "../../../services/socket-proxy/privileges.ts")}";
  const directory = process.argv[1];
  const listener = { client: "egress-gateway", directory: directory + "/egress-gateway", socketPath: "" };
  const group = await dropPrivileges({ stack: "dev", dockerSocket: directory + "/docker.sock", uid: 10001, auditDirectory: directory + "/audit", listeners: [listener] });
  const status = fs.readFileSync("/proc/self/status", "utf8");
  const field = (name) => new RegExp("^" + name + ":\\\\s*(.*)$", "m").exec(status)[1].trim().split(/\\s+/).join(" ");
  console.log(JSON.stringify({ group, uid: process.getuid(), ids: field("Uid"), groups: field("Groups"), effective: field("CapEff") }));
`;

const ownerAndMode = (path: string) => {
  const { uid, gid, mode } = statSync(path);
  return [uid, gid, mode & 0o777];
};

describe("giving up root", () => {
  it("keeps the socket's group and nothing else; who is not root to begin with changes nothing", () => {
    const directory = mkdtempSync(join(tmpdir(), "sp-rights-"));
    try {
      chmodSync(directory, 0o755);
      writeFileSync(join(directory, "docker.sock"), "");
      if (process.getuid?.() === 0) chownSync(join(directory, "docker.sock"), 0, 4321);
      const { gid } = statSync(join(directory, "docker.sock"));
      const output = execFileSync(
        process.execPath,
        ["--input-type=module", "--eval", script, directory],
        { encoding: "utf8" },
      );
      const left = JSON.parse(output) as Record<string, unknown>;
      if (process.getuid?.() === 0) {
        expect(left).toEqual({
          group: gid,
          uid: 10001,
          ids: "10001 10001 10001 10001",
          groups: String(gid),
          effective: "0000000000000000",
        });
        expect(ownerAndMode(directory)).toEqual([10001, 10001, 0o700]);
        expect(ownerAndMode(join(directory, "egress-gateway"))).toEqual([10001, 10001, 0o755]);
        expect(ownerAndMode(join(directory, "audit"))).toEqual([10001, 10001, 0o700]);
      } else {
        expect(left).toMatchObject({ uid: process.getuid?.() });
        expect(left.group).toBeUndefined();
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
