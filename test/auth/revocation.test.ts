/** What was taken from tokens, in memory: what is in force, who hears of it, what is forgotten. */

import { describe, expect, test } from "bun:test";
import { Revocations } from "../../src/auth/revocation.ts";
import type { ProjectRevocationRow, TokenOverrideRow } from "../../src/store/store.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { BY_ADMIN } from "../support/identity.ts";
import { MemoryStore } from "../support/memory_store.ts";

const LEEWAY_MS = 5000;
const MINUTE_MS = 60_000;

function setUp(clock = new FakeClock()) {
  const lags: number[] = [];
  const reportLag = (lagMs: number) => void lags.push(lagMs);
  const revocations = new Revocations({ clock, leewayMs: LEEWAY_MS, reportLag });
  const nowMs = clock.nowMs();
  /** Of these, the ones that each batch is about. */
  const told: string[][] = [];
  const live = ["a", "b", "c"].map((tokenId) => ({ tokenId, projectId: "p", issuedAtMs: nowMs }));
  revocations.onRevoked((matches) => told.push(live.filter(matches).map(({ tokenId }) => tokenId)));
  const isRevoked = (tokenId: string | null, issuedAtMs: number | null = nowMs) =>
    revocations.isRevoked({ tokenId, projectId: "p", issuedAtMs });
  return { clock, nowMs, revocations, told, lags, isRevoked };
}

function projectRow(issuedBeforeMs: number, expiresAtMs: number): ProjectRevocationRow {
  const revoked_at = issuedBeforeMs;
  return { project_id: "p", issued_before: issuedBeforeMs, revoked_at, expires_at: expiresAtMs };
}

function overrideRow(change: Partial<TokenOverrideRow> & { expires_at: number }): TokenOverrideRow {
  return { jti: "a", is_active: true, limits: {}, changed_at: 0, ...change };
}

describe("Revocations.revoke()", () => {
  test("tells the listeners of what is new, once", () => {
    const { nowMs, revocations, told, isRevoked } = setUp();
    const row = { jti: "a", expires_at: nowMs + 1000 };
    expect(isRevoked("a")).toBe(false);
    revocations.revoke([row]);
    revocations.revoke([row]);
    expect(told).toEqual([["a"]]);
    revocations.revoke([row, { ...row, jti: "b" }]);
    expect(isRevoked("a")).toBe(true);
    expect(told).toEqual([["a"], ["a", "b"]]);
  });

  test("an entry outlives its token's leeway, and is forgotten after", () => {
    const { clock, nowMs, revocations, isRevoked } = setUp();
    revocations.revoke([{ jti: "a", expires_at: nowMs + 100_000 }]);
    clock.advance(104_999);
    revocations.revoke([{ jti: "b", expires_at: nowMs + 1_000_000 }]);
    expect(isRevoked("a")).toBe(true);
    clock.advance(MINUTE_MS);
    revocations.revoke([{ jti: "c", expires_at: nowMs + 1_000_000 }]);
    expect(isRevoked("a")).toBe(false);
    expect(revocations.size).toBe(2);
  });

  test("never holds more than the revocations of one lifetime and a sweep interval", () => {
    const { clock, revocations } = setUp();
    let largest = 0;
    for (let second = 0; second < 3600; second++) {
      revocations.revoke([{ jti: String(second), expires_at: clock.nowMs() + MINUTE_MS }]);
      clock.advance(1000);
      largest = Math.max(largest, revocations.size);
    }
    expect(largest).toBeLessThan(130);
  });

  test("an earlier expiry does not shorten an entry", () => {
    const { clock, nowMs, revocations, isRevoked } = setUp();
    revocations.revoke([{ jti: "a", expires_at: nowMs + 1_000_000 }]);
    revocations.revoke([{ jti: "a", expires_at: nowMs }]);
    clock.advance(2 * MINUTE_MS);
    revocations.revoke([]);
    expect(isRevoked("a")).toBe(true);
  });
});

describe("Revocations.revokeProject()", () => {
  test("is about tokens issued up to then, and about nobody without a token", () => {
    const { nowMs, revocations, told, isRevoked } = setUp();
    expect(revocations.issuedBefore("p")).toBeNull();
    revocations.revokeProject(projectRow(nowMs, nowMs + MINUTE_MS));
    expect(revocations.issuedBefore("p")).toBe(nowMs);
    expect(isRevoked("any", nowMs)).toBe(true);
    expect(isRevoked("any", nowMs + 1)).toBe(false);
    expect(isRevoked("static_0", null)).toBe(false);
    expect(isRevoked(null, null)).toBe(false);
    const elsewhere = { tokenId: "any", projectId: "q", issuedAtMs: nowMs };
    expect(revocations.isRevoked(elsewhere)).toBe(false);
    expect(told).toEqual([["a", "b", "c"]]);
  });

  test("keeps the later time and the longer life of two, and tells only of a later time", () => {
    const { clock, nowMs, revocations, told } = setUp();
    revocations.revokeProject(projectRow(nowMs, nowMs + 10 * MINUTE_MS));
    revocations.revokeProject(projectRow(nowMs - 1, nowMs + MINUTE_MS));
    expect(told).toHaveLength(1);
    revocations.revokeProject(projectRow(nowMs + 1, nowMs + MINUTE_MS));
    expect(told).toHaveLength(2);
    clock.advance(9 * MINUTE_MS);
    revocations.revoke([]);
    expect(revocations.issuedBefore("p")).toBe(nowMs + 1);
    clock.advance(2 * MINUTE_MS);
    revocations.revoke([]);
    expect(revocations.issuedBefore("p")).toBeNull();
    expect(revocations.size).toBe(0);
  });
});

describe("Revocations.override()", () => {
  test("narrows in force at once, revokes while inactive, and is forgotten", () => {
    const { clock, nowMs, revocations, told, isRevoked } = setUp();
    const expires_at = nowMs + MINUTE_MS;
    expect(revocations.overrideOf("a")).toBeNull();
    revocations.override(overrideRow({ expires_at, limits: { requests_per_minute: 5 } }));
    expect(revocations.overrideOf("a")?.limits).toEqual({ requests_per_minute: 5 });
    expect([isRevoked("a"), told]).toEqual([false, []]);
    revocations.override(overrideRow({ expires_at, is_active: false }));
    revocations.override(overrideRow({ expires_at, is_active: false, changed_at: 1 }));
    expect([isRevoked("a"), told]).toEqual([true, [["a"]]]);
    revocations.override(overrideRow({ expires_at }));
    expect(isRevoked("a")).toBe(true);
    revocations.override(overrideRow({ expires_at, changed_at: 2 }));
    expect(isRevoked("a")).toBe(false);
    clock.advance(2 * MINUTE_MS);
    revocations.revoke([]);
    expect(revocations.overrideOf("a")).toBeNull();
  });
});

describe("Revocations.suspend()", () => {
  test("deactivates a token ahead of the store, and no reload undoes it", async () => {
    const { nowMs, revocations, told, isRevoked } = setUp();
    const store = new MemoryStore();
    const token = { id: "a", expires_at: nowMs + MINUTE_MS };
    await store.changeTokenOverride(token, { limits: { session_turns: 2 } }, nowMs, BY_ADMIN);
    const first = revocations.suspend("a", token.expires_at);
    const second = revocations.suspend("a", token.expires_at);
    expect([isRevoked("a"), told]).toEqual([true, [["a"]]]);
    await revocations.reload(store);
    expect(isRevoked("a")).toBe(true);
    first();
    second();
    expect(isRevoked("a")).toBe(true);
    expect(revocations.overrideOf("a")?.limits).toEqual({ session_turns: 2 });
    await store.changeTokenOverride(token, { is_active: true }, nowMs, BY_ADMIN);
    await revocations.reload(store);
    expect(isRevoked("a")).toBe(false);
  });
});

describe("Revocations.load()", () => {
  /** Changes as another node makes them: in the store only. */
  async function atAnotherNode(store: MemoryStore, nowMs: number): Promise<void> {
    const expires_at = nowMs + MINUTE_MS;
    await store.insertRevocation({ jti: "a", revoked_at: nowMs - 30, expires_at }, BY_ADMIN);
    await store.insertProjectRevocation(projectRow(nowMs - 20, expires_at), BY_ADMIN);
    const token = { id: "b", expires_at };
    await store.changeTokenOverride(token, { is_active: false }, nowMs - 10, BY_ADMIN);
  }

  test("takes what could still verify, leeway included", async () => {
    const { nowMs, revocations, isRevoked } = setUp();
    const store = new MemoryStore();
    const row = { revoked_at: nowMs, expires_at: nowMs - 4999 };
    await store.insertRevocation({ ...row, jti: "in leeway" }, BY_ADMIN);
    await store.insertRevocation({ ...row, jti: "over", expires_at: nowMs - 5000 }, BY_ADMIN);
    await revocations.load(store);
    expect(["in leeway", "over"].map((jti) => isRevoked(jti))).toEqual([true, false]);
  });

  test("brings everything, tells once, and reports how late each came", async () => {
    const { nowMs, revocations, told, lags, isRevoked } = setUp();
    const store = new MemoryStore();
    await revocations.load(store);
    await atAnotherNode(store, nowMs);
    await revocations.load(store);
    expect(["a", "b", "c"].map((jti) => isRevoked(jti))).toEqual([true, true, false]);
    expect(isRevoked("c", nowMs - 20)).toBe(true);
    expect(told).toEqual([["a", "b"]]);
    expect(lags).toEqual([30, 20, 10]);
  });

  test("reports no lag at the start, of what this node did itself, or twice", async () => {
    const { nowMs, revocations, lags } = setUp();
    const store = new MemoryStore();
    await atAnotherNode(store, nowMs);
    await revocations.load(store);
    const expires_at = nowMs + MINUTE_MS;
    const token = { jti: "c", revoked_at: nowMs, expires_at };
    const override = overrideRow({ jti: "c", changed_at: nowMs, expires_at });
    const project = projectRow(nowMs, expires_at);
    revocations.revoke([token]);
    revocations.override(override);
    revocations.revokeProject(project);
    await store.insertRevocation(token, BY_ADMIN);
    await store.changeTokenOverride({ id: "c", expires_at }, {}, nowMs, BY_ADMIN);
    await store.insertProjectRevocation(project, BY_ADMIN);
    await revocations.load(store);
    await revocations.reload(store);
    expect(lags).toEqual([]);
  });

  test("reads only what is newer, and everything again when the revision went back", async () => {
    const { nowMs, revocations, isRevoked } = setUp();
    const store = new MemoryStore();
    const asked: number[] = [];
    const source = {
      listRevocations(after: number, atMs: number) {
        asked.push(after);
        return store.listRevocations(after, atMs);
      },
    };
    await atAnotherNode(store, nowMs);
    await revocations.load(source);
    await revocations.load(source);
    store.revisions.revocations = 2;
    store.revocations.set("restored", {
      jti: "restored",
      revoked_at: nowMs,
      expires_at: nowMs + MINUTE_MS,
      revision: 2,
    });
    await revocations.load(source);
    await revocations.load(source);
    expect(asked).toEqual([0, 4, 4, 0, 2]);
    expect(isRevoked("restored")).toBe(true);
    expect(isRevoked("a")).toBe(true);
  });

  test("keeps what is known when the store fails", async () => {
    const { nowMs, revocations, isRevoked } = setUp();
    const store = new MemoryStore();
    await atAnotherNode(store, nowMs);
    await revocations.load(store);
    store.failWith = new Error("database is gone");
    await expect(revocations.load(store)).rejects.toThrow("database is gone");
    expect(isRevoked("a")).toBe(true);
  });
});

describe("Revocations.reload()", () => {
  test("brings a row that incremental reading missed, and reports how late it came", async () => {
    const { clock, nowMs, revocations, told, lags } = setUp();
    const store = new MemoryStore();
    await revocations.load(store);
    const expires_at = nowMs + MINUTE_MS;
    store.revocations.set("a", { jti: "a", revoked_at: nowMs, expires_at, revision: 1 });
    clock.advance(40_000);
    await revocations.load(store);
    expect(told).toEqual([]);
    await revocations.reload(store);
    expect([told, lags]).toEqual([[["a"]], [40_000]]);
  });
});
