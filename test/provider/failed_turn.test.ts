import { describe, expect, test } from "bun:test";

import { failedTurnMessages } from "../../src/provider/failed_turn.ts";
import { messageReaderOf } from "../../src/provider/dialect.ts";

const CREATE = JSON.stringify({ type: "response.create", model: "gpt-5.5", stream_id: "lane" });
const TURN = { id: "resp_1", createdAtS: 1_795_190_000, reason: "Not here" };

describe("failedTurnMessages()", () => {
  test("begins and fails a response in the lane that asked", () => {
    const [created, failed, ...more] = failedTurnMessages("openai_responses", CREATE, TURN).map(
      (text) => JSON.parse(text),
    );
    expect(more).toEqual([]);
    expect(created).toMatchObject({
      type: "response.created",
      stream_id: "lane",
      sequence_number: 0,
      response: {
        id: "resp_1",
        created_at: 1_795_190_000,
        model: "gpt-5.5",
        status: "in_progress",
      },
    });
    expect(failed).toMatchObject({
      type: "response.failed",
      stream_id: "lane",
      sequence_number: 1,
      response: {
        id: "resp_1",
        status: "failed",
        error: { code: "invalid_prompt", message: "Not here" },
      },
    });
  });

  test("names no lane and an empty model where the request named none", () => {
    const create = '{"type":"response.create"}';
    const events = failedTurnMessages("openai_responses", create, TURN).map((text) =>
      JSON.parse(text),
    );
    expect(events.map((event) => "stream_id" in event)).toEqual([false, false]);
    expect(events.map(({ response }) => response.model)).toEqual(["", ""]);
  });

  test("ends a Realtime response as failed", () => {
    const events = failedTurnMessages("openai_realtime", CREATE, TURN);
    expect(events.map((text) => JSON.parse(text).type)).toEqual([
      "response.created",
      "response.done",
    ]);
    expect(JSON.parse(events[1] ?? "").response).toMatchObject({
      status: "failed",
      status_details: { type: "failed", error: { code: "invalid_prompt", message: "Not here" } },
    });
  });

  test.each(["openai_responses", "openai_realtime"] as const)("reads as ended in %s", (dialect) => {
    const [, end = ""] = failedTurnMessages(dialect, CREATE, TURN);
    const signal = messageReaderOf(dialect)?.upstreamSignal(end);
    expect(signal).toMatchObject({ signal: "ended", key: "resp_1", status: "failed" });
  });

  test("is nothing where the protocol has no such events", () => {
    expect(failedTurnMessages("gemini_live", CREATE, TURN)).toEqual([]);
  });

  test.each([
    ["openai_responses", '{"type":"response.steer","service_tier":"priority"}'],
    ["openai_responses", '{"service_tier":"priority"}'],
    ["openai_realtime", '{"type":"session.update","session":{"service_tier":"priority"}}'],
  ] as const)("is nothing in %s for a message that asks for no turn: %s", (dialect, asking) => {
    expect(failedTurnMessages(dialect, asking, TURN)).toEqual([]);
  });
});
