import { describe, expect, test } from "bun:test";

import {
  AuditCheck,
  auditHash,
  auditRecord,
  type AuditRecord,
  beginning,
  NO_HASH,
  verifyAudit,
} from "../../src/store/audit_chain.ts";

interface Stored {
  readonly record: AuditRecord;
  readonly hash: string;
}

function record(sequence: number, change: Partial<AuditRecord> = {}): AuditRecord {
  const entry = { actor: "ops", action: "project.create", subject: "project:p1" };
  const rest = { outcome: "done", request_id: "req_1", client_address: "192.0.2.1" } as const;
  const place = { sequence, recorded_at: 1_795_000_000_000 + sequence, node_id: "node_1" };
  return { ...auditRecord({ ...entry, ...rest, details: { n: sequence } }, place), ...change };
}

function chain(length: number): Stored[] {
  const stored: Stored[] = [];
  for (let sequence = 1; sequence <= length; sequence += 1) {
    const next = record(sequence);
    stored.push({ record: next, hash: auditHash(stored.at(-1)?.hash ?? NO_HASH, next) });
  }
  return stored;
}

function check(stored: readonly Stored[], expected: number, stray?: number | null) {
  const found = new AuditCheck(beginning(expected));
  for (const each of stored) found.add(each.record, each.hash);
  const { entries, head, broken } = found.end(stray);
  return { entries, head, broken };
}

describe("auditHash()", () => {
  test("is the SHA-256 of the hash before and every field", () => {
    expect(auditHash(NO_HASH, record(1))).toBe(
      new Bun.CryptoHasher("sha256")
        .update(
          '["",1,1795000000001,"node_1","ops","project.create","project:p1","done","req_1",' +
            '"192.0.2.1","{\\"n\\":1}"]',
        )
        .digest("hex"),
    );
  });

  test.each(Object.keys(record(1)) as (keyof AuditRecord)[])("covers %s", (name) => {
    const changed = { ...record(1), [name]: name === "sequence" ? 2 : "changed" };
    expect(auditHash("x", changed)).not.toBe(auditHash("x", record(1)));
    expect(auditHash("y", record(1))).not.toBe(auditHash("x", record(1)));
  });

  test("tells fields apart whose texts run together", () => {
    const left = record(1, { actor: 'a","b', action: "c" });
    const right = record(1, { actor: "a", action: 'b","c' });
    expect(auditHash("x", left)).not.toBe(auditHash("x", right));
  });
});

test("auditRecord() makes text that every database gives back as it was", () => {
  const entry = { ...record(1), details: { half: "\ud800\0" }, actor: "a\0b\udc00" };
  const made = auditRecord(entry, { sequence: 1, recorded_at: 2, node_id: "n" });
  expect(made.actor).toBe("a\u{fffd}b\u{fffd}");
  expect(made.details).toBe('{"half":"\\ud800\\u0000"}');
});

describe("AuditCheck", () => {
  test("finds nothing wrong with a whole chain, and names its head", () => {
    const stored = chain(5);
    const head = stored[4]?.hash ?? "";
    expect(check(stored, 5)).toEqual({ entries: 5, head, broken: null });
    expect(check([], 0)).toEqual({ entries: 0, head: null, broken: null });
  });

  test("finds an entry that was altered", () => {
    const stored = chain(5).map((each) =>
      each.record.sequence === 3 ? { ...each, record: record(3, { actor: "nobody" }) } : each,
    );
    expect(check(stored, 5).broken).toMatchObject({ sequence: 3 });
  });

  test("finds an entry that was altered together with its hash", () => {
    const stored = chain(5);
    const altered = record(3, { actor: "nobody" });
    stored[2] = { record: altered, hash: auditHash(stored[1]?.hash ?? "", altered) };
    expect(check(stored, 5).broken).toMatchObject({ sequence: 4 });
  });

  test.each([
    [[2], 2, "Entry 2 is missing"],
    [[1, 2, 3], 1, "Entries 1 to 3 are missing"],
    [[5], 5, "Entry 5 is missing"],
    [[4, 5], 4, "Entries 4 to 5 are missing"],
    [[2, 4], 2, "Entry 2 is missing"],
  ])("finds that %j were removed", (removed, sequence, reason) => {
    const stored = chain(5).filter((each) => !removed.includes(each.record.sequence));
    expect(check(stored, 5)).toMatchObject({
      entries: sequence - 1,
      broken: { sequence, reason },
    });
  });

  test("finds an entry that was put in: before, between, after and without a number", () => {
    expect(check(chain(6), 5).broken).toMatchObject({ sequence: 6 });
    const early = { record: record(0), hash: auditHash(NO_HASH, record(0)) };
    expect(check([early, ...chain(5)], 5).broken).toMatchObject({ sequence: 0 });
    const between = { record: record(2.5), hash: "x" };
    const stored = chain(5).toSpliced(2, 0, between);
    expect(check(stored, 5).broken).toMatchObject({ sequence: 2.5 });
    expect(check(chain(5), 5, 9).broken).toMatchObject({ sequence: 9 });
    expect(check(chain(5), 5, null).broken).toEqual({
      sequence: null,
      reason: "An entry without a number was put in by something else than sluice",
    });
  });

  test("goes on where another check of the chain stopped", () => {
    const stored = chain(5);
    let progress = beginning(5);
    for (const each of stored) {
      const found = new AuditCheck(progress);
      found.add(each.record, each.hash);
      progress = structuredClone(found.progress);
    }
    expect(new AuditCheck(progress).end()).toEqual({
      ...progress,
      entries: 5,
      broken: null,
      isDone: true,
    });
  });

  test("unreadable() breaks the chain at the next entry, unless it was broken before", () => {
    const found = new AuditCheck(beginning(5));
    for (const each of chain(2)) found.add(each.record, each.hash);
    const broken = { sequence: 3, reason: "no number" };
    expect(found.unreadable("no number")).toMatchObject({ entries: 2, broken, isDone: true });
    const before = new AuditCheck(beginning(5));
    before.add(record(2), "x");
    expect(before.unreadable("no number").broken).toMatchObject({ sequence: 1 });
  });
});

test("verifyAudit() asks until the check is done", async () => {
  const steps = [1, 2, 3].map((entries) => ({ ...beginning(3), entries, isDone: entries === 3 }));
  const asked: unknown[] = [];
  const verified = await verifyAudit({
    async checkAudit(progress) {
      asked.push(progress);
      return steps[asked.length - 1] ?? beginning(0);
    },
  });
  expect(asked).toEqual([null, steps[0], steps[1]]);
  expect(verified).toEqual({ entries: 3, head: null, broken: null });
});
