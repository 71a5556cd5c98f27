import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { functionsIn, tokensIn } from "../../src/mock/gemini_generate.ts";
import { generateBody, generateReader } from "../../src/provider/gemini_generate.ts";
import { type Json, type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const ASK = {
  systemInstruction: { parts: [{ text: "Be brief." }] },
  contents: [{ role: "user", parts: [{ text: "Say hi." }] }],
};
const functionDeclarations = [
  { name: "look", parameters: { properties: { id: { type: "string" } }, required: ["id"] } },
];
const path = (method: string) => `/v1beta/models/gemini-3-flash:${method}`;
const text = async (method: string, body: object, script?: string) =>
  (await it.post(path(method), body, script)).text();

/** The end of a stream of objects, as our reader sees it. */
function readAll(objects: readonly Json[]) {
  const reader = generateReader();
  const signals = objects.map((object) => reader.upstreamSignal(JSON.stringify(object)));
  return { last: signals.at(-1), end: reader.streamEnded?.() ?? null };
}

describe("generate()", () => {
  test("answers with what our reader understands", async () => {
    const response = await it.post(path("generateContent"), { ...ASK, serviceTier: "flex" });
    expect(response.headers.get("x-gemini-service-tier")).toBe("flex");
    // "Be brief." and "Say hi." are 16 characters.
    expect(generateBody.read(await response.text())).toMatchObject({
      model: "gemini-3-flash-001",
      status: "completed",
      usage: { usage: { inputTokens: 4, outputTokens: 8 } },
    });
  });

  test("is cut by maxOutputTokens", async () => {
    const body = await text("generateContent", {
      ...ASK,
      generationConfig: { maxOutputTokens: 2 },
    });
    expect(generateBody.read(body)).toMatchObject({
      status: "incomplete",
      usage: { usage: { outputTokens: 2 } },
    });
  });

  test("calls the first function, until its response is there", async () => {
    const tools = [{ functionDeclarations }];
    const called = JSON.parse(await text("generateContent", { ...ASK, tools }));
    expect(called.candidates[0].content.parts).toEqual([
      { functionCall: { name: "look", args: { id: "lock" } } },
    ]);
    const contents = [...ASK.contents, { parts: [{ functionResponse: { name: "look" } }] }];
    const answered = JSON.parse(await text("generateContent", { ...ASK, tools, contents }));
    expect(answered.candidates[0].content.parts[0].text).toBeString();
  });

  test("refuses what is no JSON", async () => {
    const response = await it.post(path("generateContent"), "{");
    expect([response.status, (await response.json()).error.status]).toEqual([
      400,
      "INVALID_ARGUMENT",
    ]);
  });
});

describe("streamGenerate()", () => {
  test("streams as SSE, the usage growing", async () => {
    const sse = await text("streamGenerateContent?alt=sse", ASK, "tokens=3");
    const objects = [...sse.matchAll(/^data: (.*)\r$/gm)].map(([, data = ""]) => JSON.parse(data));
    const counts = objects.map((object) => object.usageMetadata.candidatesTokenCount);
    expect(counts).toEqual([1, 2, 3, 3]);
    expect(readAll(objects)).toMatchObject({ end: { status: "completed" } });
  });

  test("streams as one array otherwise", async () => {
    const objects = JSON.parse(await text("streamGenerateContent", ASK, "tokens=3"));
    expect(readAll(objects)).toMatchObject({
      last: { usage: { usage: { inputTokens: 4, outputTokens: 3 } } },
      end: { status: "completed" },
    });
  });

  test.each(["streamGenerateContent", "streamGenerateContent?alt=sse"])(
    "%s breaks off with the script's error",
    async (method) => {
      const body = await text(method, ASK, "error=unavailable,after=2");
      expect(body.match(/"candidates"/g)).toHaveLength(2);
      expect(body).toContain('"status":"UNAVAILABLE"');
      if (!method.includes("sse")) expect(JSON.parse(body)).toHaveLength(3);
    },
  );

  test("floods, and calls functions", async () => {
    const flooded = JSON.parse(await text("streamGenerateContent", ASK, "frames=5,size=1KiB"));
    expect(flooded.map((one: Json) => JSON.stringify(one).length).slice(0, 5)).toEqual(
      Array.from({ length: 5 }, () => 1024),
    );
    const tools = [{ functionDeclarations }];
    const [called] = JSON.parse(await text("streamGenerateContent", { ...ASK, tools }));
    expect(called.candidates[0].content.parts[0].functionCall.name).toBe("look");
  });
});

test("countTokens() counts what generate() would read", async () => {
  expect(JSON.parse(await text("countTokens", ASK))).toEqual({ totalTokens: 4 });
  const wrapped = { generateContentRequest: ASK };
  expect(JSON.parse(await text("countTokens", wrapped))).toEqual({ totalTokens: 4 });
});

test("embed() gives a vector for each text, and the usage", async () => {
  const content = { parts: [{ text: "Say hi!!" }] };
  const one = JSON.parse(await text("embedContent", { content }));
  expect(one.embedding.values).toHaveLength(8);
  const requests = [{ content }, { content }];
  const two = JSON.parse(await text("batchEmbedContents", { requests }));
  expect([two.embeddings.length, two.usageMetadata.promptTokenCount]).toEqual([2, 4]);
});

test("tokensIn() and functionsIn() read what is there", () => {
  expect([tokensIn([{ parts: [{ text: "12345" }] }, undefined]), tokensIn([])]).toEqual([2, 0]);
  expect(functionsIn({ tools: [{ functionDeclarations }, { googleSearch: {} }] })).toEqual([
    { type: "function", name: "look", parameters: functionDeclarations[0]?.parameters },
  ]);
});
