import { describe, expect, test } from "bun:test";
import { createBodyMeter } from "../../src/meter/body_meter.ts";
import type { AnswerHead } from "../../src/meter/body_meter.ts";
import { CONTEXT, MeterWorld } from "../support/meter_world.ts";

const CHUNK =
  '{"id":"c1","model":"m","service_tier":"flex",' +
  '"choices":[{"delta":{"content":"a"}}],"usage":null}';
const USAGE =
  '{"id":"c1","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}';
const utf8 = new TextEncoder();

function streams(end: string): { sent: string; wanted: string } {
  const blank = end + end;
  const before = `: hello${blank}data: ${CHUNK}${blank}data: ${CHUNK}${blank}`;
  const after = `data: [DONE]${blank}`;
  return { sent: `${before}data: ${USAGE}${blank}${after}`, wanted: before + after };
}

const HEAD: AnswerHead = {
  context: CONTEXT,
  httpStatus: 200,
  serviceTier: null,
  contentType: "text/event-stream",
  contentEncoding: null,
  contentLength: null,
  usageInjected: true,
};

function strip(chunks: readonly Uint8Array[]) {
  const world = new MeterWorld();
  const meter = createBodyMeter(world.body("openai_chat", null));
  const tap = meter.answered(HEAD);
  const out: (Uint8Array | null)[] = [];
  for (const result of [...chunks.map((chunk) => tap.chunk(chunk)), tap.end()]) {
    if (result instanceof Promise) throw new Error("Nothing had to be waited for");
    out.push(result);
  }
  const text = out.map((part) => new TextDecoder().decode(part ?? new Uint8Array(0))).join("");
  return { world, text, out };
}

describe("UsageStripTap", () => {
  test.each([["\n"], ["\r\n"], ["\r"]])(
    "takes the usage chunk out and nothing else, at every split in three, lines ending in %j",
    (end) => {
      const { sent, wanted } = streams(end);
      const bytes = utf8.encode(sent);
      for (let at = 0; at <= bytes.length; at++) {
        for (const width of [0, 1, 2, 40]) {
          const next = Math.min(at + width, bytes.length);
          const parts = [bytes.subarray(0, at), bytes.subarray(at, next), bytes.subarray(next)];
          const { text, world } = strip(parts);
          if (text !== wanted) throw new Error(`Split at ${at} and ${next} gave ${text}`);
          expect(world.ledger.closed.map((row) => row.input_tokens)).toEqual([3]);
        }
      }
    },
  );

  test.each([["\n"], ["\r\n"], ["\r"]])(
    "takes out every usage chunk where several come in one read, lines ending in %j",
    (end) => {
      const { sent, wanted } = streams(end);
      const usage = `data: ${USAGE}${end}${end}`;
      const twice = utf8.encode(usage + sent.replace(usage, usage + usage) + usage);
      for (let at = 0; at <= twice.length; at++) {
        expect(strip([twice.subarray(0, at), twice.subarray(at)]).text).toBe(wanted);
      }
    },
  );

  test("reads a usage chunk whose blank line did not come before the client left", () => {
    const world = new MeterWorld();
    const meter = createBodyMeter(world.body("openai_chat", null));
    const tap = meter.answered(HEAD);
    void tap.chunk(utf8.encode(`data: ${CHUNK}\n\ndata: ${USAGE}\n`));
    tap.abort();
    expect(world.ledger.closed).toMatchObject([{ status: "completed", output_tokens: 2 }]);
  });

  test("passes a stream that came byte by byte", () => {
    const { sent, wanted } = streams("\r\n");
    const bytes = Array.from(utf8.encode(sent), (byte) => Uint8Array.of(byte));
    expect(strip(bytes).text).toBe(wanted);
  });

  test("forwards the very view where nothing is cut", () => {
    const chunk = utf8.encode(`data: ${CHUNK}\n\n`);
    expect(strip([chunk]).out[0]?.buffer).toBe(chunk.buffer);
  });

  test("does not hold a comment that is a whole event", () => {
    const comment = utf8.encode(": keep-alive\n\n");
    expect(strip([comment]).out[0]).toEqual(comment);
  });

  test("keeps a chunk whose usage is null and has no choices, as Azure's first one", () => {
    const azure = 'data: {"choices":[],"prompt_filter_results":[],"usage":null}\n\n';
    expect(strip([utf8.encode(azure)]).text).toBe(azure);
  });

  test("gives what it holds when the stream ends inside an event", () => {
    const cut = `data: ${CHUNK}\n\ndata: {"cho`;
    const { text, world } = strip([utf8.encode(cut)]);
    expect(text).toBe(cut);
    expect(world.ledger.closed.map((row) => row.status)).toEqual(["interrupted"]);
  });

  test("takes the usage chunk out of a stream that ends without a blank line", () => {
    const { text, world } = strip([utf8.encode(`data: ${CHUNK}\n\ndata: ${USAGE}`)]);
    expect(text).toBe(`data: ${CHUNK}\n\n`);
    expect(world.ledger.closed.map((row) => row.output_tokens)).toEqual([2]);
  });
});
