import { describe, expect, test } from "bun:test";
import {
  embeddingsBody,
  mediaBody,
  mediaReader,
  moderationBody,
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
  test("embeddingsBody needs no output tokens", () => {
    const signal = embeddingsBody.read(
      '{"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}',
    );
    const usage = { reading: "usage", usage: { inputTokens: 4, outputTokens: 0 } };
    expect(signal).toMatchObject({ model: "e", usage });
  });

  test("mediaBody reads usage by duration", () => {
    const signal = mediaBody.read('{"text":"x","usage":{"type":"duration","seconds":3}}');
    expect(signal).toMatchObject({ model: null, usage: { usage: { audioSeconds: 3 } } });
  });

  test("moderationBody takes it as not billed", () => {
    expect(moderationBody.read('{"results":[]}')).toMatchObject({
      usage: { reading: "none_billed" },
    });
  });

  test.each([
    ["embeddings", embeddingsBody],
    ["media", mediaBody],
    ["moderation", moderationBody],
  ] as const)("the reader of %s passes by what is no JSON object", (_, body) => {
    expect(body.read("text")).toBeNull();
  });
});
