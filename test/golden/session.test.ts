/** Recorded sessions of OpenAI and Gemini: the meter reports exactly the usage that is expected of them. */

import { describe, expect, test } from "bun:test";
import type { Message, UsageEvent } from "../../src/exchange.ts";
import { createSessionMeter } from "../../src/meter/session_meter.ts";
import type { MeterDialect } from "../../src/provider/provider.ts";
import { MeterWorld } from "../support/meter_world.ts";
import { comparable, expectedCase, loadTranscript, wantedOf } from "./transcript.ts";

const CASES: readonly (readonly [string, MeterDialect])[] = [
  ["responses_ws_two_turns.jsonl", "openai_responses"],
  ["responses_ws_cached_and_reasoning.jsonl", "openai_responses"],
  ["responses_ws_incomplete.jsonl", "openai_responses"],
  ["responses_ws_failed.jsonl", "openai_responses"],
  ["responses_ws_error_event.jsonl", "openai_responses"],
  ["responses_ws_codex_warmup.jsonl", "openai_responses"],
  ["responses_ws_multiplex_lanes.jsonl", "openai_responses"],
  ["realtime_ga_text.jsonl", "openai_realtime"],
  ["realtime_ga_audio.jsonl", "openai_realtime"],
  ["realtime_transcription.jsonl", "openai_realtime"],
  ["gemini_live.jsonl", "gemini_live"],
];

/** Ways to write the same JSON that must read the same. */
const SPELLINGS: readonly (readonly [string, (text: string) => Message])[] = [
  ["as recorded", (text) => text],
  ["in a binary frame", (text) => new TextEncoder().encode(text)],
  ["with its keys in reverse", (text) => JSON.stringify(reversed(JSON.parse(text)))],
  ["with white space", (text) => `\n ${JSON.stringify(JSON.parse(text), null, "\t")} \r\n`],
  ["with every key escaped", (text) => escapedKeys(JSON.parse(text))],
];

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, reversed(inner)] as const);
  return Object.fromEntries(entries.reverse());
}

function escapedKeys(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(escapedKeys).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).map(([key, inner]) => {
    const code = key.charCodeAt(0).toString(16).padStart(4, "0");
    return `"\\u${code}${key.slice(1)}":${escapedKeys(inner)}`;
  });
  return `{${fields.join(",")}}`;
}

function replay(name: string, dialect: MeterDialect, spell: (text: string) => Message) {
  const world = new MeterWorld();
  const tap = createSessionMeter(world.session(dialect));
  for (const entry of loadTranscript(name)) {
    if ("close" in entry) continue;
    const message = typeof entry.message === "string" ? spell(entry.message) : entry.message;
    if (entry.dir === "client") tap.clientMessage(message);
    else expect(tap.upstreamMessage(message)).toBeUndefined();
    world.clock.advance(10);
  }
  const running = tap.turnsRunning;
  tap.end();
  return { world, running, rows: world.ledger.closed };
}

function check(rows: readonly UsageEvent[], name: string): void {
  const { turns } = expectedCase(name);
  expect(rows.length).toBe(turns.length);
  for (const [index, row] of rows.entries()) {
    const expected = turns[index] ?? {};
    expect(comparable(row, expected)).toEqual(wantedOf(expected));
  }
}

describe.each(CASES)("createSessionMeter() on %s", (name, dialect) => {
  test.each(SPELLINGS)("reports the expected turns %s", (_, spell) => {
    const { world, running, rows } = replay(name, dialect, spell);
    check(rows, name);
    expect(running).toBe(0);
    expect(world.reports.map((each) => each.event)).toEqual(rows.map(() => "relay_turn_completed"));
  });

  test("numbers the turns from 1 and charges every frame once", () => {
    const { rows } = replay(name, dialect, (text) => text);
    const numbers = rows.map((row) => row.turn).toSorted((a, b) => a - b);
    expect(numbers).toEqual(rows.map((_, index) => index + 1));
    const entries = loadTranscript(name).filter((entry) => "message" in entry);
    const up = entries.filter((entry) => entry.dir === "client").length;
    const charged = rows.reduce((sum, row) => sum + row.frames_up, 0);
    expect(charged).toBeLessThanOrEqual(up);
    expect(charged).toBeGreaterThan(0);
  });
});
