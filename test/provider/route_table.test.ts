import { describe, expect, test } from "bun:test";
import { RouteTable, billed, free } from "../../src/provider/route_table.ts";

const TABLE = new RouteTable([
  billed("/a", "response", "openai_chat"),
  free("/a/fixed"),
  free("/a/{id}"),
  free("/a/{id}/b"),
  free("/c/*"),
]);

describe("RouteTable.find()", () => {
  test.each([
    ["/a", "/a"],
    ["/a/fixed", "/a/fixed"],
    ["/a/x", "/a/{id}"],
    ["/a/x/b", "/a/{id}/b"],
    ["/c/x", "/c/*"],
    ["/c/x/y/z", "/c/*"],
  ])("finds %s under %s", (path, name) => {
    expect(TABLE.find("GET", path)?.name).toBe(name);
  });

  test.each([[""], ["/"], ["/a/"], ["/a//b"], ["/a/x/b/"], ["/a/x/c"], ["/c"], ["/c/"], ["a"]])(
    "finds nothing under %j",
    (path) => {
      expect(TABLE.find("GET", path)).toBeNull();
    },
  );

  test("bills only the method that does", () => {
    const billing = ["POST", "GET", "HEAD"].map((method) => TABLE.find(method, "/a")?.billing);
    expect(billing).toEqual([true, false, false]);
    expect(TABLE.find("GET", "/a")?.dialect).toBe("none");
  });
});
