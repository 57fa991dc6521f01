import type { Declaration } from "../../spec/declaration.ts";
import type { Bot } from "./mattermost/tokens.ts";

/** Path on which an agent learns who it is. */
export const selfPath = "/berth/self";

/** Answer of {@link selfPath}: the agent's own declaration and its bot. Nothing of other agents, no token. */
export interface SelfAnswer {
  readonly declaration: Declaration;
  readonly userId: string;
  readonly username: string;
  /** Name of the Mattermost team. */
  readonly team: string;
}

export function selfAnswer(declaration: Declaration, bot: Bot, team: string): SelfAnswer {
  const { userId, username } = bot;
  return { declaration, userId, username, team };
}
