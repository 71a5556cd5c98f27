import { describe, expect, test } from "bun:test";

import { PeerWatch, UseWatch, WriteWatch } from "../../src/relay/liveness.ts";
import { NO_TIMEOUTS } from "../support/session_world.ts";

describe("PeerWatch", () => {
  test("takes a peer for dead after two pings without anything, and not before", () => {
    const peer = new PeerWatch();
    expect([peer.silent(false), peer.silent(false), peer.silent(false)]).toEqual([
      false,
      false,
      true,
    ]);
  });

  test("starts anew with anything that is heard, and while it cannot judge", () => {
    const peer = new PeerWatch();
    for (let i = 0; i < 5; i++) {
      peer.silent(false);
      peer.silent(i % 2 === 0);
      peer.heard = true;
      expect(peer.silent(false)).toBe(false);
    }
    for (let i = 0; i < 5; i++) expect(peer.silent(true)).toBe(false);
  });
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
