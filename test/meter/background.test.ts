import { describe, expect, test } from "bun:test";
import { brotliCompressSync, gzipSync } from "node:zlib";

import type { UsageEvent } from "../../src/exchange.ts";
import { createBackgroundTap } from "../../src/meter/background.ts";
import type { BackgroundTapOptions } from "../../src/meter/background.ts";
import { usageEvent } from "../support/usage_event.ts";

const RESPONSE = {
  id: "resp_1",
  status: "completed",
  model: "gpt-5.5-2026-04-23",
  usage: { input_tokens: 11, output_tokens: 7, total_tokens: 18 },
};
const DONE = JSON.stringify(RESPONSE);
const EVENTS = [
  { type: "response.created", response: { id: "resp_1", status: "queued", background: true } },
  { type: "response.output_text.delta", delta: "x" },
  { type: "response.completed", response: RESPONSE },
]
  .map((event) => `data: ${JSON.stringify(event)}\n\n`)
  .join("");

const bytes = (text: string) => new TextEncoder().encode(text);

function watch(more: Partial<BackgroundTapOptions> = {}) {
  const row = usageEvent(1, { status: "pending", response_id: "resp_1", input_tokens: null });
  const completed: UsageEvent[] = [];
  const found = Promise.withResolvers<void>();
  const tap = createBackgroundTap({
    pending: {
      find: (_, responseId) => Promise.resolve(responseId === row.response_id ? row : null),
      complete(event) {
        completed.push(event);
        found.resolve();
      },
    },
    provider: row.provider,
    responseId: "resp_1",
    contentType: "application/json",
    contentEncoding: null,
    contentLength: null,
    bodyBytesMax: 10_000,
    ...more,
  });
  if (tap === null) throw new Error("The answer can be read");
  return { tap, completed, row, found: found.promise };
}

/** What would have happened by now. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

const SSE = { contentType: "text/event-stream; charset=utf-8" };
const WANTED = { status: "completed", usage_source: "upstream", input_tokens: 11 };

describe("createBackgroundTap()", () => {
  test("hands on the very chunks and completes the pending row", async () => {
    const chunks = [bytes(DONE.slice(0, 20)), bytes(DONE.slice(20))];
    const { tap, completed, row } = watch();
    for (const chunk of chunks) expect(tap.chunk(chunk)).toBe(chunk);
    expect(tap.end()).toBeNull();
    await settled();
    expect(completed).toMatchObject([{ ...WANTED, event_id: row.event_id, output_tokens: 7 }]);
  });

  test("completes the row with the terminal event of a replay, before it ends", async () => {
    const { tap, completed } = watch(SSE);
    for (const byte of bytes(EVENTS)) void tap.chunk(Uint8Array.of(byte));
    await settled();
    expect(completed).toMatchObject([WANTED]);
    void tap.end();
    await settled();
    expect(completed).toHaveLength(1);
  });

  test("completes the row with the last byte of a known length", async () => {
    const { tap, completed } = watch({ contentLength: DONE.length });
    void tap.chunk(bytes(DONE));
    await settled();
    expect(completed).toMatchObject([WANTED]);
    tap.abort();
    await settled();
    expect(completed).toHaveLength(1);
  });

  test("completes the row with what was read when the client leaves", async () => {
    for (const [more, text] of [
      [{}, DONE],
      [SSE, EVENTS.slice(0, -1)],
    ] as const) {
      const { tap, completed } = watch(more);
      void tap.chunk(bytes(text));
      tap.abort();
      await settled();
      expect(completed).toMatchObject([WANTED]);
    }
  });

  test.each([
    ["gzip", gzipSync, DONE, {}],
    ["br", brotliCompressSync, DONE, {}],
    ["gzip", gzipSync, EVENTS, SSE],
  ] as const)("reads an answer that is encoded with %s", async (encoding, encode, text, more) => {
    const body = new Uint8Array(encode(text));
    const { tap, completed, found } = watch({
      ...more,
      contentEncoding: encoding,
      contentLength: body.length,
    });
    expect(await tap.chunk(body)).toBe(body);
    await found;
    expect(completed).toMatchObject([WANTED]);
    expect(await tap.end()).toBeNull();
  });

  test("reads an answer of any size", async () => {
    const { tap, completed } = watch();
    void tap.chunk(bytes(`{"output":["${"x".repeat(1 << 20)}"],${DONE.slice(1)}`));
    void tap.end();
    await settled();
    expect(completed).toMatchObject([WANTED]);
  });

  test.each([
    ["still runs", '{"id":"resp_1","status":"in_progress"}'],
    ["is another one", '{"id":"resp_2","status":"completed"}'],
    ["is no JSON", "resp_1"],
  ])("leaves the row alone while the response %s", async (_, text) => {
    const { tap, completed } = watch();
    void tap.chunk(bytes(text));
    void tap.end();
    await settled();
    expect(completed).toEqual([]);
  });

  test("leaves the row for the next look when it cannot be found or kept", async () => {
    const find = () => Promise.reject(new Error("away"));
    const { tap } = watch({ pending: { find, complete: () => undefined } });
    void tap.chunk(bytes(DONE));
    expect(tap.end()).toBeNull();
    await settled();
  });

  test("is null for an answer that nobody can read", () => {
    for (const more of [{ contentType: "text/html" }, { contentEncoding: "compress" }]) {
      expect(() => watch(more)).toThrow("can be read");
    }
  });
});
