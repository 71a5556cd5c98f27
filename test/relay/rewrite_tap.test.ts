/** Whatever the chunks: the same bytes come out, changed where they are to be. */

import { describe, expect, test } from "bun:test";

import type { BodyTap } from "../../src/exchange.ts";
import { type AnswerShape, RewriteTap } from "../../src/relay/rewrite_tap.ts";

/** Lets everything through, one chunk behind where it is asked to be. */
class Through implements BodyTap {
  aborted = false;
  #held: Uint8Array | null = null;
  readonly #isLate: boolean;

  constructor(isLate: boolean) {
    this.#isLate = isLate;
  }

  chunk(bytes: Uint8Array): Uint8Array | null | Promise<Uint8Array | null> {
    if (!this.#isLate) return bytes;
    const due = this.#held;
    this.#held = bytes;
    return Promise.resolve(due);
  }

  end(): Uint8Array | null | Promise<Uint8Array | null> {
    return this.#isLate ? Promise.resolve(this.#held) : null;
  }

  abort(): void {
    this.aborted = true;
  }
}

const rewrite = (json: string) => json.replaceAll('"old"', '"renamed"');

async function pass(
  shape: AnswerShape,
  chunks: readonly Uint8Array[],
  { isLate = false, bytesMax = 1_000 } = {},
): Promise<string[]> {
  const tap = new RewriteTap(new Through(isLate), shape, rewrite, bytesMax);
  const out: string[] = [];
  const take = (bytes: Uint8Array | null) => {
    if (bytes !== null) out.push(new TextDecoder("latin1").decode(bytes));
  };
  for (const chunk of chunks) take(await tap.chunk(chunk));
  take(await tap.end());
  return out;
}

const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const utf8AsLatin1 = (text: string) =>
  new TextDecoder("latin1").decode(new TextEncoder().encode(text));

const CASES: readonly (readonly [AnswerShape, string])[] = [
  [
    "events",
    'event: a\ndata: {"m":"old","t":"ü"}\n\n: old\ndata:{"m":"old"}\r\n\r\ndata: [DONE]\n\n',
  ],
  ["events", 'data: {"m":"old"}'],
  ["array", '[{"m":"old","t":"ü{\\""}\r\n,\n{"n":[{"m":"old"}]}] \n'],
  ["array", '{"m":"old"}'],
  ["body", '{"t":"ü", "m":"old"}\n'],
];

describe.each(CASES)("RewriteTap of %s %j", (shape, plain) => {
  const text = utf8AsLatin1(plain);
  const isUntouched = shape === "array" && !plain.startsWith("[");
  const changed =
    shape === "events" ? text.replace(/(data: ?.*)"old"/g, '$1"renamed"') : rewrite(text);
  const expected = isUntouched ? text : changed;

  test("gives the same however it is split", async () => {
    for (let at = 0; at <= text.length; at++) {
      const chunks = [latin1(text.slice(0, at)), latin1(text.slice(at))];
      expect((await pass(shape, chunks)).join("")).toBe(expected);
      expect((await pass(shape, chunks, { isLate: true })).join("")).toBe(expected);
    }
    const bytes = [...text].map(latin1);
    expect((await pass(shape, bytes)).join("")).toBe(expected);
  });

  test("lets through as it is what is larger than it may hold", async () => {
    const bytes = [...text].map(latin1);
    expect((await pass(shape, bytes, { bytesMax: 3 })).join("")).toBe(text);
  });
});

test("RewriteTap hands on each event of a stream when it is complete", async () => {
  const chunks = ['data: {"m":"old"}\n\nda', 'ta: {"m":1}\n\n'].map(latin1);
  expect(await pass("events", chunks)).toEqual(['data: {"m":"renamed"}\n\n', 'data: {"m":1}\n\n']);
  const objects = ['[{"m":"old"}', ',{"m":1', "}]"].map(latin1);
  expect(await pass("array", objects)).toEqual(['[{"m":"renamed"}', ",", '{"m":1}]']);
});

test("RewriteTap leaves bytes that are no text as they came", async () => {
  const [broken] = await pass("body", [latin1('\xff"old"')]);
  expect(broken).toBe('\xff"old"');
  const lines = ['data: {"t":"\xff","m":"old"}\n', ": \xff\n", 'data: {"m":"old"}\n'];
  const [events] = await pass("events", [latin1(lines.join(""))]);
  expect(events).toBe(lines.join("").replace('{"m":"old"}', '{"m":"renamed"}'));
});

test.each(["events", "array", "body"] as const)(
  "RewriteTap of %s takes time for each byte once, however small the chunks are",
  async (shape) => {
    const chunks = Array.from({ length: 100_000 }, () => latin1("x".repeat(50)));
    const [start, end] = shape === "array" ? ['[{"t":"', '","m":"old"}]'] : ["data: ", '"old"'];
    const startMs = performance.now();
    const all = [latin1(start), ...chunks, latin1(end)];
    const out = await pass(shape, all, { bytesMax: 10_000_000 });
    expect(out.join("")).toEndWith(end.replace("old", "renamed"));
    expect(performance.now() - startMs).toBeLessThan(2_000);
  },
);

test("RewriteTap tells the tap before it of a cut", () => {
  const inner = new Through(false);
  new RewriteTap(inner, "body", rewrite, 10).abort();
  expect(inner.aborted).toBe(true);
});
