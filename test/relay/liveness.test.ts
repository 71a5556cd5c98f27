import { describe, expect, test } from "bun:test";

import { PeerWatch, uploadMsMax, UseWatch, WriteWatch } from "../../src/relay/liveness.ts";
import { NO_TIMEOUTS } from "../support/session_world.ts";

describe("PeerWatch", () => {
  test("takes a peer for dead after two pings without anything, and not before", () => {
    const peer = new PeerWatch();
    const silent = [10, 20, 30].map((nowMs) => peer.silent(false, nowMs, 0));
    expect(silent).toEqual([false, false, true]);
  });

  test("starts anew with anything that is heard, and while it cannot judge", () => {
    const peer = new PeerWatch();
    for (let i = 0; i < 5; i++) {
      peer.silent(false, i, 0);
      peer.silent(i % 2 === 0, i, 0);
      peer.heard = true;
      expect(peer.silent(false, i, 0)).toBe(false);
    }
    for (let i = 0; i < 5; i++) expect(peer.silent(true, i, 0)).toBe(false);
  });

  test("leaves a peer the time that a message may take, from the last that was heard", () => {
    const peer = new PeerWatch();
    const silent = [0, 30, 60, 90, 100, 129].map((nowMs) => peer.silent(false, nowMs, 100));
    expect(silent).toEqual([false, false, false, false, true, true]);
    peer.heard = true;
    expect([peer.silent(false, 130, 100), peer.silent(false, 229, 100)]).toEqual([false, false]);
    expect(peer.silent(false, 230, 100)).toBe(true);
  });
});

test.each([
  [64 * 1024 * 1024, 262_144],
  [4096, 16],
  [0, Number.POSITIVE_INFINITY],
])("uploadMsMax(%d) is %d", (messageBytesMax, ms) => {
  expect(uploadMsMax(messageBytesMax)).toBe(ms);
});

describe("WriteWatch", () => {
  test("counts from the last progress, and forgets with the queue", () => {
    const writes = new WriteWatch();
    expect(writes.stuck(10, 0, 100)).toBe(false);
    expect(writes.stuck(10, 99, 100)).toBe(false);
    writes.progressed = true;
    expect(writes.stuck(5, 100, 100)).toBe(false);
    expect(writes.stuck(5, 199, 100)).toBe(false);
    expect(writes.stuck(5, 200, 100)).toBe(true);
    expect(writes.stuck(0, 201, 100)).toBe(false);
    expect(writes.stuck(5, 300, 100)).toBe(false);
  });

  test("with 0 never gives up", () => {
    const writes = new WriteWatch();
    writes.stuck(1, 0, 0);
    expect(writes.stuck(1, 1e9, 0)).toBe(false);
  });
});

describe("UseWatch", () => {
  test("pingDue() is true once an interval, and never with 0", () => {
    const use = new UseWatch();
    use.look(1_000, 0);
    expect([use.pingDue(1_900, 1_000), use.pingDue(2_000, 1_000)]).toEqual([false, true]);
    expect([use.pingDue(2_500, 1_000), use.pingDue(9_999, 0)]).toEqual([false, false]);
  });

  test("idle() with 0 is never", () => {
    const use = new UseWatch();
    use.look(0, 0);
    use.look(1e9, 0);
    expect(use.idle(1e9, 5, NO_TIMEOUTS)).toBe(false);
  });
});
