import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Item as SdkItem } from "@1password/sdk";
import { Redacted } from "../../../../services/common/redacted.ts";
import type { Backend } from "../../../../services/secret-store/onepassword/backend.ts";
import { connectBackend } from "../../../../services/secret-store/onepassword/connect.ts";
import { opBackend } from "../../../../services/secret-store/onepassword/op.ts";
import { sdkBackend } from "../../../../services/secret-store/onepassword/sdk.ts";
import { startConnect } from "../../../support/onepassword/connect-double.mjs";
import { installOp } from "../../../support/onepassword/op-standin.mjs";
import { type SdkWorld, sdkClient } from "../../../support/onepassword/sdk-client.ts";

/** A field as the contract's tests describe it, for all three ways. */
export interface FieldOf {
  readonly id: string;
  readonly label: string;
  readonly type?: "STRING" | "CONCEALED" | "OTP" | "SSHKEY";
  readonly value?: string;
  /** Id of a section of the item. */
  readonly section?: string;
  /** The one-time password of this moment, and the key as OpenSSH has it: what the ways are told, not what they compute. */
  readonly otp?: string;
  readonly openssh?: string;
}

export interface ItemOf {
  readonly id: string;
  readonly title: string;
  readonly vault: string;
  readonly archived?: true;
  readonly sections?: readonly { readonly id: string; readonly label: string }[];
  readonly fields: readonly FieldOf[];
  readonly files?: readonly {
    readonly id: string;
    readonly name: string;
    readonly section?: string;
    readonly content: Buffer;
  }[];
}

/** 1Password as one back end sees it, with what a test does to it. */
export interface World {
  readonly backend: Backend;
  /** Puts an item there, or another one of its id in its place. */
  put(item: ItemOf): void;
  /** The token is none any more. */
  revoke(): void;
  /** Every further request is refused: too many. */
  limit(): void;
  /** Nothing reaches 1Password. */
  goAway(): void;
  /** Answers never come. */
  hang(): void;
  close(): Promise<void>;
}

export const token = "ops_canary-token-2c1e8f40";
export const vaults = [
  { id: "vaultagents000000000000000", name: "agents" },
  { id: "vaultreadonly0000000000000", name: "archive", readOnly: true },
] as const;

export const worlds: Readonly<Record<"connect" | "op" | "sdk", () => Promise<World>>> = {
  connect: connectWorld,
  op: opWorld,
  sdk: sdkWorld,
};

async function connectWorld(): Promise<World> {
  const double = await startConnect();
  const { control } = double;
  for (const { id, name } of vaults) control.vault({ id, name });
  control.token({ token, readOnly: ["archive"] });
  const backend = await connectBackend({ url: double.url, env: {} }, new Redacted(token));
  return {
    backend,
    put: ({ vault, archived, sections = [], fields, files = [], ...item }) => {
      const named = labels(sections);
      control.item({
        ...item,
        vault,
        sections,
        ...(archived ? { state: "ARCHIVED" } : {}),
        fields: fields.map(({ otp: _otp, openssh: _openssh, section, ...field }) => ({
          ...field,
          ...(section ? { section: named(section) } : {}),
        })),
        files: files.map(({ content, section, ...file }) => ({
          ...file,
          content: content.toString("base64"),
          ...(section ? { section: named(section) } : {}),
        })),
      });
    },
    revoke: () => control.token({ token, revoked: true }),
    limit: () => control.behaviour({ limit: { after: 0, retryAfter: 90 } }),
    goAway: () => control.behaviour({ away: true }),
    hang: () => control.behaviour({ hang: true }),
    close: async () => {
      backend.close();
      await double.close();
    },
  };
}

async function opWorld(): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "op-world-"));
  const op = installOp(folder, { token, vaults: [...vaults], items: [], contents: {} });
  const backend = opBackend({ path: op.path, env: {} }, new Redacted(token));
  const error = (text: string) =>
    op.change((data) => {
      data.behaviour = { error: text };
    });
  return {
    backend,
    put: ({ vault, archived, sections = [], fields, files = [], ...item }) =>
      op.change((data) => {
        const at = data.items.findIndex(({ id }) => id === item.id);
        const place = vaults.find(({ name }) => name === vault) ?? vaults[0];
        const made = {
          ...item,
          version: (data.items[at]?.version ?? 0) + 1,
          vault: { id: place.id, name: place.name },
          category: "API_CREDENTIAL",
          ...(archived ? { state: "ARCHIVED" as const } : {}),
          sections: [...sections],
          fields: fields.map(({ otp, openssh, section, ...field }) => ({
            ...field,
            ...(otp ? { totp: otp } : {}),
            ...(section ? { section: { id: section, label: labels(sections)(section) } } : {}),
            ...(openssh ? { ssh_formats: { openssh: { value: openssh } } } : {}),
          })),
          files: files.map(({ content, section, ...file }) => ({
            ...file,
            size: content.length,
            ...(section ? { section: { id: section } } : {}),
          })),
        };
        data.items.splice(at < 0 ? data.items.length : at, at < 0 ? 0 : 1, made);
        for (const { id, content } of files) data.contents[id] = content.toString("base64");
      }),
    revoke: () =>
      op.change((data) => {
        data.token = "ops_another";
      }),
    limit: () =>
      error(
        "(429) Too Many Requests: You've reached the maximum number of this type of requests this service account is allowed to make. Please retry in 58 minutes or try other requests.",
      ),
    goAway: () =>
      error("error initializing client: dial tcp: lookup my.1password.com: no such host"),
    hang: () =>
      op.change((data) => {
        data.behaviour = { hang: true };
      }),
    close: async () => {
      backend.close();
      rmSync(folder, { recursive: true });
    },
  };
}

async function sdkWorld(): Promise<World> {
  const world: SdkWorld = {
    token,
    vaults: vaults.map(({ name, ...vault }) => ({ ...vault, title: name })),
    items: [],
    contents: new Map(),
    openssh: new Map(),
    failure: undefined,
    hang: false,
    calls: [],
  };
  const { RateLimitExceededError } = await import("@1password/sdk");
  const backend = sdkBackend(new Redacted(token), async (given) =>
    sdkClient(world, given.reveal()),
  );
  return {
    backend,
    put: (item) => putSdkItem(world, item),
    revoke: () => {
      world.token = "ops_another";
    },
    limit: () => {
      world.failure = new RateLimitExceededError("slow down");
    },
    goAway: () => {
      world.failure = new Error(
        "authentication error: request library compatibility issue, check that the your environment uses compatible versions: reqwest library: error sending request",
      );
    },
    hang: () => {
      world.hang = true;
    },
    close: async () => backend.close(),
  };
}

const sdkTypes = { CONCEALED: "Concealed", OTP: "Totp", SSHKEY: "SshKey", STRING: "Text" } as const;

function putSdkItem(world: SdkWorld, item: ItemOf): void {
  const at = world.items.findIndex(({ id }) => id === item.id);
  const before = world.items[at];
  const updatedAt = new Date((before?.updatedAt.getTime() ?? 1_700_000_000_000) + 1000);
  // The SDK tells the notes apart from the fields.
  const notes = item.fields.find(({ id }) => id === "notesPlain")?.value ?? "";
  const made = {
    id: item.id,
    title: item.title,
    category: "ApiCredentials",
    vaultId: vaults.find(({ name }) => name === item.vault)?.id ?? "",
    notes,
    tags: [],
    websites: [],
    version: (before?.version ?? 0) + 1,
    createdAt: new Date(0),
    updatedAt,
    ...(item.archived ? { archived: true } : {}),
    sections: (item.sections ?? []).map(({ id, label }) => ({ id, title: label })),
    fields: item.fields
      .filter(({ id }) => id !== "notesPlain")
      .map(({ id, label, type = "STRING" as const, value = "", section, otp }) => ({
        id,
        title: label,
        fieldType: sdkTypes[type],
        value,
        ...(section ? { sectionId: section } : {}),
        ...(otp ? { details: { type: "Otp", content: { code: otp } } } : {}),
      })),
    files: (item.files ?? []).map(({ id, name, section = "", content }) => ({
      attributes: { id, name, size: content.length },
      sectionId: section,
      fieldId: id,
    })),
  };
  world.items.splice(at < 0 ? world.items.length : at, at < 0 ? 0 : 1, made as unknown as SdkItem);
  for (const { id, content } of item.files ?? []) world.contents.set(id, content);
  for (const { openssh } of item.fields) if (openssh) world.openssh.set(item.id, openssh);
}

function labels(sections: readonly { readonly id: string; readonly label: string }[]) {
  return (id: string) => sections.find((section) => section.id === id)?.label ?? id;
}
