/** Who is mentioned in a message, by the rules that the Mattermost server itself uses. */

/** The message without what its markup shows as code: fenced blocks, indented blocks, code spans. */
export function withoutCode(message: string): string {
  const kept: string[] = [];
  let fence: string | undefined;
  let afterBlank = true;
  for (const line of message.split("\n")) {
    const mark = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line);
    if (fence !== undefined) {
      if (mark?.[1]?.startsWith(fence) && mark[2]?.trim() === "") fence = undefined;
      continue;
    }
    if (mark?.[1] && !(mark[1].startsWith("`") && mark[2]?.includes("`"))) {
      fence = mark[1];
      continue;
    }
    const indented = /^(?: {4}|\t)/.test(line);
    if (afterBlank && indented) continue;
    afterBlank = line.trim() === "";
    kept.push(line);
  }
  return withoutSpans(kept.join("\n"));
}

/** Code spans: a run of backticks up to the next run of the same length. */
function withoutSpans(text: string): string {
  let result = "";
  let at = 0;
  while (at < text.length) {
    if (text[at] !== "`") {
      const next = text.indexOf("`", at);
      const end = next < 0 ? text.length : next;
      result += text.slice(at, end);
      at = end;
      continue;
    }
    const run = /^`+/.exec(text.slice(at))?.[0] ?? "`";
    const close = closing(text, at + run.length, run.length);
    result += close < 0 ? run : " ";
    at = close < 0 ? at + run.length : close + run.length;
  }
  return result;
}

function closing(text: string, from: number, length: number): number {
  for (const match of text.slice(from).matchAll(/`+/g)) {
    if (match[0].length === length) return from + match.index;
  }
  return -1;
}

/**
 * Names that a message mentions, in lower case. The server splits at everything but letters, digits and `:.-_@`, drops
 * `:.-_` in front, and tries a word again without each trailing `:.-_`; so `@lal.` mentions both `lal.` and `lal`.
 */
export function mentionsOf(message: string): Set<string> {
  const names = new Set<string>();
  if (!message.includes("@")) return names;
  for (const part of withoutCode(message).split(/[^\p{L}\p{N}:.\-_@]+/u)) {
    if (/^:.*:$/.test(part)) continue;
    let word = part.replace(/^[:.\-_]+/, "").toLowerCase();
    if (!word.startsWith("@")) continue;
    word = word.slice(1);
    while (word !== "" && !word.includes("@")) {
      names.add(word);
      if (!/[:.\-_]$/.test(word)) break;
      word = word.slice(0, -1);
    }
  }
  return names;
}

/** The words after a mention of `name`, or the whole message where it is not mentioned. */
export function wordsAfterMention(message: string, name: string): string[] {
  const text = withoutCode(message);
  const at = new RegExp(`@${name}(?![\\p{L}\\p{N}])[:.\\-_,]*`, "iu").exec(text);
  return text
    .slice(at ? at.index + at[0].length : 0)
    .trim()
    .split(/\s+/)
    .filter((word) => word !== "");
}
