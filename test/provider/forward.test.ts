import { describe, expect, test } from "bun:test";
import { forward } from "../../src/provider/forward.ts";

describe("forward.endpoint()", () => {
  test.each([["PATCH", "/any/thing", "*", false, "also"]] as const)(
    "finds %s %s as %s",
    (method, path, name, billing, websocket) => {
      expect(forward.endpoint(method, path)).toMatchObject({ name, billing, websocket });
    },
  );
});

describe("forward.credentialHeaders()", () => {
  test("puts nothing anywhere", () => {
    expect(forward.credentialHeaders("k", "authorization", "oauth", "")).toEqual([]);
  });
});

describe("forward.refusesCredential()", () => {
  test.each([[401, "", false]])("of %d %s is %p", (status, body, refused) => {
    expect(forward.refusesCredential(status, body)).toBe(refused);
  });
});

describe("forward.has()", () => {
  test.each(["/", "/whatever"])("%s", (path) => {
    expect(forward.has(path)).toBe(true);
  });
});

test("forward.reaches() whatever an allow-list names", () => {
  expect(forward.reaches("/any/*/path")).toBe(true);
});
