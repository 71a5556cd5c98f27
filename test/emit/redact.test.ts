import { describe, expect, test } from "bun:test";
import { mayHoldSecret, scrub } from "../../src/emit/redact.ts";

const JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJkZWZhdWx0In0.c2lnbmF0dXJl-_x";

describe("scrub() takes out", () => {
  test.each([
    [`Authorization: Bearer ${JWT}`, "Authorization: Bearer [redacted]"],
    ["authorization: bearer abc.def", "authorization: bearer [redacted]"],
    ["Proxy-Authorization: Basic dXNlcjpwYXNz", "Proxy-Authorization: Basic [redacted]"],
    ["Incorrect API key provided: sk-proj-abc123DEF.", "Incorrect API key provided: [redacted]."],
    ["key sk-ant-api03-abcdef_ghijkl, sent", "key [redacted], sent"],
    [`token sk-sluice-${JWT}!`, "token [redacted]!"],
    [`secret ek_sluice-${JWT}!`, "secret [redacted]!"],
    [`cut ek_sluice-${JWT.slice(0, 15)}`, "cut [redacted]"],
    [`bare ${JWT}`, "bare [redacted]"],
    [`cut ${JWT.slice(0, 40)}`, "cut [redacted]"],
    ["ek_68af296e8e408191a1120ab6383263c2 expired", "[redacted] expired"],
    ["AIzaSyA-1234567890_abcdefghijklmnopqrs", "[redacted]"],
    ["auth_tokens/abc-123", "[redacted]"],
    ["GET /v1beta/models?key=abc123&alt=sse", "GET /v1beta/models?key=[redacted]&alt=sse"],
    ["?alt=sse&access_token=abc", "?alt=sse&access_token=[redacted]"],
    [
      "realtime, openai-insecure-api-key.sk-abc123def, openai-beta",
      "realtime, openai-insecure-api-key.[redacted], openai-beta",
    ],
    ['{"api_key":"sk-1234567890"}', '{"api_key":"[redacted]"}'],
    ["sk-aaaaaaaa sk-bbbbbbbb", "[redacted] [redacted]"],
  ])("%p", (text, clean) => {
    expect(scrub(text)).toBe(clean);
    expect(scrub(clean)).toBe(clean);
    expect(mayHoldSecret(`other\n${text}\nother`, [])).toBe(true);
  });
});

describe("scrub() leaves", () => {
  test.each([
    "",
    "task-oriented desk-12345678 risk-free",
    "resp_68af296e8e40 req_011CSHoEeqs5C35K2UUqR7Fy",
    "connection refused: 127.0.0.1:443",
    "the bearer of bad news".replace("bearer of", "bearers of"),
    "eyJ is how a header begins",
    "monkey=1&keys=2",
  ])("%p", (text) => {
    expect(scrub(text)).toBe(text);
  });
});

describe("scrub() with known secrets", () => {
  test("takes out each, wherever and however often it stands", () => {
    expect(scrub("a=hunter22;b=hunter22x", ["hunter22"])).toBe("a=[redacted];b=[redacted]x");
  });

  test("mayHoldSecret() finds the same among many", () => {
    const many = Array.from({ length: 40 }, (_, at) => `secret-value-${at}`);
    const lists = [["hunter22"], [...many, "short"]];
    for (const [text, found] of [
      ["of secret-value-39", true],
      ["of hunter22", true],
      ["of secret-value-", false],
      ["too short", false],
    ] as const) {
      expect([text, mayHoldSecret(text, lists)]).toEqual([text, found]);
    }
  });

  test("mayHoldSecret() finds them too, and nothing in ordinary fields", () => {
    const fields = "ex_019ab2c3d4e5f60718293a4b5c6d7e8f\nopenai\n/v1/responses\ncompleted\ngpt-5";
    expect(mayHoldSecret(fields, [["hunter22", "gpt"]])).toBe(false);
    expect(mayHoldSecret(`${fields}\nhunter22`, [["hunter22", "gpt"]])).toBe(true);
  });

  test("leaves no rest of a secret that begins with another", () => {
    const secrets = ["abcdefgh", "abcdefgh-tail-of-it"];
    expect(scrub("x abcdefgh-tail-of-it y", secrets)).toBe("x [redacted] y");
    expect(scrub("x abcdefgh-tail-of-it y", secrets.toReversed())).toBe("x [redacted] y");
  });

  test("treats none as a pattern, and does not blot out words with short ones", () => {
    expect(scrub("a.b$c(d) axbxcxdx", ["a.b$c(d)", "a", ""])).toBe("[redacted] axbxcxdx");
  });

  test("does not slow down on hostile text", () => {
    const hostile = ["eyJ".repeat(20_000), "Bearer ".repeat(20_000), "sk-".repeat(20_000)];
    const started = performance.now();
    for (const text of hostile) scrub(text);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
