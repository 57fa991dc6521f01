import { type Command, readArguments } from "../command.ts";
import { openSession, prepareEngine, prepareImages } from "../session.ts";

/** Makes the Engine have every image of the stack. */
export const images: Command = {
  usage: "images",
  summary: "build the stack's images where they are missing",
  async run(args) {
    readArguments(args, {}, { least: 0, most: 0, usage: images.usage });
    const session = openSession();
    await prepareImages(session, await prepareEngine(session));
    return 0;
  },
};
