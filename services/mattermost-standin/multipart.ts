import { badBody } from "./errors.ts";

/** One part of a form. */
export interface FormPart {
  readonly name: string;
  /** Undefined for a plain field. */
  readonly fileName: string | undefined;
  readonly mimeType: string;
  readonly content: Buffer;
}

const maxParts = 32;

/** Reads a `multipart/form-data` body. @throws ApiError 400 where it is none */
export function parseMultipart(contentType: string, body: Buffer): FormPart[] {
  const boundary = /^multipart\/form-data\s*;.*\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(
    contentType,
  );
  const name = boundary?.[1] ?? boundary?.[2];
  if (name === undefined) throw badBody("multipart");
  const line = Buffer.from(`\r\n--${name}`);
  // The first boundary has no line break before it.
  const whole = Buffer.concat([Buffer.from("\r\n"), body]);
  const parts: FormPart[] = [];
  let start = whole.indexOf(line);
  while (start >= 0) {
    start += line.length;
    const next = whole.indexOf(line, start);
    if (next < 0 || whole.toString("latin1", start, start + 2) === "--") break;
    parts.push(readPart(whole.subarray(start + 2, next)));
    if (parts.length > maxParts) throw badBody("multipart");
    start = next;
  }
  return parts;
}

function readPart(part: Buffer): FormPart {
  const end = part.indexOf("\r\n\r\n");
  if (end < 0) throw badBody("multipart");
  const head = part.toString("utf8", 0, end);
  const disposition = /^content-disposition:(.*)$/im.exec(head)?.[1] ?? "";
  const name = /;\s*name="([^"]*)"/i.exec(disposition)?.[1];
  if (name === undefined) throw badBody("multipart");
  return {
    name,
    fileName: /;\s*filename="([^"]*)"/i.exec(disposition)?.[1],
    mimeType:
      /^content-type:\s*([\w.+-]+\/[\w.+-]+)/im.exec(head)?.[1] ?? "application/octet-stream",
    content: part.subarray(end + 4),
  };
}
