import { randomInt } from "node:crypto";

/** One of each class is what Mattermost's strictest password rule asks. Without look-alikes, as people type it. */
const classes = [
  "abcdefghijkmnopqrstuvwxyz",
  "ABCDEFGHJKLMNPQRSTUVWXYZ",
  "23456789",
  "-_.+=",
] as const;

/** A random password of 24 characters (over 130 bits) with lower and upper case, digits and symbols. */
export function randomPassword(): string {
  const all = classes.join("");
  const characters = [
    ...classes.map((letters) => pick(letters)),
    ...Array.from({ length: 19 }, () => pick(all)),
  ];
  for (let i = characters.length - 1; i > 0; i--) {
    const j = randomInt(i + 1);
    [characters[i], characters[j]] = [characters[j] ?? "", characters[i] ?? ""];
  }
  // A letter first, so that no program takes it for an option.
  return `${pick(classes[0])}${characters.join("")}`;
}

function pick(letters: string): string {
  return letters[randomInt(letters.length)] ?? "";
}
