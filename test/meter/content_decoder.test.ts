import { describe, expect, test } from "bun:test";
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { ContentDecoder } from "../../src/meter/content_decoder.ts";

function open(bytesMax?: number, output: (bytes: Uint8Array) => void = () => undefined) {
  const decoder = ContentDecoder.of(" GZip ", output, bytesMax);
  if (decoder === null) throw new Error("gzip has a decoder");
  return decoder;
}

describe("ContentDecoder", () => {
  test("has put out what the bytes decode to when push() resolves", async () => {
    let text = "";
    const decoder = open(1000, (bytes) => (text += new TextDecoder().decode(bytes)));
    await decoder.push(new Uint8Array(gzipSync("hello")));
    await decoder.finish();
    expect([text, decoder.failure]).toEqual(["hello", null]);
  });

  test.each([
    ["with a zlib header", deflateSync],
    ["without one", deflateRawSync],
  ])("decodes deflate %s, however its first bytes are cut", async (_, encode) => {
    for (const step of [1, 2, 3, 1000]) {
      let text = "";
      const output = (bytes: Uint8Array) => void (text += new TextDecoder().decode(bytes));
      const decoder = ContentDecoder.of("deflate", output);
      const encoded = new Uint8Array(encode("hello, hello, hello"));
      for (let at = 0; at < encoded.length; at += step) {
        await decoder?.push(encoded.subarray(at, at + step));
      }
      await decoder?.finish();
      expect([text, decoder?.failure]).toEqual(["hello, hello, hello", null]);
    }
  });

  test("says of a body of one byte that it is cut off", async () => {
    const decoder = ContentDecoder.of("deflate", () => undefined);
    await decoder?.push(Uint8Array.of(0x78));
    await decoder?.finish();
    expect(decoder?.failure).toBe("bad_encoding");
  });

  test("puts out what a small body expands to in small pieces", async () => {
    let largest = 0;
    let total = 0;
    const decoder = open(undefined, (bytes) => {
      largest = Math.max(largest, bytes.length);
      total += bytes.length;
    });
    await decoder.push(new Uint8Array(gzipSync(new Uint8Array(50 << 20))));
    await decoder.finish();
    expect([total, decoder.failure]).toEqual([50 << 20, null]);
    expect(largest).toBeLessThanOrEqual(1 << 20);
  });

  test("stops at its limit, and takes further bytes without decoding them", async () => {
    let put = 0;
    const decoder = open(100_000, (bytes) => (put += bytes.length));
    const bomb = new Uint8Array(gzipSync(new Uint8Array(10_000_000)));
    await decoder.push(bomb);
    await decoder.push(bomb);
    await decoder.finish();
    expect(decoder.failure).toBe("body_too_large");
    expect(put).toBeLessThanOrEqual(100_000);
  });

  test("says when the data is damaged or cut off", async () => {
    const damaged = open(1000);
    await damaged.push(new TextEncoder().encode("not gzip at all"));
    await damaged.finish();
    expect(damaged.failure).toBe("bad_encoding");
    const cut = open(1000);
    await cut.push(new Uint8Array(gzipSync("hello")).subarray(0, 12));
    await cut.finish();
    expect(cut.failure).toBe("bad_encoding");
  });

  test("push() throws what its output threw", async () => {
    const decoder = open(1000, () => {
      throw new Error("disk full");
    });
    const pushed = decoder.push(new Uint8Array(gzipSync("hello"))).then(() => decoder.finish());
    await expect(pushed).rejects.toThrow("disk full");
  });

  test("of() has none for an encoding that it does not know", () => {
    expect(ContentDecoder.of("compress", () => undefined, 1)).toBeNull();
    expect(ContentDecoder.of("constructor", () => undefined, 1)).toBeNull();
  });
});
