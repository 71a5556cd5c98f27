import { expect, test } from "bun:test";

import { AnswerNow } from "../../src/mock/answer.ts";

test("AnswerNow carries the answer that it was thrown with", () => {
  const answer = { status: 404, headers: {}, body: "x" };
  expect(new AnswerNow(answer).answer).toBe(answer);
});
