import { expect, test } from "bun:test";

import { decodeEvent, encodeEvent, readBatches, storeBatch } from "../../src/store/shipment.ts";
import { RecordEncoder, type RecordKind } from "../../src/store/spool_record.ts";
import { MemoryUsageStore } from "../support/memory_usage_store.ts";
import { usageEvent } from "../support/usage_event.ts";

const encoder = new RecordEncoder();

function bytesOf(kinds: readonly RecordKind[]): Uint8Array {
  const records = kinds.map((kind, number) => {
    return encoder.encode(kind, encodeEvent(usageEvent(number))).slice();
  });
  return Buffer.concat(records);
}

test("decodeEvent() gives back what encodeEvent() was given", () => {
  const event = usageEvent(1, { details: { warmup: true }, model: "a\0\u{1f600}" });
  expect(decodeEvent(encodeEvent(event))).toEqual(event);
});

test("encodeEvent() cuts the texts of an event that is too long, and nothing else", () => {
  const event = usageEvent(1, { model: "m".repeat(100_000), details: { speed: "s".repeat(600) } });
  const cut = decodeEvent(encodeEvent(event));
  expect(cut).toEqual({ ...event, model: "m".repeat(512), details: { speed: "s".repeat(512) } });
});

test("readBatches() makes batches of at most so many events, and covers all bytes", () => {
  const bytes = bytesOf(["open", "close", "close", "complete", "open", "close", "open"]);
  const batches = [...readBatches(bytes, 2, false)];
  expect(batches.map((batch) => [batch.closed.length, batch.completed.length])).toEqual([
    [2, 0],
    [1, 1],
    [0, 0],
  ]);
  expect(batches.at(-1)?.end).toBe(bytes.length);
  expect(batches.flatMap((batch) => batch.opened)).toEqual([]);
  const withOpened = [...readBatches(bytes, 3, true)];
  expect(withOpened.map((batch) => batch.opened.length)).toEqual([1, 1, 1]);
  expect([...readBatches(new Uint8Array(), 3, true)]).toEqual([]);
});

test("storeBatch() inserts a completion whose turn the store does not have", async () => {
  const store = new MemoryUsageStore();
  const pending = usageEvent(1, { status: "pending" });
  const completed = [usageEvent(1), usageEvent(2)];
  const passed: string[] = [];
  await storeBatch(store, { closed: [pending], completed }, (name) => void passed.push(name));
  expect([...store.rows.values()].map((row) => row.status)).toEqual(["completed", "completed"]);
  expect(passed).toEqual(["before_commit", "after_commit"]);
});
