import { expect, test } from "bun:test";

import { contentCodingOf } from "../../src/lib/content_coding.ts";

test.each([null, "", " ", "identity", "Identity", " identity "])("%j is plain", (header) => {
  expect(contentCodingOf(header)).toBeNull();
});

test.each([
  ["gzip", "gzip"],
  [" GZip ", "gzip"],
  ["gzip, br", "gzip, br"],
  ["identity, gzip", "identity, gzip"],
])("%j hides the content", (header, coding) => {
  expect(contentCodingOf(header)).toBe(coding);
});
