import { expect, test } from "bun:test";

import { RefusalTally } from "../../src/policy/refusal_tally.ts";
import type { AuditEntry } from "../../src/store/store.ts";
import { FakeClock } from "../support/fake_clock.ts";

const START_MS = Date.UTC(2026, 10, 21, 12);

function counts(entries: readonly AuditEntry[]): unknown[] {
  return entries.map(({ subject, details }) => [subject, details["reason"], details["count"]]);
}

test("RefusalTally sums refusals by subject, reason and minute", () => {
  const clock = new FakeClock(START_MS);
  const tally = new RefusalTally(clock);
  tally.note("budget_exhausted", "token:a");
  tally.note("budget_exhausted", "token:a");
  tally.note("budget_exhausted", "token:b");
  tally.note("token_revoked", "token:a");
  clock.advance(60_000);
  tally.note("budget_exhausted", "token:a");
  expect(tally.take("finished")).toEqual([
    {
      actor: "gateway",
      action: "traffic.refuse",
      subject: "token:a",
      outcome: "refused",
      request_id: "",
      client_address: "",
      details: { reason: "budget_exhausted", count: 2, minute: "2026-11-21T12:00:00Z" },
    },
    expect.objectContaining({ subject: "token:b" }),
    expect.objectContaining({ subject: "token:a" }),
  ]);
  expect(counts(tally.take("finished"))).toEqual([]);
  expect(counts(tally.take("all"))).toEqual([["token:a", "budget_exhausted", 1]]);
  expect(counts(tally.take("all"))).toEqual([]);
});

test.each([
  "token_revoked",
  "project_inactive",
  "origin_not_allowed",
  "tier_blocked",
  "budget_exhausted",
  "quota_exhausted",
  "model_not_allowed",
  "endpoint_not_allowed",
] as const)("note() counts %s", (code) => {
  const tally = new RefusalTally(new FakeClock());
  tally.note(code, "token:a");
  expect(counts(tally.take("all"))).toEqual([["token:a", code, 1]]);
});

test.each(["rate_limited", "token_invalid", "upstream_timeout", "limits_unavailable"] as const)(
  "note() leaves %s to the log",
  (code) => {
    const tally = new RefusalTally(new FakeClock());
    tally.note(code, "token:a");
    expect(tally.take("all")).toEqual([]);
  },
);

test("putBack() adds what could not be written to what came since", () => {
  const tally = new RefusalTally(new FakeClock());
  tally.note("tier_blocked", "token:a");
  const failed = tally.take("all");
  tally.note("tier_blocked", "token:a");
  tally.putBack(failed);
  expect(counts(tally.take("all"))).toEqual([["token:a", "tier_blocked", 2]]);
});

test("RefusalTally holds 10,000 sums, and sums the rest together", () => {
  const clock = new FakeClock(START_MS);
  const tally = new RefusalTally(clock);
  for (let at = 0; at < 10_000; at++) tally.note("tier_blocked", `token:${at}`);
  for (let at = 0; at < 500; at++) {
    clock.advance(60_000);
    tally.note("tier_blocked", `token:more-${at}`);
    tally.note("quota_exhausted", "token:0");
  }
  const entries = tally.take("all");
  expect(entries).toHaveLength(10_002);
  expect(counts(entries.slice(-2))).toEqual([
    ["", "tier_blocked", 500],
    ["", "quota_exhausted", 500],
  ]);
});
