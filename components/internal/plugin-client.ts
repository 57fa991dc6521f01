import { type ClientHttp2Session, connect, createServer, type Http2Server } from "node:http2";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import type { InvokeRequest as InvokeRequestType } from "@pulumi/pulumi/proto/provider_pb.js";

/** Pulumi's provider protocol (gRPC, pulumi/provider.proto), as far as functions of a resource plugin are called with it. */

/** What a plugin answers instead of a result; the text is its own and may hold anything. */
export class PluginError extends Error {
  override readonly name = "PluginError";
}

interface Message {
  serializeBinary(): Uint8Array;
}
type Struct = NonNullable<Parameters<InvokeRequestType["setArgs"]>[0]>;

/** The messages as Pulumi's SDK has them: CommonJS whose names no import finds. */
const load = createRequire(import.meta.resolve("@pulumi/pulumi"));
const { CheckRequest, CheckResponse, ConfigureRequest, InvokeRequest, InvokeResponse } = load(
  "./proto/provider_pb.js",
) as typeof import("@pulumi/pulumi/proto/provider_pb.js");
const { Struct } = load("google-protobuf/google/protobuf/struct_pb.js") as {
  Struct: { fromJavaScript(value: Readonly<Record<string, unknown>>): Struct };
};

const unimplemented = "12";

/** A plugin that runs and listens on a port of this machine. */
export class PluginClient {
  readonly #session: ClientHttp2Session;

  constructor(port: number) {
    this.#session = connect(`http://127.0.0.1:${port}`);
    this.#session.on("error", () => {}); // every call that is open fails with it
  }

  /** Configures the plugin as Pulumi's engine does a provider without inputs: all that it needs is in its environment. */
  async configure(name: string): Promise<void> {
    const check = new CheckRequest();
    check.setUrn(`urn:pulumi:preview::berth::pulumi:providers:${name}::lookup`);
    check.setNews(Struct.fromJavaScript({}));
    const checked = CheckResponse.deserializeBinary(await this.#call("CheckConfig", check));
    if (checked.getFailuresList().length > 0) throw new PluginError("the configuration is refused");
    const request = new ConfigureRequest();
    request.setArgs(checked.getInputs() ?? Struct.fromJavaScript({}));
    request.setAcceptsecrets(true);
    request.setAcceptresources(true);
    await this.#call("Configure", request);
  }

  /** Calls a function by its token. @throws PluginError where the plugin refuses or fails */
  async invoke(
    token: string,
    args: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>>> {
    const request = new InvokeRequest();
    request.setTok(token);
    request.setArgs(Struct.fromJavaScript(args));
    request.setPreview(true);
    const response = InvokeResponse.deserializeBinary(await this.#call("Invoke", request));
    const failures = response.getFailuresList().map((failure) => failure.getReason());
    if (failures.length > 0) throw new PluginError(failures.join("; "));
    return response.getReturn()?.toJavaScript() ?? {};
  }

  close(): void {
    this.#session.destroy();
  }

  /** One unary call; a message is one byte of flags, four of length, and the bytes. */
  #call(method: string, message: Message): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ":method": "POST",
        ":path": `/pulumirpc.ResourceProvider/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
      });
      const parts: Buffer[] = [];
      let status: unknown;
      let text = "";
      const read = (headers: Readonly<Record<string, unknown>>) => {
        status ??= headers["grpc-status"];
        text ||= decoded(headers["grpc-message"]);
      };
      stream.on("response", read);
      stream.on("trailers", read);
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on("error", (error) => reject(new PluginError(error.message)));
      stream.on("close", () => {
        if (status === "0") resolve(Buffer.concat(parts).subarray(5));
        else reject(new PluginError(text || `${method}: status ${String(status)}`));
      });
      const bytes = message.serializeBinary();
      const frame = Buffer.alloc(5 + bytes.length);
      frame.writeUInt32BE(bytes.length, 1);
      frame.set(bytes, 5);
      stream.end(frame);
    });
  }
}

function decoded(value: unknown): string {
  if (typeof value !== "string") return "";
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/**
 * Stands where a plugin expects Pulumi's engine, and offers nothing: what a plugin would log there is dropped. A plugin asks
 * it now and then whether it is still alive; "unimplemented" means yes.
 */
export async function silentEngine(): Promise<{ address: string; server: Http2Server }> {
  const server = createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": unimplemented },
      { endStream: true },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}
