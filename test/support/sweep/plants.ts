import { randomBytes } from "node:crypto";
import { MiB } from "../../../spec/units.ts";
import { engine, engineAnswer, logsOf, until } from "../engine.ts";
import { mask } from "./mask.ts";

/** Values that are put where a search must find them, each in one kind of place. */
const kinds = [
  "environ",
  "argument",
  "memory",
  "log",
  "label",
  "layer",
  "comment",
  "volume",
  "ram",
] as const;
type Kind = (typeof kinds)[number];

/** A container that leaks on purpose, and an image and a volume of it. */
export interface Planted {
  readonly container: string;
  /** Id of an image made of the container: its layer, its history and its configuration leak. */
  readonly image: string;
  readonly values: Readonly<Record<Kind, string>>;
  /** Removes all three. */
  uproot(): Promise<void>;
}

/** A value that occurs nowhere else. */
export function plantValue(): string {
  return `plant-${randomBytes(12).toString("hex")}`;
}

/**
 * Starts a container that holds a value of its own in its environment, its arguments, its memory, its log, a label, its
 * layer, a volume and its RAM, may swap and may dump its core. It belongs to no stack.
 * @param image has Node in `/usr/local/bin/node`
 */
export async function plant(image: string): Promise<Planted> {
  const name = plantValue();
  const values = Object.fromEntries(kinds.map((kind) => [kind, plantValue()])) as Record<
    Kind,
    string
  >;
  // What the program holds is masked in its text: the text is an argument, and part of its memory.
  const code = `
    const { writeFileSync } = require("node:fs");
    const unmasked = (hex) => Buffer.from(hex, "hex").map((byte) => byte ^ 0x55).toString();
    globalThis.kept = unmasked("${mask(values.memory)}") + "";
    writeFileSync("/planted", unmasked("${mask(values.layer)}"));
    writeFileSync("/plant/file", unmasked("${mask(values.volume)}"));
    writeFileSync("/tmp/file", unmasked("${mask(values.ram)}"));
    console.log(unmasked("${mask(values.log)}"));
    setInterval(() => globalThis.kept.length, 1000);`;
  await engine("/volumes/create", "POST", { Name: name, Labels: { plant: values.label } });
  const images: string[] = [];
  const uproot = async () => {
    await engineAnswer(`/containers/${name}?force=1&v=1`, "DELETE");
    await engineAnswer(`/volumes/${name}?force=1`, "DELETE");
    for (const id of images) await engineAnswer(`/images/${id}?force=1`, "DELETE");
  };
  try {
    await engine(`/containers/create?name=${name}`, "POST", {
      Image: image,
      User: "0:0",
      Env: [`PLANT=${values.environ}`],
      Entrypoint: ["/usr/local/bin/node", "-e", code],
      Cmd: [values.argument],
      Labels: { plant: values.label },
      Healthcheck: { Test: ["NONE"] },
      HostConfig: {
        Binds: [`${name}:/plant`],
        Tmpfs: { "/tmp": "rw,size=1m" },
        NetworkMode: "none",
        Memory: 256 * MiB,
        MemorySwap: 512 * MiB,
        Ulimits: [{ Name: "core", Soft: -1, Hard: -1 }],
      },
    });
    await engine(`/containers/${name}/start`, "POST");
    await until("the plant's word", async () => (await logsOf(name)).includes(values.log));
    const { Id } = await engine<{ Id: string }>(
      `/commit?container=${name}&repo=localhost/${name}&comment=${values.comment}`,
      "POST",
      {},
    );
    images.push(Id);
    return { container: name, image: Id, values, uproot };
  } catch (error) {
    await uproot();
    throw error;
  }
}
