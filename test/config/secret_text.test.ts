import { expect, test } from "bun:test";

import { looksSecret, partsOf, passwordsOf } from "../../src/config/secret_text.ts";

test.each([
  "sk-proj-abcdef",
  "sk-ant-api03-xyz",
  "Bearer abc",
  "AIzaSyA0000",
  "eyJhbGciOiJFZERTQSJ9.e30.x",
  "https://user:pass@proxy",
  "postgres://u:p@h/d",
  "0123456789abcdef0123456789abcdef",
])("looksSecret() hides %p", (text) => {
  expect(looksSecret(text)).toBe(true);
});

test.each(["info", "70000", "task-force", "https://api.openai.com/v1", "risk_free"])(
  "looksSecret() shows %p",
  (text) => {
    expect(looksSecret(text)).toBe(false);
  },
);

test("partsOf() gives a secret, and what stands behind its scheme or id by itself", () => {
  expect(partsOf("Bearer 0123456789abcdef")).toEqual([
    "Bearer 0123456789abcdef",
    "0123456789abcdef",
  ]);
  expect(partsOf("k1:0123456789abcdef")).toEqual(["k1:0123456789abcdef", "0123456789abcdef"]);
  expect(partsOf("sk-1")).toEqual(["sk-1"]);
});

test("passwordsOf() gives the password as written and decoded", () => {
  expect(passwordsOf(new URL("http://u:a%40b@h"))).toEqual(["a%40b", "a@b"]);
  expect(passwordsOf(new URL("http://u:a%zz@h"))).toEqual(["a%zz"]);
  expect(passwordsOf(new URL("http://u@h"))).toEqual([]);
});
