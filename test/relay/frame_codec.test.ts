import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";

import { FrameDecoder, isWireCloseCode } from "../../src/relay/frame_codec.ts";
import { serverClose, serverFrame, serverMessage } from "../support/reference_codec.ts";

function decoded(bytes: Uint8Array, messageBytesMax = 0): unknown[] {
  const decoder = new FrameDecoder(messageBytesMax);
  decoder.push(bytes);
  const items: unknown[] = [];
  for (let item = decoder.next(); item !== null; item = decoder.next()) items.push(item);
  return items;
}

describe("FrameDecoder", () => {
  test("hands out a binary message as a view of the read, without a copy", () => {
    const read = serverMessage(new Uint8Array(300).fill(7));
    const [message] = decoded(read);
    if (!(message instanceof Uint8Array)) throw new Error("Not binary");
    expect(message.buffer === read.buffer).toBe(true);
    expect(message.byteOffset).toBe(read.byteOffset + 4);
  });

  test("keeps a byte order mark and the replacement character", () => {
    expect(decoded(serverFrame(1, "\uFEFFa\uFFFD"))).toEqual(["\uFEFFa\uFFFD"]);
  });

  test.each([
    ["masked", [0x81, 0x80, 0, 0, 0, 0], 1002],
    ["compressed", [0xc1, 0], 1002],
    ["with the second reserved bit", [0xa1, 0], 1002],
    ["with the third reserved bit", [0x91, 0], 1002],
    ["of a reserved data opcode", [0x83, 0], 1002],
    ["of a reserved control opcode", [0x8b, 0], 1002],
    ["a continuation of nothing", [0x80, 0], 1002],
    ["a fragmented ping", [0x09, 0], 1002],
    ["a ping of 126 bytes", [0x89, 126], 1002],
    ["a beginning inside a message", [0x01, 0, 0x81, 0], 1002],
    ["a 16-bit length of 125", [0x82, 126, 0, 125], 1002],
    ["a 64-bit length of 65535", [0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 1002],
    ["a 64-bit length with its first bit set", [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002],
    ["a length beyond what a number holds", [0x82, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0], 1009],
    ["one byte over the limit", [0x82, 101], 1009],
    ["over the limit with its fragments", [0x02, 60, ...new Uint8Array(60), 0x80, 41], 1009],
    ["invalid UTF-8", [0x81, 2, 0xc3, 0x28], 1007],
    ["a surrogate in UTF-8", [0x81, 3, 0xed, 0xa0, 0x80], 1007],
    ["text that ends inside a character", [0x01, 1, 0xe2, 0x80, 1, 0x82], 1007],
    ["a close with half a code", [0x88, 1, 3], 1002],
    ["a close with 1005", [0x88, 2, 3, 0xed], 1002],
    ["a close with 999", [0x88, 2, 3, 0xe7], 1002],
    ["a close with 5000", [0x88, 2, 0x13, 0x88], 1002],
    ["a close with an invalid reason", [0x88, 3, 3, 0xe8, 0xff], 1007],
  ])("refuses a frame that is %s", (_title, bytes, code) => {
    expect(() => decoded(Uint8Array.from(bytes), 100)).toThrow(expect.objectContaining({ code }));
  });

  test("returns nothing after a close frame", () => {
    const bytes = Buffer.concat([serverClose(1000, "bye"), serverMessage("more")]);
    expect(decoded(bytes)).toEqual([{ kind: "close", code: 1000, reason: "bye" }]);
  });

  test("takes memory for what has arrived, not for what is announced", () => {
    const before = process.memoryUsage().arrayBuffers;
    const decoder = new FrameDecoder(0);
    decoder.push(Uint8Array.from([0x82, 127, 0, 0, 0, 0x40, 0, 0, 0, 0, 1, 2, 3]));
    expect(decoder.next()).toBeNull();
    decoder.keep();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
  });

  test("reports the payload bytes of a text", () => {
    const decoder = new FrameDecoder(0);
    decoder.push(serverMessage("€"));
    decoder.next();
    expect(decoder.messageBytes).toBe(3);
  });
});

test.each([
  [999, false],
  [1000, true],
  [1003, true],
  [1004, false],
  [1005, false],
  [1006, false],
  [1007, true],
  [1014, true],
  [1015, false],
  [2999, false],
  [3000, true],
  [4999, true],
  [5000, false],
])("isWireCloseCode(%d) is %p", (code, allowed) => {
  expect(isWireCloseCode(code)).toBe(allowed);
});
