import { describe, expect, test } from "bun:test";
import { bodyReaderOf, messageReaderOf, providerOf } from "../../src/provider/dialect.ts";

describe("providerOf()", () => {
  test.each([["openai"], ["anthropic"], ["gemini"], ["forward"]] as const)(
    "gives %s by its type",
    (type) => {
      expect(providerOf(type).type).toBe(type);
    },
  );
});

describe("messageReaderOf() and bodyReaderOf()", () => {
  test.each([
    ["openai_responses", true, true],
    ["openai_chat", true, true],
    ["openai_realtime", true, false],
    ["openai_embeddings", false, true],
    ["none", false, false],
    ["anthropic_messages", false, false],
    ["gemini_live", false, false],
  ] as const)("of %s: messages %p, bodies %p", (dialect, messages, bodies) => {
    expect(messageReaderOf(dialect) !== null).toBe(messages);
    expect(bodyReaderOf(dialect) !== null).toBe(bodies);
  });
});
