import { afterAll, beforeAll, expect, test } from "bun:test";

import { type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

function upload(bytes: number, fileFirst: boolean): Promise<Response> {
  const form = new FormData();
  const file = new File([new Uint8Array(bytes)], "data.jsonl", { type: "application/jsonl" });
  if (fileFirst) form.set("file", file);
  form.set("purpose", "batch");
  if (!fileFirst) form.set("file", file);
  return fetch(`${it.mock.url}/v1/files`, {
    method: "POST",
    body: form,
    headers: { authorization: "Bearer x" },
  });
}

test.each([
  [0, true],
  [10, true],
  [10, false],
  [200_000, true],
  [20_000_000, false],
])("OpenaiFiles counts an upload of %d bytes, file first: %p", async (bytes, fileFirst) => {
  const file = await (await upload(bytes, fileFirst)).json();
  expect(file).toMatchObject({ object: "file", bytes, filename: "data.jsonl", purpose: "batch" });
  expect(it.mock.requests.at(-1)?.bodyBytes).toBeGreaterThan(bytes);
});

test("OpenaiFiles lists, shows and deletes what was uploaded", async () => {
  const { id } = await (await upload(7, true)).json();
  expect((await (await it.get(`/v1/files/${id}`)).json()).bytes).toBe(7);
  const { data } = await (await it.get("/v1/files")).json();
  expect(data.map((one: { id: string }) => one.id)).toContain(id);
  const headers = { authorization: "Bearer x" };
  const gone = await fetch(`${it.mock.url}/v1/files/${id}`, { method: "DELETE", headers });
  expect(await gone.json()).toEqual({ id, object: "file", deleted: true });
  expect((await it.get(`/v1/files/${id}`)).status).toBe(404);
});

test("OpenaiFiles refuses what is no form with a file", async () => {
  expect((await it.post("/v1/files", {})).status).toBe(400);
  const form = new FormData();
  form.set("purpose", "batch");
  const headers = { authorization: "Bearer x" };
  const response = await fetch(`${it.mock.url}/v1/files`, { method: "POST", body: form, headers });
  expect((await response.json()).error.param).toBe("file");
});
