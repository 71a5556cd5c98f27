import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { ContentDecoder } from "../../src/meter/content_decoder.ts";

function open(bytesMax: number, output: (bytes: Uint8Array) => void = () => undefined) {
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
