import { describe, expect, test } from "bun:test";

import { asBuffer, ByteQueue, joined, joinedCopy } from "../../src/lib/bytes.ts";

describe("ByteQueue", () => {
  test("gives back the pushed bytes in order, whatever the sizes dropped", () => {
    const queue = new ByteQueue();
    const pushed: number[] = [];
    const seen: number[] = [];
    for (let i = 0; i < 500; i++) {
      const view = Uint8Array.from({ length: i % 5 }, (_, at) => (i + at) % 256);
      pushed.push(...view);
      queue.push(view);
      const head = queue.peek();
      if (head === null || i % 3 === 0) continue;
      const count = Math.min(head.length, 1 + (i % 4));
      seen.push(...head.subarray(0, count));
      queue.drop(count);
    }
    expect(queue.size).toBe(pushed.length - seen.length);
    for (let head = queue.peek(); head !== null; head = queue.peek()) {
      seen.push(...head);
      queue.drop(head.length);
    }
    expect(seen).toEqual(pushed);
    expect(queue.size).toBe(0);
  });

  test("refuses to drop what was not seen", () => {
    const queue = new ByteQueue();
    expect(() => queue.drop(1)).toThrow(RangeError);
    queue.push(new Uint8Array(2));
    expect(() => queue.drop(3)).toThrow(RangeError);
  });
});

describe("joined()", () => {
  test("gives all parts in order", () => {
    const parts = [Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3), Uint8Array.of(4, 5)];
    expect(joined(parts)).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
    expect(joined([])).toEqual(new Uint8Array(0));
  });

  test("copies nothing where one part holds everything", () => {
    const only = Uint8Array.of(1, 2, 3).subarray(1);
    expect(joined([new Uint8Array(0), only, new Uint8Array(0)])).toBe(only);
  });
});

describe("joinedCopy()", () => {
  test("gives the parts in order, and shares memory with none of them", () => {
    const only = Uint8Array.of(1, 2);
    const copy = joinedCopy([only]);
    only.fill(9);
    expect(copy).toEqual(Uint8Array.of(1, 2));
    expect(joinedCopy([Uint8Array.of(3), only])).toEqual(Uint8Array.of(3, 9, 9));
  });
});

describe("asBuffer()", () => {
  test("shows the bytes of a view, and only those, without a copy", () => {
    const whole = Uint8Array.of(1, 2, 3, 4);
    const buffer = asBuffer(whole.subarray(1, 3));
    whole[1] = 9;
    expect([...buffer]).toEqual([9, 3]);
  });

  test("leaves a Buffer as it is", () => {
    const buffer = Buffer.from("ab");
    expect(asBuffer(buffer)).toBe(buffer);
  });
});
