/** The program cannot take a prompt now; the message is a sentence for the chat. */
export class NotRunning extends Error {}

/** Something that the program told us by the protocol and a person should read. */
export class ProgramError extends Error {
  /** JSON-RPC error code; 0 where the fault is not the program's answer. */
  readonly code: number;

  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}
