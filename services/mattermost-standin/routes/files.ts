import { ApiError, badBody, forbidden } from "../errors.ts";
import { type FormPart, parseMultipart } from "../multipart.ts";
import { needChannel, needRead } from "../permissions.ts";
import { findChannel, getChannel } from "../store/channels.ts";
import { createFile, type FileRow, fileContent, filesOf, getFile } from "../store/files.ts";
import { getPost } from "../store/posts.ts";
import { fileView } from "../views.ts";
import { type Call, created, ok, param, type Reply, type Route } from "./route.ts";

/** A form with `channel_id` and `files`, or the bare bytes of one file with `?channel_id=&filename=`. */
async function upload(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const type = call.request.headers["content-type"] ?? "";
  const isForm = /^multipart\/form-data/i.test(type);
  const parts = isForm ? parseMultipart(type, call.bytes) : [bareFile(call, type)];
  const field = (name: string) =>
    parts.filter((part) => part.name === name && part.fileName === undefined).map(partText);
  const channelId = field("channel_id")[0] ?? call.query.get("channel_id") ?? "";
  const files = parts.filter((part) => part.fileName !== undefined);
  const channel = await findChannel(app.db, channelId);
  if (!channel) throw forbidden();
  await needChannel(app.db, actor, channel);
  if (files.length === 0) throw badBody("files");
  const infos: FileRow[] = [];
  for (const file of files) {
    const name = (file.fileName ?? "").split(/[/\\]/).at(-1) || "file";
    infos.push(
      await createFile(app.db, {
        userId: actor.userId,
        channelId: channel.id,
        name: name.slice(0, 255),
        mimeType: file.mimeType,
        content: file.content,
      }),
    );
  }
  return created({ file_infos: infos.map(fileView), client_ids: field("client_ids") });
}

const partText = (part: FormPart) => part.content.toString("utf8");

function bareFile(call: Call, type: string): FormPart {
  const fileName = call.query.get("filename") ?? "";
  if (fileName === "") throw badBody("filename");
  return {
    name: "files",
    fileName,
    mimeType: /^[\w.+-]+\/[\w.+-]+/.exec(type)?.[0] ?? "application/octet-stream",
    content: call.bytes,
  };
}

/** A file is for its uploader; once in a post, for those who may read the channel. */
async function readable(call: Call): Promise<FileRow> {
  const file = await getFile(call.app.db, param(call, "file_id"));
  if (file.user_id === call.actor.userId) return file;
  if (file.post_id === "") throw forbidden();
  await needRead(call.app.db, call.actor, await getChannel(call.app.db, file.channel_id));
  await getPost(call.app.db, file.post_id);
  return file;
}

/** Always as a download: a file's own type must not run in the page's origin. */
async function get(call: Call): Promise<Reply> {
  const file = await readable(call);
  return {
    status: 200,
    bytes: await fileContent(call.app.db, file.id),
    headers: {
      "Content-Type": file.mime_type,
      "Content-Disposition": `attachment; filename*=UTF-8''${encodeURIComponent(file.name)}`,
      "Content-Security-Policy": "sandbox",
    },
  };
}

async function info(call: Call): Promise<Reply> {
  return ok(fileView(await readable(call)));
}

async function infosOfPost(call: Call): Promise<Reply> {
  const post = await getPost(call.app.db, param(call, "post_id"));
  await needRead(call.app.db, call.actor, await getChannel(call.app.db, post.channel_id));
  return ok((await filesOf(call.app.db, [post.id])).map(fileView));
}

/** @throws ApiError 413 */
export function tooLarge(): ApiError {
  return new ApiError(
    413,
    "api.file.upload_file.too_large_detailed.app_error",
    "Unable to upload file. File is too large.",
  );
}

export const fileRoutes: readonly Route[] = [
  { method: "POST", path: "/files", handle: upload, raw: true },
  { method: "GET", path: "/files/:file_id", handle: get },
  { method: "GET", path: "/files/:file_id/info", handle: info },
  { method: "GET", path: "/posts/:post_id/files/info", handle: infosOfPost },
];
