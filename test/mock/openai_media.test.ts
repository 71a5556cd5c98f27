import { afterAll, beforeAll, expect, test } from "bun:test";

import { type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const json = async (path: string, body: object) => (await it.post(path, body)).json();

test.each([
  ["alpha", 1, 2],
  [["alpha", "beta"], 2, 3],
  [[1, 2, 3], 1, 3],
  [[[1, 2], [3]], 2, 3],
])("embedding() of %p has %d vectors and %d tokens", async (input, count, tokens) => {
  const body = await json("/v1/embeddings", { model: "m", input });
  expect(body.data).toHaveLength(count);
  expect(body.usage).toEqual({ prompt_tokens: tokens, total_tokens: tokens });
});

test("embedding() gives the same numbers as floats and as base64", async () => {
  const request = { model: "m", input: "alpha", dimensions: 5 };
  const floats = (await json("/v1/embeddings", request)).data[0].embedding;
  const encoding_format = "base64";
  const packed = (await json("/v1/embeddings", { ...request, encoding_format })).data[0].embedding;
  expect([...new Float32Array(Uint8Array.fromBase64(packed).buffer)]).toEqual(floats);
  expect(floats).toHaveLength(5);
});

test("embedding() without input is a 400", async () => {
  expect((await it.post("/v1/embeddings", { model: "m" })).status).toBe(400);
});

test("moderation() flags nothing", async () => {
  const body = await json("/v1/moderations", { input: ["a", "b"] });
  expect(body.results.map((one: { flagged: boolean }) => one.flagged)).toEqual([false, false]);
});

test("imageOf() draws n images and counts them", async () => {
  const body = await json("/v1/images/generations", { model: "m", prompt: "a lock", n: 2 });
  expect(body.data).toHaveLength(2);
  expect(Uint8Array.fromBase64(body.data[0].b64_json).subarray(1, 4)).toEqual(
    new TextEncoder().encode("PNG"),
  );
  expect(body.usage).toMatchObject({ input_tokens: 2, output_tokens: 544, total_tokens: 546 });
});

test("modelList() lists models, and each has a page of its own", async () => {
  const list = await (await it.get("/v1/models")).json();
  expect(list.data.map((one: { id: string }) => one.id)).toContain("gpt-5.5");
  expect((await (await it.get("/v1/models/gpt-5.5")).json()).id).toBe("gpt-5.5");
});
