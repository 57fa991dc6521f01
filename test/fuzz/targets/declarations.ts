import { readDeclarations } from "../../../services/socket-proxy/declarations.ts";
import { encodeDeclaration } from "../../../spec/declaration.ts";
import { checkDeclaration } from "../../../spec/declaration-check.ts";
import { mutate } from "../mutate.ts";
import { declarations } from "../stack.ts";
import type { Target } from "../target.ts";

const utf8 = (text: string) => Buffer.from(text);
const textOf = (input: Uint8Array) => Buffer.from(input).toString("latin1");

const volumes = declarations.map((declaration) => ({
  Name: `${declaration.name}-0`,
  Driver: "local",
  CreatedAt: "2026-01-01T00:00:00Z",
  Labels: {
    "berth.stack": "dev",
    "berth.agent": declaration.name,
    "berth.declaration": encodeDeclaration(declaration),
  },
}));

/** Declarations: whatever volumes there are, what is read is valid, of this stack, and the newest of its agent. */
export const declarationsTarget: Target = {
  name: "declarations",
  generate(random) {
    const list = Array.from({ length: random.below(5) }, () => {
      const volume = structuredClone(random.pick(volumes)) as (typeof volumes)[number];
      volume.Name = random.pick(["a", "b", "c", volume.Name]);
      volume.CreatedAt = random.pick([
        "2026-01-01T00:00:00Z",
        "2026-01-02T00:00:00Z",
        "x",
        "",
        "2025-01-01T00:00:00+01:00",
      ]);
      if (random.percent(30)) {
        const key = random.pick(["berth.stack", "berth.agent", "berth.declaration"] as const);
        volume.Labels[key] = random.pick(["prod", "dev", "lal", "{}", "[]", "null", ""]);
      }
      if (random.percent(40)) {
        const text = volume.Labels["berth.declaration"];
        volume.Labels["berth.declaration"] = textOf(mutate(random, utf8(text)));
      }
      return volume;
    });
    const bytes = utf8(JSON.stringify(list));
    return random.percent(15) ? mutate(random, bytes) : bytes;
  },
  check(input) {
    let list: unknown;
    try {
      list = JSON.parse(Buffer.from(input).toString("utf8"));
    } catch {
      return undefined;
    }
    const { declarations: read } = readDeclarations("dev", list);
    const names = read.map((declaration) => declaration.name);
    if (new Set(names).size !== names.length) return "has an agent twice";
    if (names.join() !== [...names].sort().join()) return "is not sorted";
    for (const declaration of read) {
      const problems = checkDeclaration(declaration);
      if (problems.length > 0 || declaration.stack !== "dev") return `reads ${problems.join()}`;
      const text = encodeDeclaration(declaration);
      const candidates = (Array.isArray(list) ? list : []).filter(
        (volume) =>
          volume?.Labels?.["berth.stack"] === "dev" &&
          volume.Labels["berth.agent"] === declaration.name &&
          isValid(volume.Labels["berth.declaration"], declaration.name),
      );
      const timeOf = (volume: { CreatedAt?: unknown }) =>
        typeof volume.CreatedAt === "string" ? Date.parse(volume.CreatedAt) || 0 : 0;
      const newest = Math.max(...candidates.map(timeOf));
      const isNewest = candidates.some(
        (volume) =>
          timeOf(volume) === newest &&
          encodeDeclaration(JSON.parse(volume.Labels["berth.declaration"])) === text,
      );
      if (!isNewest) return `reads an older ${declaration.name}`;
    }
    return undefined;
  },
};

function isValid(text: unknown, agent: string): boolean {
  try {
    const value = JSON.parse(String(text)) as { stack: unknown; name: unknown };
    return (
      checkDeclaration(value).length === 0 &&
      value.stack === "dev" &&
      value.name === agent &&
      Buffer.byteLength(String(text)) <= 16 * 1024
    );
  } catch {
    return false;
  }
}
