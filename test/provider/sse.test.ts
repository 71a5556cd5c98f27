import { describe, expect, test } from "bun:test";
import { SseSplitter } from "../../src/provider/sse.ts";

function events(...chunks: readonly string[]): string[] {
  const found: string[] = [];
  const splitter = new SseSplitter((source, start, end) => {
    found.push(new TextDecoder().decode(source.subarray(start, end)));
  }, 100);
  for (const chunk of chunks) splitter.push(new TextEncoder().encode(chunk));
  splitter.end();
  return found;
}

describe("SseSplitter", () => {
  test.each([
    ["data: a\n\ndata: b\n\n", ["a", "b"]],
    ["data: a\r\n\r\ndata: b\r\r", ["a", "b"]],
    ["\ufeffdata: a\n\n", ["a"]],
    [": comment\nevent: x\nid: 1\ndata: a\n\n", ["a"]],
    ["data: a\ndata: b\n\n", ["a\nb"]],
    ["data\n\n", [""]],
    ["data:  a\n\n", [" a"]],
    ["event: x\n\n", []],
    ["dat: a\ndataa: b\n\n", []],
    ["data: a", ["a"]],
  ])("reads %j", (text, wanted) => {
    expect(events(text)).toEqual(wanted);
  });

  test("gives a range of the chunk itself where the event lies in it whole", () => {
    const chunk = new TextEncoder().encode("data: a\n\n");
    const sources: Uint8Array[] = [];
    new SseSplitter((source) => sources.push(source), 100).push(chunk);
    expect(sources[0]).toBe(chunk);
  });

  test("says where in the chunk an event lies", () => {
    const places: number[][] = [];
    const splitter = new SseSplitter(() => {
      places.push([splitter.eventFrom, splitter.eventNext]);
    }, 100);
    splitter.push(new TextEncoder().encode("data: a\n\nda"));
    expect(splitter.eventFrom).toBe(9);
    splitter.push(new TextEncoder().encode("ta: b\n\n"));
    expect(places).toEqual([
      [0, 9],
      [-1, 7],
    ]);
  });

  test("drops an event beyond its limit and goes on with the next", () => {
    expect(events(`data: ${"x".repeat(200)}`, "\n\ndata: b\n\n")).toEqual(["b"]);
  });
});
