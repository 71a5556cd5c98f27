import { describe, expect, test } from "bun:test";
import { JsonArraySplitter } from "../../src/provider/json_array.ts";

const utf8 = new TextEncoder();
const OBJECTS = ['{"a":[1,{"b":"]}"}],"c":"\\"{é\\\\"}', "{}", '{"d":{"e":[[]]}}'];
const TEXT = ` [${OBJECTS[0]},\r\n7,${OBJECTS[1]} ,"x]",${OBJECTS[2]}\n] `;

function split(chunks: readonly Uint8Array[], bytesMax = 1000) {
  const objects: string[] = [];
  const splitter = new JsonArraySplitter((source, start, end) => {
    objects.push(new TextDecoder().decode(source.subarray(start, end)));
  }, bytesMax);
  for (const chunk of chunks) splitter.push(chunk);
  return { objects, splitter };
}

describe("JsonArraySplitter", () => {
  test("gives the same objects however the bytes are split", () => {
    const bytes = utf8.encode(TEXT);
    for (let at = 0; at <= bytes.length; at++) {
      const { objects, splitter } = split([bytes.subarray(0, at), bytes.subarray(at)]);
      expect(objects).toEqual(OBJECTS);
      expect([splitter.isArray, splitter.isOver]).toEqual([true, true]);
    }
    const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
    expect(split(single).objects).toEqual(OBJECTS);
  });

  test("gives an object as soon as it is whole, and is over with the closing bracket", () => {
    const { objects, splitter } = split([utf8.encode('[{"a":1}')]);
    expect([objects.length, splitter.isOver]).toEqual([1, false]);
    splitter.push(utf8.encode("]"));
    expect(splitter.isOver).toBe(true);
  });

  test("drops an object that is too large, and no other", () => {
    const large = `{"x":"${"y".repeat(50)}"}`;
    const bytes = utf8.encode(`[${large},{"a":1},${large},{}]`);
    for (const size of [1, 7, 1000]) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
      const { objects, splitter } = split(chunks, 20);
      expect(objects).toEqual(['{"a":1}', "{}"]);
      expect(splitter.oversizedObjects).toBe(2);
    }
  });

  test("gives nothing of what is no array", () => {
    const { objects, splitter } = split([utf8.encode('{"a":[{}]}')]);
    expect([objects, splitter.isArray, splitter.isOver]).toEqual([[], false, false]);
  });

  test("gives nothing behind the array", () => {
    expect(split([utf8.encode("[{}]"), utf8.encode('[{"a":1}]')]).objects).toEqual(["{}"]);
  });
});
