import { type FullItem, ItemBuilder, OnePasswordConnect, type OPConnect } from "@1password/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type ConnectDouble,
  oneTimePassword,
  startConnect,
} from "../../../support/onepassword/connect-double.mjs";

let double: ConnectDouble;
let client: OPConnect;
let agents: string;

beforeEach(async () => {
  double = await startConnect({ token: "token", vaults: ["agents", "other"] });
  client = OnePasswordConnect({ serverURL: double.url, token: "token", keepAlive: false });
  agents = (await client.getVault("agents")).id ?? "";
});
afterEach(() => double.close());

const password = (value: string) => ({ label: "password", type: "CONCEALED", value });
const withFields = (title = "Lal") =>
  double.control.item({
    vault: "agents",
    title,
    fields: [password("hunter2"), { label: "key", value: "k", section: "AWS" }],
    files: [{ name: "key.pem", content: Buffer.from("pem").toString("base64") }],
  });
/** What the server answers, for what the client does not show. */
const raw = async (path: string, token = "token") => {
  const answer = await fetch(double.url + path, { headers: { authorization: `Bearer ${token}` } });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, json: () => JSON.parse(text) };
};

describe("the double of Connect, driven by the official client", () => {
  it("finds vaults and items by id, by title and by part of it", async () => {
    const { id } = withFields();
    expect((await client.listVaults()).map(({ name }) => name)).toEqual(["agents", "other"]);
    expect((await client.getVault(agents)).name).toBe("agents");
    expect((await client.listVaultsByTitle("nobody")).length).toBe(0);
    expect((await client.getItem(agents, id)).title).toBe("Lal");
    expect((await client.getItem(agents, "Lal")).id).toBe(id);
    expect((await client.listItemsByTitleContains(agents, "la")).length).toBe(1);
    withFields("Lalo");
    expect((await client.listItemsByTitle(agents, "Lal")).length).toBe(1);
    expect((await client.listItems(agents)).length).toBe(2);
  });

  it("lists items without their fields, and joins fields and sections by id", async () => {
    const { id } = withFields();
    const [listed] = (await raw(`/v1/vaults/${agents}/items`)).json();
    expect(listed).toMatchObject({ id, title: "Lal", version: 1, vault: { id: agents } });
    for (const left of ["fields", "sections", "files"]) expect(listed).not.toHaveProperty(left);
    const item = (await raw(`/v1/vaults/${agents}/items/${id}/`)).json();
    const [section] = item.sections;
    expect(section.label).toBe("AWS");
    expect(item.fields[1].section).toEqual({ id: section.id });
    expect(item.fields[0]).not.toHaveProperty("section");
  });

  it("makes, replaces and deletes items", async () => {
    const wanted = new ItemBuilder()
      .setCategory("API_CREDENTIAL")
      .setTitle("Made")
      .addField({ label: "hook", value: "one", sectionName: "keys" })
      .build();
    const made = await client.createItem(agents, wanted);
    expect(made).toMatchObject({ title: "Made", version: 1 });
    const item = await client.getItemById(agents, made.id ?? "");
    const [field] = item.fields ?? [];
    if (field) field.value = "two";
    // The answer to a PUT has the version that was replaced.
    expect((await client.updateItem(agents, item)).version).toBe(1);
    const after = await client.getItemById(agents, made.id ?? "");
    expect(after).toMatchObject({ version: 2 });
    expect(after.fields?.[0]?.value).toBe("two");
    await client.deleteItem(agents, made.id ?? "");
    await expect(client.getItemById(agents, made.id ?? "")).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining("not found"),
    });
  });

  it("patches one field by its id and leaves the others", async () => {
    const { id } = withFields();
    const before = (await client.getItemById(agents, id)) as FullItem;
    const patch = async (operations: unknown) =>
      (
        await fetch(`${double.url}/v1/vaults/${agents}/items/${id}`, {
          method: "PATCH",
          headers: { authorization: "Bearer token", "content-type": "application/json" },
          body: JSON.stringify(operations),
        })
      ).status;
    const at = `/fields/${before.fields?.[0]?.id}/value`;
    expect(await patch([{ op: "replace", path: at, value: "new" }])).toBe(200);
    const added = { label: "added", type: "CONCEALED", value: "x" };
    expect(await patch([{ op: "add", path: "/fields", value: added }])).toBe(200);
    expect(await patch([{ op: "replace", path: "/fields/nothing/value", value: "" }])).toBe(400);
    expect(await patch([{ op: "move", path: "/title", value: "" }])).toBe(400);
    const after = (await client.getItemById(agents, id)) as FullItem;
    expect(after.fields?.map(({ value }) => value)).toEqual(["new", "k", "x"]);
    expect(after.version).toBe(3);
  });

  it("gives files and what they hold", async () => {
    const { id } = withFields();
    const [file] = await client.listFiles(agents, id);
    expect(file).toMatchObject({ name: "key.pem", size: 3 });
    expect(await client.getFileContent(agents, id, file?.id ?? "")).toBe("pem");
    expect((await client.getFileById(agents, id, file?.id ?? "")).name).toBe("key.pem");
  });

  it("makes one-time passwords of its own time, as RFC 6238 has them", async () => {
    // The secret of RFC 6238's appendix B; its codes have eight digits, of which these are the last six.
    const uri = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    expect(oneTimePassword(uri, 59_000)).toBe("287082");
    expect(oneTimePassword(uri, 1_111_111_109_000)).toBe("081804");
    expect(oneTimePassword("no uri", 0)).toBeUndefined();
    const fields = [{ label: "code", type: "OTP", value: uri }];
    const { id } = double.control.item({ vault: "agents", title: "Otp", fields });
    expect(await client.getItemOTP(agents, id)).toMatch(/^\d{6}$/);
  });

  it("refuses tokens, vaults and ids as Connect does", async () => {
    const { id } = withFields();
    expect(await raw("/v1/vaults", "wrong")).toMatchObject({
      status: 401,
      text: '{"status":401,"message":"Invalid token signature"}',
    });
    expect((await fetch(`${double.url}/v1/vaults`)).status).toBe(401);
    double.control.token({ token: "narrow", vaults: ["other"] });
    expect((await raw(`/v1/vaults/${agents}/items/${id}`, "narrow")).json()).toMatchObject({
      status: 403,
    });
    expect((await raw("/v1/vaults", "narrow")).json()).toMatchObject([{ name: "other" }]);
    expect((await raw("/v1/vaults/NOT-AN-ID/items")).status).toBe(400);
    expect((await raw(`/v1/vaults/${"a".repeat(26)}/items`)).status).toBe(404);
    expect((await raw("/v1/vaults?filter=title%20is%20x")).status).toBe(400);
    double.control.token({ token: "token", revoked: true });
    expect((await raw("/v1/vaults")).status).toBe(401);
  });

  it("limits, and says when to come again", async () => {
    double.control.behaviour({ limit: { after: 1, retryAfter: 7 } });
    expect((await raw("/v1/vaults")).status).toBe(200);
    const limited = await raw("/v1/vaults");
    expect(limited.status).toBe(429);
    expect(limited.headers.get("retry-after")).toBe("7");
    double.control.behaviour({});
    expect((await raw("/v1/vaults")).status).toBe(200);
  });

  it("tells its health without a token", async () => {
    expect(await (await fetch(`${double.url}/heartbeat`)).text()).toBe(".");
    const health = await (await fetch(`${double.url}/health`)).json();
    expect(health).toMatchObject({ dependencies: expect.any(Array) });
  });

  it("is set by its control API as by its functions, and counts what it was asked", async () => {
    const control = async (name: string, argument?: object) => {
      const body = argument ? JSON.stringify(argument) : null;
      const answer = await fetch(`${double.controlUrl}/${name}`, { method: "POST", body });
      return (await answer.json()) as { id: string; count: number };
    };
    const { id } = await control("item", {
      vault: "agents",
      title: "Far",
      fields: [password("x")],
    });
    expect((await client.getItemById(agents, id)).title).toBe("Far");
    await control("forget");
    await raw("/v1/vaults");
    expect((await control("requests")).count).toBe(1);
    expect(await control("nothing")).toMatchObject({ status: 404 });
  });
});
