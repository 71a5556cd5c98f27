/** `SseSplitter` against a line-by-line reading of the standard: seeded streams, cut at random. */

import { describe, expect, test } from "bun:test";
import { SseSplitter } from "../../src/provider/sse.ts";
import { Prng } from "../support/prng.ts";

const LINES = [
  "data: one",
  "data:two",
  "data",
  "data:",
  "data:  spaced",
  ": comment",
  ":",
  "event: name",
  "id: 1",
  "retry: 10",
  "datax: no",
  "data : no",
  'data: {"a":"é😀"}',
  "",
  "",
];
const ENDS = ["\n", "\r", "\r\n"];

function stream(prng: Prng): string {
  const bom = prng.int(0, 4) === 0 ? "\ufeff" : "";
  const ends = prng.int(0, 1) === 0 ? [prng.pick(ENDS)] : ENDS;
  const lines = Array.from({ length: prng.int(0, 30) }, () => prng.pick(LINES) + prng.pick(ends));
  return bom + lines.join("");
}

/** WHATWG HTML 9.2.6, with the last event given even without its blank line. */
function reference(text: string): string[] {
  const events: string[] = [];
  let data: string[] = [];
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\n|\r/);
  for (const line of [...lines, ""]) {
    if (line === "") {
      if (data.length > 0) events.push(data.join("\n"));
      data = [];
    } else if (line === "data") data.push("");
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return events;
}

function split(chunks: readonly Uint8Array[], dataBytesMax: number) {
  const events: string[] = [];
  const splitter = new SseSplitter((source, start, end) => {
    events.push(new TextDecoder("utf-8", { ignoreBOM: true }).decode(source.subarray(start, end)));
  }, dataBytesMax);
  for (const chunk of chunks) {
    // A copy that is overwritten afterwards: nothing may be kept of the caller's bytes.
    const lent = chunk.slice();
    splitter.push(lent);
    lent.fill(0x58);
  }
  splitter.end();
  return { events, oversized: splitter.oversizedEvents };
}

function cut(prng: Prng, bytes: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const next = Math.min(bytes.length, at + prng.int(0, prng.pick([1, 3, 20])));
    chunks.push(bytes.subarray(at, next));
    at = next;
  }
  return chunks;
}

describe("SseSplitter", () => {
  test("gives the standard's events of 10,000 streams, however they are cut", () => {
    const prng = new Prng(11);
    for (let round = 0; round < 10_000; round++) {
      const text = stream(prng);
      const bytes = new TextEncoder().encode(text);
      const wanted = reference(text);
      expect(split([bytes], 1000).events).toEqual(wanted);
      expect(split(cut(prng, bytes), 1000).events).toEqual(wanted);
    }
  });

  test("drops the same oversized events, however the stream is cut", () => {
    const prng = new Prng(12);
    let dropped = 0;
    for (let round = 0; round < 5_000; round++) {
      const bytes = new TextEncoder().encode(stream(prng));
      const whole = split([bytes], 12);
      expect(split(cut(prng, bytes), 12)).toEqual(whole);
      dropped += whole.oversized;
    }
    expect(dropped).toBeGreaterThan(100);
  });
});
