import { describe, expect, test } from "bun:test";
import {
  bodyReaderOf,
  messageReaderOf,
  providerOf,
  streamsAsArray,
} from "../../src/provider/dialect.ts";

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
    ["anthropic_messages", true, true],
    ["gemini_generate", true, true],
    ["gemini_live", true, false],
  ] as const)("of %s: messages %p, bodies %p", (dialect, messages, bodies) => {
    expect(messageReaderOf(dialect) !== null).toBe(messages);
    expect(bodyReaderOf(dialect) !== null).toBe(bodies);
  });
});

test("messageReaderOf() gives every stream a reader of its own where one remembers", () => {
  for (const dialect of ["anthropic_messages", "gemini_generate", "gemini_live"] as const) {
    expect(messageReaderOf(dialect)).not.toBe(messageReaderOf(dialect));
  }
});

test("streamsAsArray() is true of Gemini alone", () => {
  expect([streamsAsArray("gemini_generate"), streamsAsArray("openai_chat")]).toEqual([true, false]);
});
