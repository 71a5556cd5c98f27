import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";

import type { Message } from "../../src/exchange.ts";
import { encodeFrame, FrameBuffer, frameBufferFor } from "../../src/relay/frame_encoder.ts";
import { Prng } from "../support/prng.ts";
import { readClientFrames } from "../support/reference_codec.ts";

describe("encodeFrame()", () => {
  test.each([0, 1, 3, 125, 126, 127, 65535, 65536, 70_000])(
    "writes %d bytes so that a server reads the same, at any alignment",
    (size) => {
      const bytes = new Prng(size).bytes(size);
      for (let at = 0; at < 4; at++) {
        const into = new FrameBuffer(size + 32);
        const { payloadAt, end } = encodeFrame(into, at, 2, bytes);
        const { frames, used } = readClientFrames(into.bytes.subarray(at, end));
        expect([used, end - payloadAt]).toEqual([end - at, size]);
        expect(frames[0]?.payload.equals(Buffer.from(bytes))).toBe(true);
        expect(frames[0]).toMatchObject({ opcode: 2, final: true });
      }
    },
  );

  // The header is first guessed from the string's length: these need a longer one.
  test.each(["é".repeat(100), "€".repeat(42), "€".repeat(30_000), "😀".repeat(20_000)])(
    "writes text whose bytes outgrow its length",
    (text) => {
      const into = frameBufferFor(text);
      const { end } = encodeFrame(into, 0, 1, text);
      const { frames } = readClientFrames(into.bytes.subarray(0, end));
      expect(frames[0]?.payload.toString() === text).toBe(true);
    },
  );

  test("leaves the caller's bytes as they are", () => {
    const bytes = new Uint8Array(100).fill(9);
    encodeFrame(frameBufferFor(bytes), 0, 2, bytes);
    expect(bytes.every((byte) => byte === 9)).toBe(true);
  });

  test("masks every frame with a mask of its own", () => {
    const into = new FrameBuffer(64);
    const masks = new Set<number>();
    const message: Message = "x";
    for (let i = 0; i < 3000; i++) {
      const { payloadAt } = encodeFrame(into, 0, 1, message);
      masks.add(into.bytes.readUInt32LE(payloadAt - 4));
    }
    // Three thousand draws of 32 bits rarely meet; a counter or a repeated batch would show.
    expect(masks.size).toBeGreaterThan(2990);
  });
});
