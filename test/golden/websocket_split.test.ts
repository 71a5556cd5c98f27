/**
 * Every recorded WebSocket transcript through the codec: the upstream's frames fragmented at every
 * byte of those up to 2 KiB, and read in pieces; the client's frames as they leave. Messages must
 * come out equal.
 */

import { Buffer } from "node:buffer";
import { readdirSync } from "node:fs";
import { describe, expect, test } from "bun:test";

import type { Message } from "../../src/exchange.ts";
import { FrameDecoder } from "../../src/relay/frame_codec.ts";
import { encodeFrame, frameBufferFor } from "../../src/relay/frame_encoder.ts";
import { readClientFrames, serverFrame, serverMessage } from "../support/reference_codec.ts";
import { loadTranscript } from "./transcript.ts";

const SPLIT_BYTES_MAX = 2 * 1024;

const names = readdirSync(`${import.meta.dir}/provider`).filter((name) => name.endsWith(".jsonl"));

function messages(name: string, dir: "client" | "server"): Message[] {
  return loadTranscript(name).flatMap((entry) =>
    "message" in entry && entry.dir === dir ? [entry.message] : [],
  );
}

/** A message in two fragments, with a ping between them. */
function fragmented(message: Message, cut: number): Buffer {
  const bytes = Buffer.from(message as string);
  return Buffer.concat([
    serverFrame(typeof message === "string" ? 1 : 2, bytes.subarray(0, cut), false),
    serverFrame(9, "between"),
    serverFrame(0, bytes.subarray(cut)),
  ]);
}

function decodeOne(pieces: readonly Buffer[]): Message[] {
  const decoder = new FrameDecoder(0);
  const got: Message[] = [];
  for (const piece of pieces) {
    decoder.push(piece);
    for (let item = decoder.next(); item !== null; item = decoder.next()) {
      if (typeof item === "string") got.push(item);
      else if (item instanceof Uint8Array) got.push(new Uint8Array(item));
      else expect(item.kind).toBe("ping");
    }
    decoder.keep();
  }
  return got;
}

const same = (got: readonly Message[], wanted: readonly Message[]) =>
  got.length === wanted.length &&
  got.every(
    (one, i) =>
      Buffer.compare(Buffer.from(one as string), Buffer.from((wanted[i] ?? "") as string)) === 0 &&
      typeof one === typeof wanted[i],
  );

describe.each(names)("%s", (name) => {
  test("is equal with its messages fragmented at every byte", () => {
    for (const message of messages(name, "server")) {
      const size = Buffer.byteLength(message);
      if (size > SPLIT_BYTES_MAX) continue;
      for (let cut = 0; cut <= size; cut++) {
        if (!same(decodeOne([fragmented(message, cut)]), [message])) {
          expect({ cut, equal: false }).toEqual({ cut, equal: true });
        }
      }
    }
  });

  test("is equal with its bytes read in two pieces, cut at every byte", () => {
    for (const message of messages(name, "server")) {
      const bytes = serverMessage(message);
      if (bytes.length > SPLIT_BYTES_MAX) continue;
      for (let cut = 0; cut <= bytes.length; cut++) {
        if (!same(decodeOne([bytes.subarray(0, cut), bytes.subarray(cut)]), [message])) {
          expect({ cut, equal: false }).toEqual({ cut, equal: true });
        }
      }
    }
  });

  test("is equal read whole, and byte by byte", () => {
    const wanted = messages(name, "server");
    const bytes = Buffer.concat(wanted.map(serverMessage));
    expect(wanted.length).toBeGreaterThan(0);
    expect(same(decodeOne([bytes]), wanted)).toBe(true);
    const single = Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1));
    expect(same(decodeOne(single), wanted)).toBe(true);
  });

  test("reaches the upstream equal", () => {
    const wanted = messages(name, "client");
    const frames = wanted.flatMap((message) => {
      const into = frameBufferFor(message);
      const { end } = encodeFrame(into, 0, typeof message === "string" ? 1 : 2, message);
      return readClientFrames(into.bytes.subarray(0, end)).frames;
    });
    const got = frames.map(({ opcode, payload }) =>
      opcode === 1 ? payload.toString() : new Uint8Array(payload),
    );
    expect(same(got, wanted)).toBe(true);
  });
});
