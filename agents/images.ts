import { imageNames } from "../images/catalog.ts";
import { imagePattern, movingImagePattern } from "../spec/declaration-check.ts";

/** Names of stack images that agents can use, as an agent's file writes them. */
export const agentImages: readonly string[] = imageNames
  .filter((name) => name.startsWith("agent-"))
  .map((name) => name.slice("agent-".length));

/** The image of an agent that names none, and of a sandbox. */
export const defaultImage = "node";

/** Whether an image is a name that may come to mean another one. */
export function isMoving(image: unknown): boolean {
  return (
    typeof image === "string" &&
    !agentImages.includes(image) &&
    !imagePattern.test(image) &&
    movingImagePattern.test(image)
  );
}

/** What is wrong with an image that must never move; undefined: nothing. */
export function problemOfImage(image: unknown): string | undefined {
  if (typeof image === "string" && (agentImages.includes(image) || imagePattern.test(image)))
    return undefined;
  const choices = `a stack image (${agentImages.join(", ")}) or a reference by digest (name@sha256:…)`;
  return isMoving(image)
    ? `"${String(image)}" may come to mean another image; write ${choices}`
    : `"${String(image)}" is no image; write ${choices}`;
}

/** An image reference that passes where the real one is not known yet or has been complained of already. */
export function standIn(image: string): string {
  return imagePattern.test(image) ? image : "localhost/berth/check:000000000000";
}
