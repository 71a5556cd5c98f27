import { describe, expect, test } from "bun:test";
import { messageBody, messagesReader } from "../../src/provider/anthropic_messages.ts";

const USAGE = { input_tokens: 5, output_tokens: 1, service_tier: "standard" };
const START = { type: "message_start", message: { id: "msg_1", model: "m", usage: USAGE } };

/** What the events mean, read in order by one reader. */
function readAll(...events: readonly object[]) {
  const reader = messagesReader();
  return events.map((event) => reader.upstreamSignal(JSON.stringify(event)));
}

const delta = (usage: object | null, stop_reason: string | null = "end_turn") => ({
  type: "message_delta",
  delta: { stop_reason },
  usage,
});

describe("messagesReader()", () => {
  test("reads id, model, tier and input from the start, whose output is provisional", () => {
    expect(readAll(START)).toMatchObject([
      {
        signal: "progress",
        key: "msg_1",
        model: "m",
        serviceTier: "standard",
        usage: { usage: { inputTokens: 5, outputTokens: null } },
      },
    ]);
  });

  test("reads fast mode as the tier, also where a later event leaves it out", () => {
    const usage = { ...USAGE, speed: "fast" };
    const start = { ...START, message: { ...START.message, usage } };
    const later = delta({ output_tokens: 8, service_tier: "standard" });
    expect(readAll(start, later)).toMatchObject([{ serviceTier: "fast" }, { serviceTier: "fast" }]);
    const usual = { ...START.message, usage: { ...USAGE, speed: "standard" } };
    expect(readAll({ ...START, message: usual })).toMatchObject([{ serviceTier: "standard" }]);
  });

  test("replaces a count by the one that a later event names, and keeps what it leaves out", () => {
    const signals = readAll(
      START,
      delta({ input_tokens: null, output_tokens: 8 }, null),
      delta({ input_tokens: 7, output_tokens: 9 }),
    );
    expect(signals.slice(1)).toMatchObject([
      { usage: { usage: { inputTokens: 5, outputTokens: 8 } } },
      { usage: { usage: { inputTokens: 7, outputTokens: 9 } } },
    ]);
  });

  test.each([
    [null, { reading: "absent" }],
    [{}, { usage: { outputTokens: null } }],
    [{ output_tokens: "9" }, { reading: "malformed" }],
  ])("reads the usage %j of a delta", (usage, wanted) => {
    expect(readAll(START, delta(usage))[1]).toMatchObject({ usage: wanted });
  });

  test.each([
    ["end_turn", "completed"],
    ["tool_use", "completed"],
    ["max_tokens", "incomplete"],
    ["model_context_window_exceeded", "incomplete"],
  ])("takes a stop for %s as %s", (reason, status) => {
    const signals = readAll(START, delta({ output_tokens: 2 }, reason), { type: "message_stop" });
    expect(signals[2]).toMatchObject({ signal: "ended", terminal: "message_stop", status });
  });

  test("takes an error in the stream as what broke off the answer", () => {
    const error = { type: "overloaded_error", message: "m" };
    expect(readAll({ type: "error", error })).toMatchObject([
      { signal: "refused", about: "response", errorCode: "overloaded_error" },
    ]);
  });

  test.each([
    ["content_block_delta", "output"],
    ["content_block_start", undefined],
    ["ping", undefined],
    ["an_event_of_tomorrow", undefined],
  ])("takes %s as %p, wherever its type stands", (type, signal) => {
    for (const event of [{ type }, { x: 1, type }]) {
      expect(readAll(event)[0]?.signal).toBe(signal as "output");
    }
  });
});

describe("messageBody", () => {
  test("reads a whole message", () => {
    const message = { id: "msg_1", model: "m", usage: USAGE, stop_reason: "max_tokens" };
    expect(messageBody.read(JSON.stringify(message))).toMatchObject({
      key: "msg_1",
      model: "m",
      serviceTier: "standard",
      status: "incomplete",
      usage: { usage: { inputTokens: 5, outputTokens: 1 } },
    });
  });

  test("reads fast mode as the tier", () => {
    const message = { id: "msg_1", usage: { ...USAGE, speed: "fast" } };
    expect(messageBody.read(JSON.stringify(message))).toMatchObject({ serviceTier: "fast" });
  });

  test("reads nothing from what is no JSON object", () => {
    expect(messageBody.read("[]")).toBeNull();
  });
});
