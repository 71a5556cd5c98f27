import { describe, expect, test } from "bun:test";
import { brotliCompressSync, gzipSync } from "node:zlib";

import type { UsageEvent } from "../../src/exchange.ts";
import { createBackgroundTap } from "../../src/meter/background.ts";
import { usageEvent } from "../support/usage_event.ts";

const DONE = JSON.stringify({
  id: "resp_1",
  status: "completed",
  model: "gpt-5.5-2026-04-23",
  usage: { input_tokens: 11, output_tokens: 7, total_tokens: 18 },
});

/** Lets a body go by and returns what came out and what was completed. */
async function watch(chunks: readonly Uint8Array[], contentEncoding: string | null = null) {
  const row = usageEvent(1, { status: "pending", response_id: "resp_1", input_tokens: null });
  const completed: UsageEvent[] = [];
  const looked = Promise.withResolvers<void>();
  const tap = createBackgroundTap({
    pending: {
      find: async (_provider, responseId) => {
        queueMicrotask(() => looked.resolve());
        return responseId === row.response_id ? row : null;
      },
      complete: (event) => void completed.push(event),
    },
    provider: row.provider,
    responseId: "resp_1",
    contentEncoding,
    bodyBytesMax: 10_000,
  });
  const out = chunks.map((chunk) => tap.chunk(chunk));
  const rest = tap.end();
  return { out, rest, completed, looked: looked.promise, row };
}

const bytes = (text: string) => new TextEncoder().encode(text);

describe("createBackgroundTap()", () => {
  test("hands on the very chunks and completes the pending row", async () => {
    const chunks = [bytes(DONE.slice(0, 20)), bytes(DONE.slice(20))];
    const { out, rest, completed, looked, row } = await watch(chunks);
    expect([...out, rest]).toEqual([...chunks, null]);
    expect(out[0]).toBe(chunks[0] as never);
    await looked;
    expect(completed).toHaveLength(1);
    expect(completed[0]).toMatchObject({
      event_id: row.event_id,
      status: "completed",
      usage_source: "upstream",
      input_tokens: 11,
      output_tokens: 7,
    });
  });

  test.each([
    ["gzip", gzipSync(DONE)],
    ["br", brotliCompressSync(DONE)],
  ])("reads an answer that is encoded with %s", async (encoding, body) => {
    const { completed, looked } = await watch([new Uint8Array(body)], encoding);
    await looked;
    expect(completed[0]).toMatchObject({ input_tokens: 11 });
  });

  test("leaves the row alone while the turn still runs", async () => {
    const { completed, looked } = await watch([bytes('{"id":"resp_1","status":"in_progress"}')]);
    await looked;
    expect(completed).toEqual([]);
  });
});
