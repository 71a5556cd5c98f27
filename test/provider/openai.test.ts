import { describe, expect, test } from "bun:test";
import { openai } from "../../src/provider/openai.ts";

describe("openai.endpoint()", () => {
  test.each([
    ["POST", "/v1/responses", "/v1/responses", true, "also"],
    ["GET", "/v1/responses", "/v1/responses", true, "only"],
    ["POST", "/v1/responses/compact", "/v1/responses/compact", true, "never"],
    ["POST", "/v1/responses/input_tokens", "/v1/responses/input_tokens", false, "never"],
    ["GET", "/v1/responses/resp_1", "/v1/responses/{id}", false, "never"],
    ["DELETE", "/v1/responses/resp_1", "/v1/responses/{id}", false, "never"],
    ["POST", "/v1/responses/r/cancel", "/v1/responses/{id}/cancel", false, "never"],
    ["GET", "/v1/realtime", "/v1/realtime", true, "only"],
    ["POST", "/v1/realtime/client_secrets", "/v1/realtime/client_secrets", false, "never"],
    ["POST", "/v1/chat/completions", "/v1/chat/completions", true, "never"],
    ["GET", "/v1/chat/completions", "/v1/chat/completions", false, "never"],
    ["POST", "/v1/embeddings", "/v1/embeddings", true, "never"],
    ["POST", "/v1/audio/transcriptions", "/v1/audio/transcriptions", true, "never"],
    ["GET", "/v1/models", "/v1/models", false, "never"],
    ["GET", "/v1/models/gpt-5.5", "/v1/models/{id}", false, "never"],
    ["POST", "/v1/files", "/v1/files", false, "never"],
    ["GET", "/v1/vector_stores/v/files/f", "/v1/vector_stores/*", false, "never"],
  ] as const)("finds %s %s as %s", (method, path, name, billing, websocket) => {
    expect(openai.endpoint(method, path)).toMatchObject({ name, billing, websocket });
  });

  test.each([
    ["GET", "/v1/live/sessions"],
    ["POST", "/v1/realtime"],
    ["DELETE", "/v1/responses"],
    ["GET", "/v1/realtime/translations"],
    ["POST", "/v1/fine_tuning/jobs"],
    ["GET", "/v1/models/"],
    ["GET", "/v1/models/a/b"],
    ["GET", "/v1/responses//input_items"],
    ["GET", "/v2/models"],
    ["GET", "/"],
    ["GET", "/v1/uploads/"],
    ["PUT", "/v1/chat/completions"],
    ["PATCH", "/v1/embeddings"],
    ["GET", "/v1/embeddings"],
    ["POST", "/v1/models/x:generateContent"],
    ["POST", "/v1/uploads/..;/chat/completions"],
    ["POST", "/v1/uploads/x//../../chat/completions"],
    ["POST", "/v1/chat/completions/%20"],
    ["POST", "/v1/responses/%2e%2e%2fresponses"],
    ["POST", "/v1/responses/."],
    ["POST", "/v1/responses/resp_1"],
  ])("has no %s %s", (method, path) => {
    expect(openai.endpoint(method, path)).toBeNull();
  });

  test("says which bodies are forms, and which nobody looks into", () => {
    const bodies = ["/v1/audio/transcriptions", "/v1/audio/speech", "/v1/realtime/calls"].map(
      (path) => openai.endpoint("POST", path)?.requestBody,
    );
    expect(bodies).toEqual(["multipart", "json", "opaque"]);
  });

  test.each([
    ["POST", "/v1/realtime/client_secrets", "given", false],
    ["POST", "/v1/realtime/sessions", "given", false],
    ["POST", "/v1/realtime/transcription_sessions", "given", false],
    ["GET", "/v1/realtime", "taken", false],
    ["POST", "/v1/realtime/calls", "taken", true],
    ["POST", "/v1/realtime/calls/rtc_1/accept", null, true],
    ["POST", "/v1/realtime/calls/rtc_1/hangup", null, false],
    ["POST", "/v1/responses", null, false],
  ] as const)("says of %s %s: key %p, escapes limits %p", (method, path, clientSecret, escapes) => {
    const traits = { clientSecret, escapesLimits: escapes };
    expect(openai.endpoint(method, path)).toMatchObject(traits);
  });
});

describe("openai.credentialHeaders()", () => {
  test.each([
    ["sk-1", "authorization", "authorization", "Bearer sk-1"],
    ["sk-1", "subprotocol", "authorization", "Bearer sk-1"],
    ["k", "api_key", "api-key", "k"],
  ] as const)("puts %s, the token sent as %s, into %s", (key, style, name, value) => {
    expect(openai.credentialHeaders(key, style, "api_key", "")).toEqual([[name, value]]);
  });
});

describe("openai.refusesCredential()", () => {
  test.each([
    [401, "", true],
    [403, "", true],
    [429, "", false],
  ])("of %d %s is %p", (status, body, refused) => {
    expect(openai.refusesCredential(status, body)).toBe(refused);
  });
});

describe("openai.has()", () => {
  test.each(["/v1/responses", "/v1/realtime", "/v1/responses/resp_1", "/v1/uploads/u/parts"])(
    "%s",
    (path) => {
      expect(openai.has(path)).toBe(true);
    },
  );

  test.each(["/v1/messages", "/v1", "/v1/responses/a/b/c", "/v1/responses/%2e"])(
    "not %s",
    (path) => {
      expect(openai.has(path)).toBe(false);
    },
  );
});

describe("openai.reaches()", () => {
  test.each(["/v1", "/v1/audio", "/v1/models", "/v1/responses/*/cancel"])("%s", (entry) => {
    expect(openai.reaches(entry)).toBe(true);
  });

  test.each(["/v1/edits", "/v1/fine-tunes", "/v2"])("not %s", (entry) => {
    expect(openai.reaches(entry)).toBe(false);
  });
});
