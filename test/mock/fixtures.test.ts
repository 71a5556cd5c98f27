import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Fixtures } from "../../src/mock/fixtures.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-mock-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

test("Fixtures.answer() has the recorded status and headers, and the file's bytes", async () => {
  const fixtures = await Fixtures.load(null);
  const answer = fixtures.answer("responses_stream.sse");
  expect(answer?.status).toBe(200);
  expect(answer?.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
  expect(answer?.headers["x-request-id"]).toBe("req_5f0f3c1b7d0e4f0f9a1c2b3d4e5f6a7b");
  const golden = Bun.file(join(import.meta.dir, "../golden/provider/responses_stream.sse"));
  expect(answer?.body).toEqual(new Uint8Array(await golden.arrayBuffer()));
});

test("Fixtures.transcript() reads frames, waits and closes in order", async () => {
  const fixtures = await Fixtures.load(null);
  const steps = fixtures.transcript("responses_ws_error_event.jsonl") ?? [];
  expect(steps[0]).toEqual({ step: "await_client" });
  expect(steps[1]?.step).toBe("send");
  expect(steps.at(-1)).toEqual({ step: "close", code: 1000, reason: "" });
});

test("Fixtures know no name that is not there, and each kind only its own", async () => {
  const fixtures = await Fixtures.load(null);
  expect(fixtures.answer("nothing.json")).toBeNull();
  expect(fixtures.answer("responses_ws_failed.jsonl")).toBeNull();
  expect(fixtures.transcript("responses.json")).toBeNull();
  expect(fixtures.names).toContain("responses_ws_two_turns.jsonl");
});

test("Fixtures.load() lets a folder's files win, with headers and binary frames", async () => {
  await writeFile(join(folder, "responses.json"), '{"mine":true}');
  await writeFile(join(folder, "own.sse"), "data: 1\n\n");
  await writeFile(join(folder, "own.jsonl"), '{"dir":"server","opcode":"binary","data":{"a":1}}\n');
  await writeFile(join(folder, "notes.md"), "not a fixture");
  await writeFile(
    join(folder, "http_exchanges.json"),
    '{"own.sse":{"response":{"status":203,"headers":{"x-own":"1"}}}}',
  );
  const fixtures = await Fixtures.load(folder);
  expect(new TextDecoder().decode(fixtures.answer("responses.json")?.body)).toBe('{"mine":true}');
  const own = fixtures.answer("own.sse");
  expect([own?.status, own?.headers["x-own"]]).toEqual([203, "1"]);
  expect(fixtures.transcript("own.jsonl")).toEqual([
    { step: "send", text: '{"a":1}', binary: true },
  ]);
  expect(fixtures.has("notes.md")).toBe(false);
  expect(fixtures.has("chat_completions.json")).toBe(true);
});

test("Fixtures.load() rejects a folder that is not there", async () => {
  expect(Fixtures.load(join(folder, "missing"))).rejects.toThrow("ENOENT");
});

test("Fixtures.errors are the recorded ones of each provider", async () => {
  const { openai, anthropic, gemini } = (await Fixtures.load(null)).errors;
  expect(openai.find((one) => one.name === "rate_limit")).toMatchObject({
    status: 429,
    error: { code: "rate_limit_exceeded" },
  });
  expect(anthropic.map((one) => one.name)).toContain("overloaded_error");
  expect(gemini.map((one) => one.error["status"])).toContain("RESOURCE_EXHAUSTED");
});
