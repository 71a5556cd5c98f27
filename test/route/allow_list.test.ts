import { describe, expect, test } from "bun:test";

import { allowsMethod, allowsPath } from "../../src/route/allow_list.ts";

describe("allowsPath()", () => {
  test.each([
    [["/v1/models"], "/v1/models", true],
    [["/v1/models"], "/v1/models/", true],
    [["/v1/models/"], "/v1/models", true],
    [["/v1/models"], "/v1/models/gpt-x", true],
    [["/v1/models"], "/v1/modelsX", false],
    [["/v1/models"], "/v1", false],
    [["/v1/models/gpt"], "/v1/models/gpt-x", false],
    [["/v1/files/*/content"], "/v1/files/f1/content", true],
    [["/v1/files/*/content"], "/v1/files/f1", false],
    [["/v1/files/*/content"], "/v1/files/f1/x/content", false],
    [["/*/models"], "/v1beta/models", true],
    [["/"], "/anything/at/all", true],
    [["/v1/a", "/v1/b"], "/v1/b", true],
    [[], "/v1/models", false],
    [null, "/v1/models", true],
  ])("of %p for %s is %p", (list, path, expected) => {
    expect(allowsPath(list, path)).toBe(expected);
  });

  test.each(["/v1/files/..%2f..%2fadmin", "/v1/files/%2e%2e", "/v1/files//x", "/v1/files/a%00"])(
    "covers no path that may be read as another: %s",
    (path) => {
      expect(allowsPath(["/v1/files"], path)).toBe(false);
    },
  );
});

describe("allowsMethod()", () => {
  test.each([
    [null, "DELETE", true],
    [["GET", "POST"], "POST", true],
    [["GET"], "HEAD", true],
    [["POST"], "HEAD", false],
    [["POST"], "GET", false],
    [[], "GET", false],
  ])("of %p for %s is %p", (list, method, expected) => {
    expect(allowsMethod(list, method)).toBe(expected);
  });
});
