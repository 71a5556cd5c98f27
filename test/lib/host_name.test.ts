import { describe, expect, test } from "bun:test";
import { bracketed, unbracketed } from "../../src/lib/host_name.ts";

describe("bracketed()", () => {
  test.each([
    ["::1", "[::1]"],
    ["[::1]", "[::1]"],
    ["127.0.0.1", "127.0.0.1"],
    ["api.example.com", "api.example.com"],
  ])("writes %p as %p", (hostname, expected) => {
    expect(bracketed(hostname)).toBe(expected);
  });
});

describe("unbracketed()", () => {
  test.each([
    ["[2001:db8::1]", "2001:db8::1"],
    ["2001:db8::1", "2001:db8::1"],
    ["[::1", "[::1"],
    ["api.example.com", "api.example.com"],
  ])("writes %p as %p", (hostname, expected) => {
    expect(unbracketed(hostname)).toBe(expected);
  });
});
