import type http from "node:http";
import type { Front } from "./front.ts";
import { placeSocket, type SocketFile } from "./socket-file.ts";

/** The unix socket on which one client of the gateway is served: its file, and the servers behind it. */
export class Door {
  readonly #front: Front;
  readonly #path: string;
  readonly #mode: number;
  #server: http.Server | undefined;
  #file: SocketFile | undefined;
  #closed = false;

  /** @param mode permissions of the socket file */
  constructor(front: Front, path: string, mode: number) {
    this.#front = front;
    this.#path = path;
    this.#mode = mode;
  }

  /** Begins to listen, or puts the socket back where somebody took it away. @throws Error where it cannot be placed */
  async open(): Promise<void> {
    const server = this.#front.makeServer();
    const before = this.#server;
    try {
      this.#file = await placeSocket(server, this.#path, this.#mode);
    } catch (error) {
      // It may listen under the name that it was made with; each further attempt would leave one more of them.
      server.close();
      throw error;
    }
    this.#server = server;
    // Connections of the one before go on; it only stops to listen.
    before?.close();
  }

  /** Opens again where the socket is not in its place. @returns whether it had to. @throws Error where that fails */
  async keep(): Promise<boolean> {
    if (this.#closed || (await this.#file?.inPlace())) return false;
    await this.open();
    return true;
  }

  /** Ends it for good: no new connection, and the file is gone when the promise resolves. What is open goes on. */
  async shut(): Promise<void> {
    this.#closed = true;
    await this.#file?.remove();
    this.#server?.close();
  }
}
