import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const ASK = { model: "m", max_tokens: 8, messages: [] };

function post(headers: Record<string, string>): Promise<Response> {
  const body = JSON.stringify(ASK);
  return fetch(`${it.mock.url}/v1/messages?beta=true`, { method: "POST", body, headers });
}

describe("AnthropicMock", () => {
  test.each([
    [{}, 401],
    [{ "x-api-key": "sk-mock-invalid" }, 401],
    [{ authorization: "Bearer sk-mock-invalid" }, 401],
    [{ "x-api-key": "k" }, 200],
    [{ authorization: "Bearer sk-ant-oat01-x" }, 200],
  ])("credential %p is %d", async (headers: Record<string, string>, status) => {
    const response = await post(headers);
    const { type } = await response.json();
    expect([response.status, type]).toEqual([status, status === 200 ? "message" : "error"]);
    expect(response.headers.get("request-id")).toStartWith("req_");
  });

  test.each([
    ["GET", "/v1/messages"],
    ["POST", "/v1/messages/batches"],
  ])("%s %s is a 404 in its words", async (method, path) => {
    const headers = { "x-api-key": "k" };
    const response = await fetch(`${it.mock.url}${path}`, { method, headers });
    expect(response.status).toBe(404);
    expect((await response.json()).error.type).toBe("not_found_error");
  });

  test("takes no WebSocket", () => {
    expect(it.connect("/v1/messages")).rejects.toThrow("404");
  });

  test("obeys status, error and fixture, and refuses an unknown script", async () => {
    const overloaded = await it.post("/v1/messages", ASK, "error=overloaded_error");
    expect(overloaded.status).toBe(529);
    const recorded = await it.post("/v1/messages", ASK, "fixture=anthropic_stream.sse");
    expect(recorded.headers.get("request-id")).toBe("req_011CfixtureAAAAAAAAAAAAA");
    const golden = Bun.file(`${import.meta.dir}/../golden/provider/anthropic_stream.sse`);
    expect(await recorded.text()).toBe(await golden.text());
    const bad = await it.post("/v1/messages", ASK, "speed=9");
    expect((await bad.json()).error).toMatchObject({ type: "invalid_request_error" });
  });
});
