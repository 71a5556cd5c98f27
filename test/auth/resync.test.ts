import { expect, test } from "bun:test";

import { startResync } from "../../src/auth/resync.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** Lets promises that are settled already be seen. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

test("startResync() reads again every interval, one reading at a time", async () => {
  const clock = new FakeClock();
  const readings: PromiseWithResolvers<void>[] = [];
  const timer = startResync({
    clock,
    intervalMs: 1_000,
    read: () => {
      const reading = Promise.withResolvers<void>();
      readings.push(reading);
      return reading.promise;
    },
    onFailure: () => {},
  });
  clock.advance(5_000);
  expect(readings).toHaveLength(1);
  readings[0]?.resolve();
  await settle();
  clock.advance(1_000);
  expect(readings).toHaveLength(2);
  timer.cancel();
  expect(clock.pendingTimers).toBe(0);
});

test("startResync() tells of an outage once, and goes on trying", async () => {
  const clock = new FakeClock();
  const failures: unknown[] = [];
  const outcomes = [false, false, true, false];
  let reads = 0;
  startResync({
    clock,
    intervalMs: 1_000,
    read: () => (outcomes[reads++] ? Promise.resolve() : Promise.reject(new Error(`${reads}`))),
    onFailure: (error) => failures.push(String(error)),
  });
  for (const _ of outcomes) {
    clock.advance(1_000);
    await settle();
  }
  expect(reads).toBe(4);
  expect(failures).toEqual(["Error: 1", "Error: 4"]);
});
