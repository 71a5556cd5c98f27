/** Many secrets, looked for at once. */

import { expect, test } from "bun:test";

import { INDEXED_LENGTH, SecretIndex } from "../../src/emit/secret_index.ts";
import { Prng } from "../support/prng.ts";

test.each([
  ["hunter22", true],
  ["a hunter33 b", true],
  ["hhunter22", true],
  ["my s3cret", true],
  ["", false],
  ["s3cre", false],
  ["hunter2", false],
  ["hunter44", false],
  ["S3CRET", false],
])("SecretIndex.isIn(%p) is %p", (text, found) => {
  expect(new SecretIndex(["hunter22", "hunter33", "s3cret"]).isIn(text)).toBe(found);
});

test("SecretIndex finds what a search for each finds, in any characters", () => {
  const prng = new Prng(7);
  const characters = ["a", "\uffff", "\0"];
  const word = (length: number) => Array.from({ length }, () => prng.pick(characters)).join("");
  let count = 0;
  for (let round = 0; round < 500; round++) {
    const secrets = Array.from({ length: 3 }, () => word(INDEXED_LENGTH + prng.int(0, 2)));
    const text = word(prng.int(0, 600));
    const isThere = secrets.some((secret) => text.includes(secret));
    count += Number(isThere);
    expect(new SecretIndex(secrets).isIn(text)).toBe(isThere);
  }
  // Both happen often enough to be tested.
  expect([count > 100, count < 400]).toEqual([true, true]);
});
