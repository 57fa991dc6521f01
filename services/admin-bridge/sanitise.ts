/** Makes text from elsewhere harmless in a chat post: no control characters, no mentions, no broken code fence. */

/** Longest post that we write; the server's own limit is 16,383 characters. */
export const maxPostCharacters = 12_000;

/** ANSI escape sequences of terminals: CSI, OSC, and the two-character ones. */
const ansi =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
/** C0 and C1 controls but newline and tab, zero-width and direction-changing characters, the byte order mark. */
const invisible =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff]/g;

/** Without escape sequences, controls and invisible characters; lines end in newline only. */
export function plainText(text: string): string {
  return text
    .replaceAll(ansi, "")
    .replaceAll(/\r\n?/g, "\n")
    .replaceAll(invisible, "")
    .replaceAll("\t", "  ");
}

/** Text that mentions nobody: a zero-width space after each @ keeps `@all` readable and without effect. */
export function withoutMentions(text: string): string {
  return text.replaceAll("@", "@\u200b");
}

/** One line of foreign text for the middle of a sentence: plain, no mention, no markup, at most `most` characters. */
export function inline(text: string, most = 200): string {
  const line = plainText(text)
    .replaceAll(/\s+/g, " ")
    .replaceAll(/[`*~[\]<>|]/g, "")
    // Within a word it is no markup but a part of a name: API_TOKEN.
    .replaceAll(/(?<![A-Za-z0-9])_+|_+(?![A-Za-z0-9_])/g, "")
    .trim();
  return withoutMentions(line.length > most ? `${line.slice(0, most - 1)}…` : line);
}

/** Foreign text as a code block: its own fences are broken, its beginning is cut where it is too long. */
export function codeBlock(text: string, most = maxPostCharacters): string {
  const safe = withoutMentions(plainText(text)).replaceAll("```", "`\u200b``").trimEnd();
  const cut = safe.length > most ? `…\n${safe.slice(safe.length - most)}` : safe;
  return `\`\`\`text\n${cut === "" ? "(empty)" : cut}\n\`\`\``;
}
