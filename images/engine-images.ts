import type { Readable } from "node:stream";
import { type EngineClient, engineJson, messageOf } from "../cli/engine-api.ts";
import { imageLabel } from "./catalog.ts";

/** A build that gives no sign of life for this long is given up. */
const silenceMs = 10 * 60_000;

/** Whether the Engine has an image of this reference. @throws Error where it answers neither yes nor no */
export async function hasImage(engine: EngineClient, reference: string): Promise<boolean> {
  const answer = await engine.request({ path: `/images/${encodeURI(reference)}/json` });
  if (answer.status === 200) return true;
  if (answer.status === 404) return false;
  throw new Error(`the Engine cannot say whether it has ${reference}: ${messageOf(answer)}`);
}

/**
 * Builds an image from a context archive with the Engine's own builder, which every Engine from 20.10 on has.
 * Build steps get no network. @throws Error with the Engine's message
 */
export async function buildImage(
  engine: EngineClient,
  reference: string,
  labels: Readonly<Record<string, string>>,
  context: Readable,
): Promise<void> {
  const query = new URLSearchParams({
    t: reference,
    version: "1",
    rm: "1",
    forcerm: "1",
    networkmode: "none",
    labels: JSON.stringify(labels),
  });
  const answer = await engine.stream({
    method: "POST",
    path: `/build?${query}`,
    headers: { "content-type": "application/x-tar" },
    body: context,
  });
  answer.setTimeout(silenceMs, () => answer.destroy(new Error("the Engine went silent")));
  answer.setEncoding("utf8");
  let rest = "";
  let tail = "";
  for await (const part of answer as AsyncIterable<string>) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) tail = (tail + readLine(reference, line, tail)).slice(-600);
  }
  tail += readLine(reference, rest, tail);
  if (answer.statusCode !== 200 || !(await hasImage(engine, reference)))
    throw new Error(
      `${reference} cannot be built: the Engine stopped with status ${answer.statusCode} after "${tail.trim()}"`,
    );
}

/**
 * One line of the build's report. @param before the last of what the build said
 * @returns its text @throws Error where it reports a failure
 */
function readLine(reference: string, line: string, before: string): string {
  if (line.trim() === "") return "";
  const { stream, error, message } = JSON.parse(line) as Record<string, string | undefined>;
  const failure = error ?? message;
  if (failure !== undefined)
    throw new Error(`${reference} cannot be built: ${failure.trim()} (after: ${before.trim()})`);
  return stream ?? "";
}

/** Another run on the same Engine may have built a version that it has not made containers of yet. */
const youngSeconds = 3_600;

/**
 * Removes earlier versions of an image of ours which no container uses, running or not, and which are not young.
 * @returns the references that were removed
 */
export async function pruneImage(
  engine: EngineClient,
  name: string,
  keep: string,
): Promise<string[]> {
  const filter = encodeURIComponent(JSON.stringify({ label: [`${imageLabel}=${name}`] }));
  const images = await engineJson<ListedImage[]>(engine, {
    path: `/images/json?filters=${filter}`,
  });
  const used = new Set(
    (
      await engineJson<{ ImageID: string; Image: string }[]>(engine, {
        path: "/containers/json?all=1",
      })
    ).flatMap(({ ImageID, Image }) => [ImageID, Image]),
  );
  const removed: string[] = [];
  for (const { Id, Created, RepoTags } of images) {
    const tags = RepoTags ?? [];
    const needed = used.has(Id) || Created > Date.now() / 1000 - youngSeconds;
    // One image may have several of our names, where a change of sources left the bundle as it was.
    if (needed && !tags.includes(keep)) continue;
    const ours = tags.filter(
      (tag) => tag.startsWith(`${repositoryOf(keep)}:`) && tag !== keep && !used.has(tag),
    );
    for (const tag of ours) {
      // Without force: the Engine itself refuses what came into use in the meantime.
      const answer = await engine.request({
        method: "DELETE",
        path: `/images/${encodeURI(tag)}`,
      });
      if (answer.status === 200) removed.push(tag);
    }
  }
  return removed;
}

/** What is read of an entry of `GET /images/json`. `Created` is in seconds. */
interface ListedImage {
  readonly Id: string;
  readonly Created: number;
  readonly RepoTags: readonly string[] | null;
}

function repositoryOf(reference: string): string {
  return reference.slice(0, reference.lastIndexOf(":"));
}
