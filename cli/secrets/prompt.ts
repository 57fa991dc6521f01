import { CliError } from "../console.ts";
import { maxTokenBytes, type Token, tokenIn } from "./token.ts";

/** What is used of a terminal to ask for a token. */
export interface Keyboard {
  readonly isTTY?: boolean;
  setRawMode(isRaw: boolean): unknown;
  setEncoding(encoding: "utf8"): unknown;
  on(event: "data", listener: (text: string) => void): unknown;
  on(event: "end" | "close", listener: () => void): unknown;
  off(event: "data", listener: (text: string) => void): unknown;
  off(event: "end" | "close", listener: () => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

/**
 * Asks for the token on a terminal. Nothing of it is shown, not even its length.
 * @throws CliError for an empty answer, and with exit code 130 for Ctrl-C
 */
export function askToken(
  keyboard: Keyboard,
  write: (text: string) => void,
  question: string,
): Promise<Token> {
  return new Promise((resolve, reject) => {
    let typed = "";
    const end = (settle: () => void) => {
      keyboard.off("data", listen);
      keyboard.off("end", stop);
      keyboard.off("close", stop);
      keyboard.setRawMode(false);
      keyboard.pause();
      write("\n");
      settle();
    };
    const take = () =>
      end(() => {
        try {
          resolve(tokenIn(typed));
        } catch (error) {
          reject(error);
        }
      });
    const stop = () => end(() => reject(new CliError("no token was given", 130)));
    const listen = (text: string) => {
      for (const char of text) {
        if (char === "\r" || char === "\n") return take();
        // In raw mode these keys come as characters: Ctrl-C, Ctrl-D, and both of backspace.
        if (char === "\u0003") return stop();
        if (char === "\u0004") return typed === "" ? stop() : take();
        if (char === "\u007f" || char === "\b") typed = typed.slice(0, -1);
        else typed += char;
      }
      // tokenIn says what is wrong with it.
      if (typed.length > 2 * maxTokenBytes) take();
    };
    keyboard.setEncoding("utf8");
    keyboard.setRawMode(true);
    keyboard.on("data", listen);
    keyboard.on("end", stop);
    keyboard.on("close", stop);
    keyboard.resume();
    write(question);
  });
}
