import { describe, expect, test } from "bun:test";
import { pageOf, parseLimit } from "../../src/admin/page.ts";
import { Prng } from "../support/prng.ts";

interface Entry {
  readonly timeMs: number;
  readonly id: string;
}

function walk(entries: readonly Entry[], limit: number, onPage: () => void = () => {}): string[] {
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = pageOf(entries, (entry) => entry, limit, cursor);
    expect(page.entries.length).toBeLessThanOrEqual(limit);
    seen.push(...page.entries.map(({ id }) => id));
    cursor = page.nextCursor ?? undefined;
    onPage();
  } while (cursor !== undefined);
  return seen;
}

describe("pageOf()", () => {
  test("walks every entry exactly once, newest first, ties by id", () => {
    const prng = new Prng(11);
    const entries = Array.from({ length: 57 }, (_, index) => ({
      timeMs: prng.int(1, 9),
      id: `id.${index}`,
    }));
    for (const limit of [1, 2, 7, 56, 57, 58]) {
      const seen = walk(entries, limit);
      expect(new Set(seen).size).toBe(57);
      const times = seen.map((id) => entries.find((entry) => entry.id === id)?.timeMs ?? 0);
      expect(times).toEqual(times.toSorted((left, right) => right - left));
    }
  });

  test("shows what stays once, though newer entries come and the cursor's own goes", () => {
    const entries = [3, 2, 1].map((timeMs) => ({ timeMs, id: `e${timeMs}` }));
    let pages = 0;
    const seen = walk(entries, 1, () => {
      pages += 1;
      entries.push({ timeMs: 100 + pages, id: `new${pages}` });
      if (pages === 1) entries.splice(0, 1);
    });
    expect(seen).toEqual(["e3", "e2", "e1"]);
  });

  test("is empty without a cursor for an empty list", () => {
    expect(pageOf([], () => ({ timeMs: 0, id: "" }), 5, undefined)).toEqual({
      entries: [],
      nextCursor: null,
    });
  });

  test.each(["", "x", "1", ".", "1.", ".a", "-1.a", `1.${"a".repeat(301)}`])(
    "refuses the cursor %p",
    (cursor) => {
      expect(() => pageOf([], () => ({ timeMs: 0, id: "" }), 5, cursor)).toThrow('"cursor"');
    },
  );
});

describe("parseLimit()", () => {
  test("takes 1 to 1000, and the default where there is none", () => {
    expect([parseLimit(undefined, 100), parseLimit("1", 9), parseLimit("1000", 9)]).toEqual([
      100, 1, 1000,
    ]);
  });
});
