import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { connectEngine, type EngineClient } from "../../../cli/engine-api.ts";
import { buildImage, hasImage, pruneImage } from "../../../images/engine-images.ts";

type Answers = (request: http.IncomingMessage) => [status: number, body: string];

let closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing) close();
  closing = [];
});

/** An Engine that answers as told; what it was asked is in `asked`. */
async function engineThat(answers: Answers): Promise<{ engine: EngineClient; asked: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), "berth-engine-"));
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    asked.push(`${request.method} ${decodeURIComponent(request.url ?? "")}`);
    request.resume().on("end", () => {
      const [status, body] = answers(request);
      response.writeHead(status).end(body);
    });
  });
  await new Promise<void>((done) => server.listen(join(folder, "engine.sock"), done));
  closing.push(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { engine: connectEngine(`unix://${join(folder, "engine.sock")}`), asked };
}

const reference = "localhost/berth/postgres:0123456789ab";
const build = (engine: EngineClient) =>
  buildImage(engine, reference, { "berth.image": "postgres" }, Readable.from([Buffer.alloc(512)]));

describe("building by the Engine", () => {
  it("asks for the classic builder without network, with the image's label", async () => {
    const { engine, asked } = await engineThat(({ method }) =>
      method === "POST" ? [200, '{"stream":"Successfully built"}\n'] : [200, "{}"],
    );
    await build(engine);
    expect(asked[0]).toContain(`t=${reference}`);
    expect(asked[0]).toContain("version=1");
    expect(asked[0]).toContain("networkmode=none");
    expect(asked[0]).toContain('labels={"berth.image":"postgres"}');
  });

  it.each([
    ["a failed step", 200, '{"stream":"Step 2"}\n{"error":"node: not found"}\n', "node: not found"],
    ["a refused build", 500, '{"message":"no space left on device"}\n', "no space left on device"],
    ["an end without an image", 200, '{"stream":"Step 1"}\n', "stopped with status 200"],
  ])("says in one sentence what went wrong: %s", async (_what, status, body, words) => {
    const { engine } = await engineThat(({ method }) =>
      method === "POST" ? [status, body] : [404, '{"message":"no such image"}'],
    );
    const failed = build(engine);
    await expect(failed).rejects.toThrow(`${reference} cannot be built`);
    await expect(failed).rejects.toThrow(words);
  });

  it("tells a missing image from an Engine that cannot answer", async () => {
    const missing = await engineThat(() => [404, "{}"]);
    expect(await hasImage(missing.engine, reference)).toBe(false);
    const broken = await engineThat(() => [500, '{"message":"layer store is locked"}']);
    await expect(hasImage(broken.engine, reference)).rejects.toThrow("layer store is locked");
  });
});

describe("pruning", () => {
  it("removes earlier versions that no container uses, and nothing young, foreign or current", async () => {
    const image = (id: string, ...tags: string[]) => ({ Id: id, Created: 1, RepoTags: tags });
    const young = Math.floor(Date.now() / 1000) - 60;
    const images = [
      image("sha256:1", reference, "localhost/berth/postgres:111111111111"),
      image("sha256:2", "localhost/berth/postgres:aaaaaaaaaaaa"),
      image("sha256:3", "localhost/berth/postgres:bbbbbbbbbbbb"),
      image("sha256:4", "localhost/berth/postgres:cccccccccccc", "my/own:name"),
      { Id: "sha256:5", Created: 1, RepoTags: null },
      { ...image("sha256:6", "localhost/berth/postgres:dddddddddddd"), Created: young },
    ];
    const { engine, asked } = await engineThat(({ method, url }) => {
      if (method === "DELETE") return url?.includes("cccccccccccc") ? [409, "{}"] : [200, "[]"];
      if (url?.startsWith("/containers")) return [200, '[{"ImageID":"sha256:3","Image":"x"}]'];
      return [200, JSON.stringify(images)];
    });
    expect(await pruneImage(engine, "postgres", reference)).toEqual([
      "localhost/berth/postgres:111111111111",
      "localhost/berth/postgres:aaaaaaaaaaaa",
    ]);
    expect(asked.filter((line) => line.startsWith("DELETE"))).toEqual([
      "DELETE /images/localhost/berth/postgres:111111111111",
      "DELETE /images/localhost/berth/postgres:aaaaaaaaaaaa",
      "DELETE /images/localhost/berth/postgres:cccccccccccc",
    ]);
    expect(asked[0]).toContain("berth.image=postgres");
  });
});
