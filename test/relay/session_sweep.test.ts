import { expect, test } from "bun:test";

import { SessionSweep, SWEEP_INTERVAL_MS } from "../../src/relay/session_sweep.ts";
import { FakeClock } from "../support/fake_clock.ts";

test("SessionSweep ticks its members with one timer, which ends with the last of them", () => {
  const clock = new FakeClock();
  const sweep = new SessionSweep(clock);
  const ticks: string[] = [];
  const a = { tick: (nowMs: number) => void ticks.push(`a${nowMs}`) };
  const b = {
    tick(nowMs: number) {
      ticks.push(`b${nowMs}`);
      sweep.remove(b);
    },
  };
  sweep.add(a);
  sweep.add(b);
  expect(clock.pendingTimers).toBe(1);
  clock.advance(2 * SWEEP_INTERVAL_MS);
  expect(ticks).toEqual(["a250", "b250", "a500"]);
  sweep.remove(a);
  expect(clock.pendingTimers).toBe(0);
});
