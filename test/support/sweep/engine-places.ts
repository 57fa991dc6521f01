import { engine, engineStream, inspect, logsOf } from "../engine.ts";
import type { Place } from "./sweep.ts";

/** Containers by the part that they are: what findings call them. */
export type Containers = Readonly<Record<string, string>>;

/** What `docker inspect` says of containers. */
export async function* inspected(containers: Containers): AsyncGenerator<Place> {
  for (const [part, container] of Object.entries(containers)) {
    yield { name: `inspect of ${part}`, content: JSON.stringify(await inspect(container)) };
  }
}

/** Both log streams of containers. */
export async function* logs(containers: Containers): AsyncGenerator<Place> {
  for (const [part, container] of Object.entries(containers)) {
    yield { name: `logs of ${part}`, content: await logsOf(container) };
  }
}

/** What the Engine says of all its volumes and networks: declarations are labels of volumes. */
export async function* objects(): AsyncGenerator<Place> {
  yield { name: "objects: volumes", content: JSON.stringify(await engine("/volumes")) };
  yield { name: "objects: networks", content: JSON.stringify(await engine("/networks")) };
}

/** The images that containers were made of, by id, and others. */
export async function imagesOf(
  containers: Containers,
  others: readonly string[] = [],
): Promise<string[]> {
  const ids = new Set(others);
  for (const container of Object.values(containers)) ids.add((await inspect(container)).Image);
  return [...ids];
}

/** Histories and configurations of images. */
export async function* imageTexts(ids: readonly string[]): AsyncGenerator<Place> {
  for (const id of ids) {
    for (const what of ["history", "json"]) {
      const content = JSON.stringify(await engine(`/images/${id}/${what}`));
      yield { name: `image ${what} of ${id.slice(7, 19)}`, content };
    }
  }
}

/** All layers of images, as `docker save` writes them, each once. */
export function* imageLayers(ids: readonly string[]): Generator<Place> {
  const names = ids.map((id) => `names=${encodeURIComponent(id)}`).join("&");
  yield {
    name: `image layers of ${ids.length} images`,
    content: engineStream(`/images/get?${names}`),
  };
}

/** What is in the volumes of containers, read as the Engine sees it. */
export async function* volumeContents(containers: Containers): AsyncGenerator<Place> {
  for (const [part, container] of Object.entries(containers)) {
    for (const { Type, Destination } of (await inspect(container)).Mounts) {
      if (Type !== "volume") continue;
      const path = encodeURIComponent(Destination);
      yield {
        name: `volume of ${part}: ${Destination}`,
        content: engineStream(`/containers/${container}/archive?path=${path}`),
      };
    }
  }
}

/** Containers that may swap, each with its limits: memory and swap together must be the memory alone. */
export async function swapping(containers: Containers): Promise<string[]> {
  const found: string[] = [];
  for (const [part, container] of Object.entries(containers)) {
    const { Memory, MemorySwap } = (await inspect(container)).HostConfig;
    if (Memory <= 0 || MemorySwap !== Memory) found.push(`${part}: ${Memory} ${MemorySwap}`);
  }
  return found;
}
