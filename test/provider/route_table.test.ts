import { describe, expect, test } from "bun:test";
import { RouteTable, billed, free } from "../../src/provider/route_table.ts";

const TABLE = new RouteTable([
  billed("/a", "response", "openai_chat", {}, ["GET"]),
  free("/a/fixed", "GET"),
  free("/a/{id}", "GET", "DELETE"),
  free("/a/{id}/b", "GET"),
  free("/c/*", "GET"),
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

  test.each(
    [
      ";",
      "a;b",
      " ",
      "%20",
      "%2f",
      "%2F",
      "%5c",
      "\\",
      "%00",
      "\t",
      "%7f",
      ".",
      "..",
      "%2e%2E",
    ].concat(["..;", "%3b", "%252f", "a%3fb", "%23", "%", "%ff"]),
  )("finds nothing where a value is %j", (value) => {
    for (const path of [`/a/${value}`, `/a/${value}/b`, `/c/${value}`, `/c/x/${value}/y`]) {
      expect(TABLE.find("GET", path)).toBeNull();
    }
  });

  test.each([["ft:gpt-4o:org::id"], ["caf%C3%A9"], ["a.b"], ["..a"], ["resp_1~x"], ["a@b+c"]])(
    "takes %j as a value",
    (value) => {
      expect(TABLE.find("GET", `/a/${value}`)?.name).toBe("/a/{id}");
    },
  );

  test("bills only the method that does, and has no method that is not named", () => {
    const methods = ["POST", "GET", "HEAD", "PUT", "OPTIONS", "post", "constructor"];
    const billing = methods.map((method) => TABLE.find(method, "/a")?.billing ?? null);
    expect(billing).toEqual([true, false, null, null, null, null, null]);
    expect(TABLE.find("DELETE", "/a/x")?.name).toBe("/a/{id}");
    expect(TABLE.find("POST", "/a/x")).toBeNull();
    expect(TABLE.find("GET", "/a")?.dialect).toBe("none");
  });
});

describe("RouteTable.has()", () => {
  test("tells whether some method exists", () => {
    const paths = ["/a", "/a/x", "/a/x/b", "/c/x/y", "/c", "/a/..", "/b"];
    expect(paths.map((path) => TABLE.has(path))).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});

test("RouteTable takes a literal before a value, and goes back where that ends nowhere", () => {
  const table = new RouteTable([
    free("/x/{id}/end", "GET"),
    free("/x/fixed/other", "GET"),
    free("/x/*", "GET"),
  ]);
  const names = ["/x/fixed/other", "/x/fixed/end", "/x/fixed/more"].map(
    (path) => table.find("GET", path)?.name,
  );
  expect(names).toEqual(["/x/fixed/other", "/x/{id}/end", "/x/*"]);
});

describe("RouteTable.reaches()", () => {
  test.each<[string, boolean]>([
    ["/", true],
    ["/a", true],
    ["/a/", true],
    ["/a/fixed", true],
    ["/a/some-id", true],
    ["/a/*", true],
    ["/a/*/b", true],
    ["/*/fixed", true],
    ["/c/x/y", true],
    ["/c/*/y", true],
    ["/b", false],
    ["/a/x/c", false],
    ["/a/*/c", false],
    ["/a/x/b/more", false],
    ["/a/..", false],
  ])("of %s is %p", (entry, expected) => {
    expect(TABLE.reaches(entry)).toBe(expected);
  });
});
