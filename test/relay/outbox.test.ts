import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";

import { Outbox, type OutboxTarget } from "../../src/relay/outbox.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { readClientFrames } from "../support/reference_codec.ts";

class Target implements OutboxTarget {
  readonly writes: string[][] = [];
  readonly shared: boolean[] = [];

  writeFrames(bytes: Uint8Array, shared: boolean): void {
    const { frames, used } = readClientFrames(Buffer.from(bytes));
    expect(used).toBe(bytes.length);
    this.writes.push(frames.map(({ payload }) => payload.toString()));
    this.shared.push(shared);
  }
}

function world() {
  const clock = new FakeClock();
  return { clock, outbox: new Outbox(clock), target: new Target(), other: new Target() };
}

describe("Outbox", () => {
  test("writes the frames of one read together, once the read is over", () => {
    const { clock, outbox, target } = world();
    for (const text of ["a", "b", "c"]) outbox.append(target, 1, text);
    expect(target.writes).toEqual([]);
    clock.flushSoon();
    expect(target.writes).toEqual([["a", "b", "c"]]);
  });

  test("writes one target's frames before it collects another's", () => {
    const { clock, outbox, target, other } = world();
    outbox.append(target, 1, "a");
    outbox.append(other, 1, "x");
    expect(target.writes).toEqual([["a"]]);
    outbox.append(target, 1, "b");
    expect(other.writes).toEqual([["x"]]);
    clock.flushSoon();
    expect(target.writes).toEqual([["a"], ["b"]]);
  });

  test("writes at once what has come to 64 KiB, and large frames on their own, in order", () => {
    const { outbox, target, clock } = world();
    outbox.append(target, 1, "first");
    outbox.append(target, 1, "L".repeat(100_000));
    outbox.append(target, 1, "last");
    expect(target.writes.map((write) => write.map((text) => text.length))).toEqual([
      [5],
      [100_000],
    ]);
    expect(target.shared).toEqual([true, false]);
    clock.flushSoon();
    expect(target.writes.at(-1)).toEqual(["last"]);
    for (let i = 0; i < 20; i++) outbox.append(target, 1, "m".repeat(4096));
    expect(target.writes.length).toBe(4);
  });

  test("returns the payload's size in bytes, and flush() writes for its target only", () => {
    const { outbox, target, other } = world();
    expect(outbox.append(target, 1, "€")).toBe(3);
    outbox.flush(other);
    expect(target.writes).toEqual([]);
    outbox.flush(target);
    expect(target.writes).toEqual([["€"]]);
  });
});
