import { describe, expect, test } from "bun:test";
import type { RowFacts } from "../../src/meter/row.ts";
import { costMicros } from "../../src/meter/price.ts";
import { NO_TRAFFIC, completedRow, rowOf } from "../../src/meter/row.ts";
import type { UsageReading } from "../../src/provider/provider.ts";
import { responseBody } from "../../src/provider/openai_responses.ts";
import { readUsage } from "../../src/provider/openai_usage.ts";
import { CONTEXT, MeterWorld } from "../support/meter_world.ts";

function row(usage: UsageReading, more: Partial<RowFacts> = {}) {
  const world = new MeterWorld();
  const facts: RowFacts = {
    turn: 3,
    kind: "response",
    transport: "websocket",
    requestedModel: "asked",
    model: null,
    requestedServiceTier: "fast",
    decidedServiceTier: "priority",
    serviceTier: null,
    status: "completed",
    errorCode: null,
    httpStatus: null,
    responseId: null,
    usage,
    reservedMicros: 0,
    isPartial: false,
    details: { warmup: true },
    firstTokenMs: 1.4,
    durationMs: 2.6,
    traffic: NO_TRAFFIC,
    ...more,
  };
  return rowOf(world.body("none", null), CONTEXT, facts);
}

const USED = readUsage('{"input_tokens":1,"output_tokens":2}');

describe("rowOf()", () => {
  test("makes the event id from session and turn", () => {
    expect(row(USED).event_id).toBe("sess_1_3");
  });

  test("falls back to the model asked for and the tier decided", () => {
    expect(row(USED)).toMatchObject({ model: "asked", service_tier: "priority" });
    const told = row(USED, { model: "m-1", serviceTier: "default" });
    expect(told).toMatchObject({ model: "m-1", service_tier: "default" });
  });

  test.each([
    [USED, false, "upstream", 2],
    [USED, true, "partial", 2],
    [{ reading: "absent" } as const, false, "missing", null],
    [{ reading: "malformed" } as const, false, "missing", null],
    [{ reading: "none_billed" } as const, false, "none_billed", 0],
  ])("says of %j (partial: %p) that usage is %s", (usage, isPartial, source, tokens) => {
    const made = row(usage, { isPartial });
    expect([made.usage_source, made.output_tokens]).toEqual([
      source,
      tokens,
    ] as (typeof made.usage_source)[]);
    expect(made.audio_seconds).toBeNull();
  });

  const ABSENT = { reading: "absent" } as const;
  const NONE = { reading: "none_billed" } as const;

  test.each([
    ["its price", USED, false, 1_000_000, false],
    ["at least the reserve where it broke off", USED, true, 1_000_000, true],
    ["the reserve where its usage is not known", ABSENT, false, 1_000_000, true],
    ["nothing where nothing was billed", NONE, false, 1_000_000, false],
  ])("counts against budgets with %s", (_title, usage, isPartial, reservedMicros, isReserve) => {
    const made = row(usage, { isPartial, reservedMicros, details: {} });
    expect(made.details.settled_at_reserve === true).toBe(isReserve);
    const price = usage === NONE ? 0 : costMicros("asked", "priority", made);
    expect(made.settled_micros).toBe(isReserve ? reservedMicros : price);
    expect(made.cost_micros).toBeNull();
  });

  test.each([
    ["what was served", "priority", "priority", "default", "default"],
    ["no dearer tier than was decided", "priority", null, "priority", null],
    ["no dearer tier than was decided", "priority", "flex", "default", "flex"],
    ["what was served where nobody asked", null, null, "priority", "priority"],
  ])(
    "(trap 12) counts %s",
    (_title, requestedServiceTier, decidedServiceTier, serviceTier, billed) => {
      const tiers = { requestedServiceTier, decidedServiceTier, serviceTier };
      const made = row(readUsage('{"input_tokens":1000,"output_tokens":1000}'), tiers);
      expect(made.settled_micros).toBe(costMicros("asked", billed, made));
      expect(made.service_tier).toBe(serviceTier);
    },
  );

  test("does not flag what nothing was reserved for", () => {
    expect(row(ABSENT, { details: {} })).toMatchObject({ details: {}, settled_micros: 0 });
  });

  test("rounds times to whole milliseconds and keeps both kinds of details", () => {
    const usage = '{"input_tokens":1,"output_tokens":2,"input_tokens_details":{"image_tokens":4}}';
    const made = row(readUsage(usage));
    expect([made.first_token_ms, made.duration_ms]).toEqual([1, 3]);
    expect(made.details).toEqual({ warmup: true, image_input_tokens: 4 });
  });
});

describe("completedRow()", () => {
  test("changes what came later and nothing else", () => {
    const pending = row({ reading: "absent" }, { status: "pending" });
    const body = '{"id":"r","status":"failed","error":{"code":"c"},"usage":null}';
    const ended = responseBody.read(body);
    if (ended === null) throw new Error("The body is a response");
    const wanted = { ...pending, status: "failed", error_code: "c", usage_source: "missing" };
    expect(completedRow(pending, ended)).toEqual(wanted as typeof pending);
  });
});
