import { expect, test } from "bun:test";

import { closest } from "../../src/config/suggest.ts";

const KNOWN = ["http_port", "https_port", "auth_keys", "log", "limits"];

test.each([
  ["http_prt", "http_port"],
  ["httpPort", "http_port"],
  ["http-port", "http_port"],
  ["auth_key", "auth_keys"],
  ["limit", "limits"],
  ["lgo", "log"],
  ["xyz", null],
  ["nothing_like_it", null],
  ["", null],
  ["x".repeat(10_000), null],
])("closest() to %p is %p", (word, expected) => {
  expect(closest(word, KNOWN)).toBe(expected);
});
