import { expect, test } from "bun:test";

import { Turns } from "../../src/store/turns.ts";
import { FakeClock } from "../support/fake_clock.ts";

function setUp(sizeMax: number) {
  const clock = new FakeClock();
  const refuse = (reason: string) => new Error(reason);
  const turns = new Turns({ sizeMax, waitMs: 1_000, clock, refuse });
  /** Has a turn until `done` is called. */
  const hold = (name: string, began: string[] = []) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const taken = turns.take(async () => {
      began.push(name);
      await promise;
      return name;
    });
    return { done: resolve, taken: taken.catch(String) };
  };
  return { clock, turns, hold };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test("take() lets as many as there is room for run, the others in order of asking", async () => {
  const { turns, hold, clock } = setUp(2);
  const began: string[] = [];
  const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => hold(name, began));
  await settled();
  expect(began).toEqual(["a", "b"]);
  b?.done();
  await settled();
  expect(began).toEqual(["a", "b", "c"]);
  for (const each of [a, c, d]) each?.done();
  expect(await d?.taken).toBe("d");
  expect(await turns.take(async () => "free")).toBe("free");
  expect(clock.pendingTimers).toBe(0);
});

test("take() refuses who waited too long, and gives the turn to who is behind", async () => {
  const { hold, clock } = setUp(1);
  const [first, late] = [hold("first"), hold("late")];
  clock.advance(500);
  const behind = hold("behind");
  clock.advance(500);
  expect(await late.taken).toBe("Error: busy");
  first.done();
  behind.done();
  expect(await behind.taken).toBe("behind");
});

test("take() gives the turn back where `run` fails", async () => {
  const { turns } = setUp(1);
  for (let round = 0; round < 3; round += 1) {
    expect(await turns.take(() => Promise.reject(new Error("no"))).catch(String)).toBe("Error: no");
  }
});

test("close() refuses who waits and who comes later, and leaves alone what runs", async () => {
  const { turns, hold } = setUp(1);
  const [running, waiting] = [hold("running"), hold("waiting")];
  turns.close();
  expect(await waiting.taken).toBe("Error: closed");
  expect(await hold("later").taken).toBe("Error: closed");
  running.done();
  expect(await running.taken).toBe("running");
});
