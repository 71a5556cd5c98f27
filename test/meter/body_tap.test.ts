import { describe, expect, test } from "bun:test";
import { OpaqueReader } from "../../src/meter/body_reader.ts";
import { Feed, LengthTap, LookAheadTap, StreamTap, after } from "../../src/meter/body_tap.ts";
import { BodyTurn } from "../../src/meter/body_turn.ts";
import { MeterWorld } from "../support/meter_world.ts";

const [A, B] = [Uint8Array.of(1, 2), Uint8Array.of(3)];

function open() {
  const world = new MeterWorld();
  const turn = new BodyTurn(world.body("none", null));
  return { closed: world.ledger.closed, feed: new Feed(turn, new OpaqueReader(turn), null) };
}

describe("StreamTap", () => {
  test("forwards each chunk at once and ends with the body", () => {
    const { feed, closed } = open();
    const tap = new StreamTap(feed);
    expect([tap.chunk(A), tap.chunk(B), tap.end()]).toEqual([A, B, null]);
    expect(closed.map((row) => row.bytes_down)).toEqual([3]);
  });
});

describe("LengthTap", () => {
  test("ends with the last byte announced, and passes what comes beyond it", () => {
    const { feed, closed } = open();
    const tap = new LengthTap(feed, 2);
    expect(tap.chunk(A)).toBe(A);
    expect(closed.length).toBe(1);
    expect(tap.chunk(B)).toBe(B);
    expect(tap.end()).toBeNull();
    expect(closed.length).toBe(1);
  });

  test("ends a body that is shorter than announced", () => {
    const { feed, closed } = open();
    const tap = new LengthTap(feed, 9);
    expect([tap.chunk(A), tap.end()]).toEqual([A, null]);
    expect(closed.length).toBe(1);
  });
});

describe("LookAheadTap", () => {
  test("is one chunk behind", () => {
    const { feed, closed } = open();
    const tap = new LookAheadTap(feed);
    expect([tap.chunk(A), tap.chunk(B)]).toEqual([null, A]);
    expect(closed.length).toBe(0);
    expect(tap.end()).toBe(B);
    expect(closed.length).toBe(1);
  });

  test("abort() drops what it holds", () => {
    const { feed, closed } = open();
    const tap = new LookAheadTap(feed);
    void tap.chunk(A);
    tap.abort();
    expect(closed.map((row) => row.status)).toEqual(["interrupted"]);
  });
});

describe("after()", () => {
  test("gives the value at once where there is nothing to wait for", async () => {
    expect(after(undefined, 1)).toBe(1);
    expect(await after(Promise.resolve(), 1)).toBe(1);
  });
});
