/** Longest text of one post. Mattermost's limit is 16,383 characters; the rest is for a status line and a note. */
const postLimit = 16_000;

/**
 * Cuts a text into posts: at a line's end where one is near, else at a space, never inside a character.
 * A code block that is cut is closed and opened again. The pieces before the last do not change when the text grows.
 */
export function splitMessage(text: string, limit = postLimit): string[] {
  const pieces: string[] = [];
  let rest = text;
  let opening = "";
  while (opening.length + rest.length > limit) {
    const room = limit - opening.length - fence.length - 1;
    const cut = cutAt(rest, room);
    const piece = opening + rest.slice(0, cut);
    const open = openFence(piece);
    pieces.push(open ? `${piece}\n${fence}` : piece);
    opening = open ? `${open}\n` : "";
    rest = rest.slice(cut).replace(/^[ \n]/, "");
  }
  pieces.push(opening + rest);
  return pieces.filter((piece) => piece.trim() !== "");
}

const fence = "```";

function cutAt(text: string, room: number): number {
  const least = Math.floor(room * 0.75);
  for (const separator of ["\n", " "]) {
    const at = text.lastIndexOf(separator, room);
    if (at >= least) return at;
  }
  const last = text.charCodeAt(room - 1);
  return last >= 0xd800 && last <= 0xdbff ? room - 1 : room;
}

/** The line that opened a code block which is still open at the end of the text. */
function openFence(text: string): string | undefined {
  let open: string | undefined;
  for (const line of text.split("\n")) {
    if (line.trimStart().startsWith(fence)) open = open ? undefined : line.trim().slice(0, 40);
  }
  return open;
}
