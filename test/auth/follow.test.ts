/** When a node reads again what other nodes may have changed. */

import { describe, expect, test } from "bun:test";
import { startFollowing } from "../../src/auth/follow.ts";
import { Revocations } from "../../src/auth/revocation.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { BY_ADMIN, DAY_MS, openIdentity } from "../support/identity.ts";
import { MemoryStore } from "../support/memory_store.ts";

const PARTS = ["revocations", "policies", "directory", "signing_keys"] as const;

/** Lets promises that are settled already be seen. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
}

/** A follower of a store whose parts are read as a test says. */
async function setUp() {
  const clock = new FakeClock();
  const store = new MemoryStore(clock);
  /** What was read since this was looked at. */
  const reads: string[] = [];
  const failures: string[] = [];
  const times: number[] = [];
  let reached = 0;
  /** Parts whose reading fails. */
  const failing = new Set<string>();
  let held: Promise<void> | null = null;
  const read = (part: string) => async (all: boolean) => {
    reads.push(all ? `all ${part}` : part);
    if (held !== null) await held;
    if (failing.has(part)) throw new Error(`no ${part}`);
  };
  const follower = startFollowing({
    clock,
    intervalMs: 500,
    store,
    read: {
      revocations: read("revocations"),
      directory: read("directory"),
      signing_keys: read("signing_keys"),
      policies: read("policies"),
    },
    onFailure: (error) => failures.push(String(error)),
    onDatabaseTime: (nowMs) => times.push(nowMs),
    onReached: () => void (reached += 1),
  });
  await settle();
  const advance = async (durationMs: number) => {
    clock.advance(durationMs);
    await settle();
  };
  const taken = () => reads.splice(0);
  const hold = (until: Promise<void> | null) => void (held = until);
  const reachedCount = () => reached;
  return { clock, store, follower, failures, times, failing, advance, taken, hold, reachedCount };
}

describe("startFollowing()", () => {
  test("reads everything at once, then only what moved", async () => {
    const { store, advance, taken, times, clock } = await setUp();
    expect(taken()).toEqual(PARTS.map((part) => `all ${part}`));
    await advance(500);
    expect(taken()).toEqual([]);
    store.losesNotifications = true;
    store.revisions.directory += 1;
    await advance(499);
    expect(taken()).toEqual([]);
    await advance(1);
    expect(taken()).toEqual(["directory"]);
    store.revisions.signing_keys += 1;
    store.revisions.revocations += 1;
    await advance(500);
    expect(taken()).toEqual(["revocations", "signing_keys"]);
    expect(times.at(-1)).toBe(clock.nowMs());
  });

  test("reads at a notification, without waiting for the interval", async () => {
    const { store, taken } = await setUp();
    taken();
    const token = { id: "a", expires_at: DAY_MS };
    await store.changeTokenOverride(token, { is_active: true }, 0, BY_ADMIN);
    await settle();
    expect(taken()).toEqual(["revocations"]);
  });

  test("reads once at a time, and once more for what was announced meanwhile", async () => {
    const { store, advance, taken, hold } = await setUp();
    taken();
    const reading = Promise.withResolvers<void>();
    hold(reading.promise);
    await store.deleteSigningKey("none");
    store.revisions.directory += 1;
    await advance(500);
    expect(taken()).toEqual(["directory"]);
    await advance(5_000);
    for (let change = 0; change < 3; change += 1) {
      await store.insertRevocation({ jti: `${change}`, revoked_at: 0, expires_at: 1 }, BY_ADMIN);
    }
    await settle();
    expect(taken()).toEqual([]);
    const looks = () => store.calls.filter((call) => call === "readRevisions").length;
    const before = looks();
    hold(null);
    reading.resolve();
    await settle();
    expect(taken()).toEqual(["revocations"]);
    expect(looks() - before).toBe(1);
  });

  test("tells the middle of a round trip as the database's time, of quick ones alone", async () => {
    const { clock, store, times, advance } = await setUp();
    times.length = 0;
    const answer = await store.readRevisions();
    const takes = (durationMs: number) => {
      store.readRevisions = async () => {
        await Promise.resolve();
        clock.advance(durationMs);
        return { ...answer, nowMs: 5_000_000 };
      };
    };
    takes(400);
    await advance(500);
    expect(times).toEqual([5_000_200]);
    takes(1_001);
    await advance(500);
    expect(times).toEqual([5_000_200]);
  });

  test("looks every 200 ms while the database is away, and for 5 s after", async () => {
    const { store, advance, follower, clock } = await setUp();
    const looks = async (durationMs: number) => {
      const before = store.calls.filter((call) => call === "readRevisions").length;
      for (let passedMs = 0; passedMs < durationMs; passedMs += 50) await advance(50);
      return store.calls.filter((call) => call === "readRevisions").length - before;
    };
    expect(await looks(1_000)).toBe(2);
    store.failWith = new Error("away");
    await advance(500);
    const whileAway = await looks(2_000);
    store.failWith = null;
    const after = await looks(4_000);
    for (const [found, seconds] of [
      [whileAway, 2],
      [after, 4],
    ] as const) {
      expect(found).toBeGreaterThanOrEqual(seconds * 5);
      expect(found).toBeLessThanOrEqual(seconds * 7);
    }
    await advance(2_000);
    expect(await looks(1_000)).toBe(2);
    store.failWith = new Error("away");
    await advance(500);
    follower.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  test("tells that the database answers, also where a part cannot be read", async () => {
    const { store, failing, advance, reachedCount } = await setUp();
    failing.add("directory");
    store.revisions.directory += 1;
    await advance(500);
    expect(reachedCount()).toBe(2);
    store.failWith = new Error("away");
    await advance(500);
    expect(reachedCount()).toBe(2);
  });

  test("reads everything every minute, whatever the revisions say", async () => {
    const { advance, taken } = await setUp();
    taken();
    await advance(59_500);
    expect(taken()).toEqual([]);
    await advance(500);
    expect(taken()).toEqual(PARTS.map((part) => `all ${part}`));
    await advance(59_500);
    expect(taken()).toEqual([]);
  });

  test("tells of an outage once, goes on trying, and reads then what it missed", async () => {
    const { store, failures, advance, taken } = await setUp();
    taken();
    store.failWith = new Error("database is gone");
    store.revisions.revocations += 1;
    await advance(500);
    await advance(500);
    expect([failures, taken()]).toEqual([["Error: database is gone"], []]);
    store.failWith = null;
    await advance(500);
    expect(taken()).toEqual(["revocations"]);
    store.failWith = new Error("database is gone again");
    await advance(500);
    expect(failures).toHaveLength(2);
  });

  test("reads a part that failed again, and the others all the same", async () => {
    const { store, failures, failing, advance, taken } = await setUp();
    taken();
    failing.add("revocations");
    store.revisions.directory += 1;
    store.revisions.revocations += 1;
    await advance(500);
    expect(taken()).toEqual(["revocations", "directory"]);
    await advance(500);
    expect(taken()).toEqual(["revocations"]);
    expect(failures).toEqual(["Error: no revocations"]);
    failing.clear();
    await advance(500);
    await advance(500);
    expect(taken()).toEqual(["revocations"]);
  });

  test("is stale since the last look that found nothing missing", async () => {
    const { store, failing, advance, follower } = await setUp();
    expect(follower.stalenessMs()).toBe(0);
    await advance(499);
    expect(follower.stalenessMs()).toBe(499);
    await advance(1);
    expect(follower.stalenessMs()).toBe(0);
    store.failWith = new Error("database is gone");
    await advance(10_000);
    expect(follower.stalenessMs()).toBe(10_000);
    store.failWith = null;
    failing.add("directory");
    store.revisions.directory += 1;
    await advance(500);
    expect(follower.stalenessMs()).toBe(10_500);
    failing.clear();
    await advance(200);
    expect(follower.stalenessMs()).toBe(0);
  });

  test("counts staleness from before a reading, which may be a long one", async () => {
    const { store, advance, follower, hold } = await setUp();
    const reading = Promise.withResolvers<void>();
    hold(reading.promise);
    store.losesNotifications = true;
    store.revisions.directory += 1;
    await advance(500);
    await advance(2_000);
    expect(follower.stalenessMs()).toBe(2_500);
    reading.resolve();
    await settle();
    expect(follower.stalenessMs()).toBe(2_000);
  });

  test("stop() leaves no timer, and nothing is read or told of after", async () => {
    const { clock, store, follower, advance, taken, failing, failures, hold } = await setUp();
    taken();
    const reading = Promise.withResolvers<void>();
    hold(reading.promise);
    failing.add("directory");
    store.losesNotifications = true;
    store.revisions.directory += 1;
    await advance(500);
    expect(taken()).toEqual(["directory"]);
    store.losesNotifications = false;
    follower.stop();
    expect(clock.pendingTimers).toBe(0);
    const row = { jti: "a", revoked_at: 0, expires_at: 1 };
    await store.insertRevocation(row, BY_ADMIN);
    reading.resolve();
    await settle();
    expect([taken(), failures]).toEqual([[], []]);
  });

  test("brings a revocation from one node to another, its notification lost or not", async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock);
    const node = await openIdentity(store, clock);
    const lags: number[] = [];
    const reportLag = (lagMs: number) => void lags.push(lagMs);
    const revocations = new Revocations({ clock, leewayMs: 5000, reportLag });
    const follower = startFollowing({
      clock,
      intervalMs: 500,
      store,
      read: {
        revocations: (all) => (all ? revocations.reload(store) : revocations.load(store)),
        directory: () => node.directory.reload(),
        signing_keys: () => node.tokens.reload(),
        policies: () => Promise.resolve(),
      },
      onFailure: (error) => {
        throw error;
      },
      onDatabaseTime: () => {},
      onReached: () => {},
    });
    await settle();
    const bearer = (tokenId: string) => ({ tokenId, projectId: "default", issuedAtMs: 0 });
    const row = () => ({ revoked_at: clock.nowMs(), expires_at: clock.nowMs() + DAY_MS });
    await store.insertRevocation({ jti: "a", ...row() }, BY_ADMIN);
    await settle();
    expect(revocations.isRevoked(bearer("a"))).toBe(true);
    store.losesNotifications = true;
    await store.insertRevocation({ jti: "b", ...row() }, BY_ADMIN);
    await settle();
    expect(revocations.isRevoked(bearer("b"))).toBe(false);
    clock.advance(500);
    await settle();
    expect(revocations.isRevoked(bearer("b"))).toBe(true);
    expect(lags).toEqual([0, 500]);
    follower.stop();
  });
});
