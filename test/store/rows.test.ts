import { expect, test } from "bun:test";

import {
  auditParameters,
  auditRow,
  projectRow,
  spendRow,
  tokenOverrideRow,
  tokenParameters,
  tokenRow,
  USAGE_COLUMN_NAMES,
  usageEvent as readEvent,
  usageParameters,
} from "../../src/store/rows.ts";
import { token } from "../conformance/store_fixtures.ts";
import { usageEvent } from "../support/usage_event.ts";

function rowOf(event: ReturnType<typeof usageEvent>) {
  const values = usageParameters(event);
  return Object.fromEntries(USAGE_COLUMN_NAMES.map((name, index) => [name, values[index] ?? null]));
}

test("usageEvent() reads what usageParameters() wrote, and keeps null apart from 0", () => {
  const event = usageEvent(1, { input_tokens: 0, output_tokens: null, details: { warmup: false } });
  expect(readEvent(rowOf(event))).toEqual(event);
  expect(USAGE_COLUMN_NAMES[0]).toBe("event_id");
  expect<string[]>(USAGE_COLUMN_NAMES.toSorted()).toEqual(Object.keys(event).toSorted());
});

test("usageEvent() reads integers that a driver returns as text or bigint", () => {
  const row = { ...rowOf(usageEvent(1)), bytes_down: "5000000000", turn: 7n };
  expect(readEvent(row)).toMatchObject({ bytes_down: 5_000_000_000, turn: 7 });
});

test.each([
  ["turn", "many"],
  ["turn", ""],
  ["model", 5],
  ["details", null],
])("usageEvent() refuses a column %s holding %j by its name", (name, value) => {
  expect(() => readEvent({ ...rowOf(usageEvent(1)), [name]: value })).toThrow(name);
});

test("usageEvent() refuses a row without a column by its name", () => {
  const { model: _, ...row } = rowOf(usageEvent(1));
  expect(() => readEvent(row)).toThrow("model");
});

test("projectRow() reads 0 and 1 as a flag", () => {
  const times = { created_at: 1, updated_at: 2, deactivated_at: null };
  const lists = { models: null, endpoints: null, tiers: null };
  const row = { id: "p", name: "n", ...times, ...lists, limits: "{}" };
  expect(projectRow({ ...row, is_active: 1 }).is_active).toBe(true);
  expect(projectRow({ ...row, is_active: 0 }).is_active).toBe(false);
  expect(() => projectRow({ ...row, is_active: null })).toThrow("is_active");
});

const TOKEN_COLUMNS = [
  ...["id", "project_id", "label", "created_at", "expires_at", "revoked_at", "models"],
  ...["endpoints", "tiers", "limits", "last_used_at", "request_count", "cache_hit_count"],
];

test("tokenRow() reads what tokenParameters() wrote, and keeps null apart from none", () => {
  const row = token("t", { models: [], tiers: ["flex"], limits: { max_requests: 1 } });
  const values = tokenParameters(row);
  const stored = Object.fromEntries(TOKEN_COLUMNS.map((name, at) => [name, values[at] ?? null]));
  expect(tokenRow(stored)).toEqual(row);
  expect(() => tokenRow({ ...stored, models: '{"a":1}' })).toThrow("models");
  expect(() => tokenRow({ ...stored, tiers: "[1]" })).toThrow("tiers");
  expect(() => tokenRow({ ...stored, limits: '{"max_request":1}' })).toThrow("max_request");
  expect(() => tokenRow({ ...stored, limits: '{"max_requests":0}' })).toThrow("max_requests");
});

test("tokenOverrideRow() reads 0 and 1 as a flag", () => {
  const row = { jti: "t", limits: "{}", changed_at: 1, expires_at: 2 };
  expect(tokenOverrideRow({ ...row, is_active: 0 }).is_active).toBe(false);
  expect(tokenOverrideRow({ ...row, is_active: 1 }).is_active).toBe(true);
});

test("spendRow() refuses a sum that is no number", () => {
  const row = { quantity: "requests", period: "total" };
  expect(spendRow({ ...row, used: "12" })).toMatchObject({ used: 12 });
  expect(() => spendRow({ ...row, used: "many" })).toThrow("used");
});

test("auditRow() reads what auditParameters() wrote, and refuses an outcome that is none", () => {
  const entry = { actor: "a", action: "b", subject: "c", outcome: "failed" } as const;
  const record = { ...entry, request_id: "d", client_address: "e", details: '{"f":1}' };
  const place = { sequence: 1, recorded_at: 2, node_id: "n" };
  const names = [
    ...["sequence", "recorded_at", "node_id", "actor", "action", "subject", "outcome"],
    ...["request_id", "client_address", "details"],
  ];
  const values = auditParameters({ ...record, ...place });
  const stored = Object.fromEntries(names.map((name, at) => [name, values[at] ?? null]));
  const row = { ...record, ...place, details: { f: 1 }, hash: "h" };
  expect(auditRow({ ...stored, hash: "h" })).toEqual(row);
  expect(() => auditRow({ ...stored, hash: "h", outcome: "perhaps" })).toThrow("outcome");
});
