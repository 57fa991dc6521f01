/** Every spelling of a secret that a sweep looks for: plain, base64 (both alphabets, any offset), hex, URL-encoded. */
export function spellings(secret: string): string[] {
  const base64 = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift, 0x20), Buffer.from(secret)]).toString("base64");
    // The first group depends on what stands before the secret, the last on what follows.
    return text.slice(shift === 0 ? 0 : 4, text.length - 4);
  });
  const hex = Buffer.from(secret).toString("hex");
  return [
    ...new Set([
      secret,
      ...base64,
      ...base64.map((b) => b.replaceAll("+", "-").replaceAll("/", "_")),
      hex,
      hex.toUpperCase(),
      encodeURIComponent(secret),
      [...secret].reverse().join(""),
    ]),
  ];
}

/** Names of the places whose bytes hold one of the secrets in any spelling. Gzip members inside are opened by the caller. */
export function leaks(
  places: Readonly<Record<string, string | Buffer>>,
  secrets: readonly string[],
): string[] {
  const wanted = secrets.flatMap((secret) => spellings(secret).map((s) => Buffer.from(s)));
  return Object.entries(places)
    .filter(([, content]) => {
      const bytes = Buffer.isBuffer(content) ? content : Buffer.from(content);
      return wanted.some((w) => bytes.includes(w));
    })
    .map(([name]) => name);
}
