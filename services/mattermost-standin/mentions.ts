import type { Receiver } from "./store/channels.ts";

/** Who is meant by a message: the ids among `receivers`, without its author. */
export function mentioned(
  message: string,
  channelType: string,
  receivers: readonly Receiver[],
  authorId: string,
  online: (userId: string) => boolean,
): Set<string> {
  const others = receivers.filter((receiver) => receiver.id !== authorId);
  // A direct message is always to the other side.
  if (channelType === "D" || channelType === "G") return new Set(others.map((other) => other.id));
  const names = new Set(keywords(message));
  const found = others.filter(
    (other) =>
      names.has(other.username) ||
      names.has("all") ||
      names.has("channel") ||
      (names.has("here") && online(other.id)),
  );
  return new Set(found.map((other) => other.id));
}

/** Names after an `@`, in lower case: as written, and without the punctuation behind. Code is not read. */
function keywords(message: string): string[] {
  const text = message.replace(/```[\s\S]*?(```|$)/g, " ").replace(/`[^`\n]*`/g, " ");
  return [...text.matchAll(/(?<![\w@.])@([a-z0-9][a-z0-9._-]*)/gi)].flatMap((match) => {
    let name = (match[1] ?? "").toLowerCase();
    const names = [name];
    while (/[._-]$/.test(name)) {
      name = name.slice(0, -1);
      names.push(name);
    }
    return names;
  });
}
