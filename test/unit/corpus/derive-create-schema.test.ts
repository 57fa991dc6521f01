import { describe, expect, it } from "vitest";
import { joinVersions, leavesOf } from "../../corpus/derive-create-schema.ts";

type Api = Parameters<typeof leavesOf>[0];

/** A description whose create takes `schema`. */
function api(schema: object, definitions: object = {}): Api {
  const parameters = [{ in: "query" }, { in: "body", schema }];
  return { definitions, paths: { "/containers/create": { post: { parameters } } } } as Api;
}

describe("deriving the schema of container creates", () => {
  it("finds every place where a value can stand, through references, arrays, maps and joined parts", () => {
    const described = api(
      {
        allOf: [
          { $ref: "#/definitions/Config" },
          { type: "object", properties: { HostConfig: { $ref: "#/definitions/Host" } } },
        ],
      },
      {
        Config: {
          type: "object",
          properties: {
            Image: { type: "string" },
            Volumes: { type: "object", additionalProperties: { type: "object", enum: [{}] } },
          },
        },
        Host: {
          properties: {
            Mounts: { type: "array", items: { properties: { Type: { allOf: [{ $ref: "T" }] } } } },
            Odd: {},
          },
        },
        T: { type: "string", enum: ["bind", "volume"] },
      },
    );
    expect(leavesOf(described)).toEqual([
      { pointer: "/Image", type: "string" },
      { pointer: "/Volumes/*", type: "object", stars: ["map"] },
      {
        pointer: "/HostConfig/Mounts/*/Type",
        type: "string",
        stars: ["array"],
        enum: ["bind", "volume"],
      },
      { pointer: "/HostConfig/Odd", type: "unknown" },
    ]);
  });

  it("ends with a reason where a description has no create, no definition or no end", () => {
    expect(() => leavesOf({ definitions: {}, paths: {} })).toThrow("no body for a create");
    expect(() => leavesOf(api({ $ref: "#/definitions/X" }))).toThrow("not defined");
    const endless = { X: { properties: { a: { $ref: "#/definitions/X" } } } };
    expect(() => leavesOf(api({ $ref: "#/definitions/X" }, endless))).toThrow("recursive");
  });

  it("joins the versions of a leaf to a range, and refuses a leaf that comes back", () => {
    const leaf = (pointer: string, values?: string[]) => ({
      pointer,
      type: "string",
      ...(values ? { enum: values } : {}),
    });
    const joined = joinVersions(
      new Map([
        ["1.90", [leaf("/A", ["x"]), leaf("/B")]],
        ["1.91", [leaf("/A", ["y", "x"])]],
        ["1.92", [leaf("/A"), leaf("/C")]],
      ]),
    );
    expect(joined).toEqual({
      versions: ["1.90", "1.91", "1.92"],
      leaves: [
        { ...leaf("/A", ["x", "y"]), since: "1.90", until: "1.92" },
        { ...leaf("/B"), since: "1.90", until: "1.90" },
        { ...leaf("/C"), since: "1.92", until: "1.92" },
      ],
    });
    expect(() =>
      joinVersions(
        new Map([
          ["1.90", [leaf("/A")]],
          ["1.91", []],
          ["1.92", [leaf("/A")]],
        ]),
      ),
    ).toThrow("not between");
  });

  it("adds what Engines to 26 read at the top of the body, up to the last version that they speak", () => {
    const privileged = { pointer: "/HostConfig/Privileged", type: "boolean" };
    const joined = joinVersions(
      new Map([
        ["1.44", [privileged]],
        ["1.45", [privileged]],
        ["1.46", [privileged]],
      ]),
    );
    expect(joined.leaves).toEqual([
      { ...privileged, since: "1.44", until: "1.46" },
      { ...privileged, pointer: "/Privileged", since: "1.44", until: "1.45", source: "code" },
    ]);
  });
});
