import { expect, test } from "bun:test";

import {
  projectRow,
  USAGE_COLUMN_NAMES,
  usageEvent as readEvent,
  usageParameters,
} from "../../src/store/rows.ts";
import { usageEvent } from "../support/usage_event.ts";

function rowOf(event: ReturnType<typeof usageEvent>) {
  const values = usageParameters(event);
  return Object.fromEntries(USAGE_COLUMN_NAMES.map((name, index) => [name, values[index] ?? null]));
}

test("usageEvent() reads what usageParameters() wrote, and keeps null apart from 0", () => {
  const event = usageEvent(1, { input_tokens: 0, output_tokens: null, details: { warmup: false } });
  expect(readEvent(rowOf(event))).toEqual(event);
  expect(USAGE_COLUMN_NAMES[0]).toBe("event_id");
  expect(USAGE_COLUMN_NAMES.toSorted()).toEqual(Object.keys(event).toSorted());
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
  const row = { id: "p", name: "n", created_at: 1, updated_at: 2, deactivated_at: null };
  expect(projectRow({ ...row, is_active: 1 }).is_active).toBe(true);
  expect(projectRow({ ...row, is_active: 0 }).is_active).toBe(false);
  expect(() => projectRow({ ...row, is_active: null })).toThrow("is_active");
});
