/** The decoder against the reference on seeded streams, valid and broken, in any pieces. */

import { Buffer } from "node:buffer";
import { expect, test } from "bun:test";

import { FrameDecoder, FrameError } from "../../src/relay/frame_codec.ts";
import { Prng } from "../support/prng.ts";
import { readServerStream, serverClose, serverFrame } from "../support/reference_codec.ts";

const LIMIT = 70_000;

/** What the decoder makes of the pieces, in the reference's words. */
function decode(pieces: Buffer[]): (string | number)[] {
  const decoder = new FrameDecoder(LIMIT);
  const items: (string | number)[] = [];
  try {
    for (const piece of pieces) {
      const view = Buffer.from(piece);
      decoder.push(view);
      for (let item = decoder.next(); item !== null; item = decoder.next()) {
        if (typeof item === "string") items.push(`text ${item}`);
        else if (item instanceof Uint8Array)
          items.push(`binary ${Buffer.from(item).toString("hex")}`);
        else if (item.kind === "close") items.push(`close ${item.code} ${item.reason}`);
        else items.push(`${item.kind} ${Buffer.from(item.payload).toString("hex")}`);
      }
      decoder.keep();
      view.fill(0xaa);
    }
  } catch (thrown) {
    if (!(thrown instanceof FrameError)) throw thrown;
    items.push(thrown.code);
  }
  return items;
}

function split(bytes: Buffer, prng: Prng): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = prng.pick([1, 2, 3, 7, 100, 5000, 200_000]);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

const TEXTS = ["", "a", "é", "€uro", "😀 smile", "\uFFFD itself", '{"type":"response.done"}'];

function payload(prng: Prng, opcode: number): Buffer {
  const size = prng.pick([0, 1, 125, 126, 127, 300, 65535, 65536, 66000]);
  if (opcode === 1) {
    const text = Array.from({ length: prng.int(0, 40) }, () => prng.pick(TEXTS)).join("");
    return Buffer.from(text.padEnd(prng.pick([0, 130, size]), "x"));
  }
  return Buffer.alloc(size, prng.int(0, 255));
}

function validStream(prng: Prng): Buffer {
  const frames: Buffer[] = [];
  const control = () => {
    while (prng.next() < 0.3) {
      frames.push(serverFrame(prng.pick([9, 10]), prng.bytes(prng.int(0, 125))));
    }
  };
  for (let message = prng.int(1, 5); message > 0; message--) {
    control();
    const opcode = prng.pick([1, 2]);
    const whole = payload(prng, opcode);
    const cuts = prng.pick([0, 0, 0, 1, 2, 4]);
    let from = 0;
    for (let cut = 0; cut <= cuts; cut++) {
      const to = cut === cuts ? whole.length : prng.int(from, whole.length);
      frames.push(serverFrame(cut === 0 ? opcode : 0, whole.subarray(from, to), cut === cuts));
      from = to;
      control();
    }
  }
  if (prng.next() < 0.5) frames.push(serverClose(prng.pick([null, 1000, 1012, 3000, 4999]), "bye"));
  return Buffer.concat(frames);
}

/** A valid stream with a few bytes of its first frames changed, so that headers are hit. */
function brokenStream(prng: Prng): Buffer {
  const bytes = validStream(prng);
  for (let change = prng.int(1, 3); change > 0; change--) {
    const at =
      prng.next() < 0.7 ? prng.int(0, Math.min(20, bytes.length)) : prng.int(0, bytes.length);
    if (at < bytes.length) bytes[at] = prng.int(0, 255);
  }
  return bytes;
}

test.each([
  ["valid", validStream, 400],
  ["broken", brokenStream, 1500],
] as const)(
  "FrameDecoder reads %s streams as the reference does, in any pieces",
  (_, make, runs) => {
    for (let seed = 1; seed <= runs; seed++) {
      const prng = new Prng(seed);
      const bytes = make(prng);
      const expected = readServerStream(bytes, LIMIT);
      const got = decode(split(bytes, prng));
      if (!Bun.deepEquals(got, expected)) expect({ seed, got }).toEqual({ seed, got: expected });
      const whole = decode([bytes]);
      if (!Bun.deepEquals(whole, expected))
        expect({ seed, whole }).toEqual({ seed, whole: expected });
    }
    expect(runs).toBeGreaterThan(0);
  },
);

test("FrameDecoder reads random bytes as the reference does", () => {
  for (let seed = 1; seed <= 3000; seed++) {
    const prng = new Prng(seed);
    const bytes = Buffer.from(prng.bytes(prng.int(0, 40)));
    expect({ seed, items: decode(split(bytes, prng)) }).toEqual({
      seed,
      items: readServerStream(bytes, LIMIT),
    });
  }
});
