import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { connect, type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const ASK = JSON.stringify({ contents: [] });
const GENERATE = "/v1beta/models/gemini-3-flash:generateContent";
const LIVE = "ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent";

function post(path: string, headers: Record<string, string>): Promise<Response> {
  return fetch(`${it.mock.url}${path}`, { method: "POST", body: ASK, headers });
}

describe("GeminiMock", () => {
  test.each([
    [GENERATE, {}, 403],
    [GENERATE, { "x-goog-api-key": "sk-mock-invalid" }, 400],
    [GENERATE, { "x-goog-api-key": "k" }, 200],
    [`${GENERATE}?key=k`, {}, 200],
    [GENERATE, { authorization: "Bearer ya29.k" }, 200],
    ["/v1/models/m:generateContent?key=k", {}, 200],
    ["/v1beta/tunedModels/m:countTokens?key=k", {}, 200],
    ["/v1beta/models/m:train?key=k", {}, 404],
  ])("%s with %p is %d", async (path, headers: Record<string, string>, status) => {
    const response = await post(path, headers);
    await response.text();
    expect(response.status).toBe(status);
  });

  test("refuses in an array where the answer would have been one", async () => {
    const path = "/v1beta/models/m:streamGenerateContent";
    for (const [query, isList] of [
      ["", true],
      ["?alt=sse", false],
    ] as const) {
      const refused = await (await post(path + query, {})).json();
      const scripted = await (await it.post(path + query, {}, "status=429")).json();
      expect([Array.isArray(refused), Array.isArray(scripted)]).toEqual([isList, isList]);
    }
  });

  test("lists models, has OpenAI's interface beside its own, and obeys labels", async () => {
    const listed = await (await it.get("/v1beta/models")).json();
    expect(listed.models[0].name).toStartWith("models/");
    const messages = [{ role: "user", content: "Hi" }];
    const chat = await it.post("/v1beta/openai/chat/completions", { model: "m", messages });
    expect((await chat.json()).object).toBe("chat.completion");
    const labelled = await it.post(GENERATE, { contents: [], labels: { mock: "tokens=1" } });
    expect((await labelled.json()).usageMetadata.candidatesTokenCount).toBe(1);
    const bad = await it.post(GENERATE, {}, "speed=9");
    expect((await bad.json()).error.status).toBe("INVALID_ARGUMENT");
  });

  test("takes WebSockets for Live, with one slash or two and the key in the query", async () => {
    for (const path of [
      `/${LIVE}?key=k`,
      `//${LIVE}?key=k`,
      `/${LIVE}Constrained?access_token=t`,
    ]) {
      const client = await connect(`${it.mock.url}${path}`, {});
      client.close();
      await client.closed;
    }
    expect(connect(`${it.mock.url}/${LIVE}`, {})).rejects.toThrow("403");
    expect(connect(`${it.mock.url}${GENERATE}?key=k`, {})).rejects.toThrow("404");
  });
});
