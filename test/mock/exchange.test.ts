import { afterAll, beforeAll, expect, test } from "bun:test";

import { type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const CHAT = { model: "gpt-4o", messages: [{ role: "user", content: "Say hi." }] };

test.each([
  ["tokens=3", 200],
  ["status=429", 429],
  ["error=insufficient_quota", 429],
  ["fixture=embeddings.json", 200],
  ["nonsense=1", 400],
])("MockExchange.json() obeys metadata.mock %s with %d", async (mock, status) => {
  const response = await it.post("/v1/chat/completions", { ...CHAT, metadata: { mock } });
  expect(response.status).toBe(status);
  const body = await response.json();
  if (mock === "tokens=3") expect(body.usage.completion_tokens).toBe(3);
  if (mock.startsWith("fixture")) expect(body.object).toBe("list");
  if (status === 400) expect(body.error.message).toContain("nonsense");
});

test.each(["{", "[]", "", "hello"])("MockExchange.json() refuses the body %p", async (body) => {
  const response = await it.post("/v1/chat/completions", body);
  expect([response.status, (await response.json()).error.type]).toEqual([
    400,
    "invalid_request_error",
  ]);
});

test("scriptedAnswer() reads the whole body first, so that it is on record", async () => {
  const body = "x".repeat(300_000);
  await (await it.post("/v1/chat/completions", body, "status=500")).text();
  expect(it.mock.requests.at(-1)?.bodyBytes).toBe(300_000);
});
