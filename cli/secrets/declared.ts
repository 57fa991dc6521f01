import { type Declaration, decodeDeclaration } from "../../spec/declaration.ts";
import { Label } from "../../spec/names.ts";
import { isWithin, parseReference } from "../../spec/references.ts";
import { type PlacedReference, referencesIn } from "../../spec/secrets.ts";
import { type EngineClient, engineJson } from "../engine-api.ts";
import type { CheckRow } from "./words.ts";

/** A declaration volume's agent, and its declaration or what is wrong with it. */
export interface Declared {
  readonly agent: string;
  readonly declaration: Declaration | undefined;
  readonly problem: string;
}

/** What the Engine tells of a volume. */
interface Volume {
  readonly CreatedAt?: string;
  readonly Labels: Readonly<Record<string, string>> | null;
}

/** The declarations that are up, by agent. Of two of one agent the newer counts: the older is about to go. */
export async function declaredIn(engine: EngineClient, stack: string): Promise<Declared[]> {
  const filters = JSON.stringify({ label: [`${Label.stack}=${stack}`, Label.declaration] });
  const { Volumes } = await engineJson<{ Volumes: Volume[] | null }>(engine, {
    path: `/volumes?filters=${encodeURIComponent(filters)}`,
  });
  const age = ({ CreatedAt }: Volume) => Date.parse(CreatedAt ?? "") || 0;
  const byAgent = new Map<string, Declared>();
  for (const { Labels } of [...(Volumes ?? [])].sort((a, b) => age(a) - age(b))) {
    const declared = readLabel(Labels ?? {});
    byAgent.set(declared.agent, declared);
  }
  return [...byAgent.values()].sort((a, b) => (a.agent < b.agent ? -1 : 1));
}

function readLabel(labels: Readonly<Record<string, string>>): Declared {
  try {
    const declaration = decodeDeclaration(labels[Label.declaration] ?? "");
    return { agent: declaration.name, declaration, problem: "" };
  } catch (error) {
    const agent = labels[Label.agent] ?? "?";
    return { agent, declaration: undefined, problem: (error as Error).message };
  }
}

/** Every reference of the declarations that can be read, with the agent before its place. */
export function placesOf(declared: readonly Declared[]): PlacedReference[] {
  return declared.flatMap(({ agent, declaration }) =>
    declaration
      ? referencesIn(declaration).map(({ place, reference }) => ({
          place: `${agent}.${place}`,
          reference,
        }))
      : [],
  );
}

/** What can be said of the references without asking anybody: that they are well-formed and the agent may name them. */
export function checkOffline(declared: readonly Declared[]): CheckRow[] {
  return declared.flatMap(({ agent, declaration, problem }): CheckRow[] =>
    declaration
      ? referencesIn(declaration).map(({ place, reference }) => {
          const reason = problemOf(reference, declaration.vaults ?? []);
          const row = { place: `${agent}.${place}`, reference };
          return reason === undefined ? { ...row, ok: true } : { ...row, ok: false, reason };
        })
      : [{ place: agent, reference: "-", ok: false, reason: problem }],
  );
}

function problemOf(written: string, vaults: readonly string[]): string | undefined {
  try {
    const reference = parseReference(written);
    return reference.scheme !== "op" || isWithin(reference, vaults)
      ? undefined
      : `outside of what the agent may name (vaults: ${vaults.join(", ") || "none"})`;
  } catch (error) {
    return (error as Error).message;
  }
}
