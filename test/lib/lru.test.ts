import { describe, expect, test } from "bun:test";
import { Lru } from "../../src/lib/lru.ts";
import { Prng } from "../support/prng.ts";

describe("Lru", () => {
  test("set() drops the entry used longest ago, and get() counts as use", () => {
    const lru = new Lru<string, number>(2);
    lru.set("a", 1);
    lru.set("b", 2);
    expect(lru.get("a")).toBe(1);
    lru.set("c", 3);
    expect([lru.get("a"), lru.get("b"), lru.get("c"), lru.size]).toEqual([1, undefined, 3, 2]);
    expect([...lru.values()]).toEqual([1, 3]);
  });

  test("set() replaces a value without growing", () => {
    const lru = new Lru<string, number>(2);
    lru.set("a", 1);
    lru.set("a", 2);
    expect([lru.get("a"), lru.size]).toEqual([2, 1]);
  });

  test("delete() and clear() forget", () => {
    const lru = new Lru<string, number>(2);
    lru.set("a", 1);
    expect([lru.delete("a"), lru.delete("a"), lru.get("a")]).toEqual([true, false, undefined]);
    lru.set("b", 1);
    lru.clear();
    expect(lru.size).toBe(0);
  });

  test("never holds more than its limit, and always what was used last", () => {
    const prng = new Prng(7);
    const lru = new Lru<number, number>(16);
    const recent: number[] = [];
    for (let step = 0; step < 5000; step++) {
      const key = prng.int(0, 40);
      if (prng.next() < 0.5) lru.set(key, key);
      else if (lru.get(key) === undefined) continue;
      recent.splice(0, recent.length, key, ...recent.filter((one) => one !== key));
      expect(lru.size).toBeLessThanOrEqual(16);
      for (const one of recent.slice(0, 16).toReversed()) expect(lru.get(one)).toBe(one);
    }
  });

  test.each([0, -1, 1.5, Number.NaN])("refuses a limit of %p", (limit) => {
    expect(() => new Lru(limit)).toThrow("the limit must be 1 or more");
  });
});
