import { describe, expect, test } from "bun:test";
import {
  mediaReader,
  readEmbeddingsBody,
  readMediaBody,
  readModerationBody,
} from "../../src/provider/openai_media.ts";

describe("mediaReader", () => {
  test.each([
    [{ type: "transcript.text.delta" }, "output"],
    [{ type: "image_generation.partial_image" }, "output"],
    [{ type: "transcript.text.segment" }, undefined],
    [{ type: "transcript.text.done" }, "ended"],
    [{ type: "image_edit.completed" }, "ended"],
    [{ type: "error", code: "c" }, "refused"],
    [{ error: { code: "c" } }, "refused"],
  ])("takes %j as %p", (event, signal) => {
    expect(mediaReader.upstreamSignal(JSON.stringify(event))?.signal).toBe(signal as "ended");
  });
});

describe("bodies", () => {
  test("readEmbeddingsBody() needs no output tokens", () => {
    const signal = readEmbeddingsBody('{"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}');
    const usage = { reading: "usage", usage: { inputTokens: 4, outputTokens: 0 } };
    expect(signal).toMatchObject({ model: "e", usage });
  });

  test("readMediaBody() reads usage by duration", () => {
    const signal = readMediaBody('{"text":"x","usage":{"type":"duration","seconds":3}}');
    expect(signal).toMatchObject({ model: null, usage: { usage: { audioSeconds: 3 } } });
  });

  test("readModerationBody() takes it as not billed", () => {
    expect(readModerationBody('{"results":[]}')).toMatchObject({
      usage: { reading: "none_billed" },
    });
  });

  test.each([[readEmbeddingsBody], [readMediaBody], [readModerationBody]])(
    "%p passes by what is no JSON object",
    (read) => {
      expect(read("text")).toBeNull();
    },
  );
});
