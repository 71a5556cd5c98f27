import { describe, expect, test } from "bun:test";
import { ErrorReader, JsonReader, OpaqueReader, SseReader } from "../../src/meter/body_reader.ts";
import { BodyTurn } from "../../src/meter/body_turn.ts";
import { readResponseBody, responsesReader } from "../../src/provider/openai_responses.ts";
import { MeterWorld } from "../support/meter_world.ts";

const utf8 = new TextEncoder();
const DONE = '{"type":"response.completed","response":{"id":"r","status":"completed"}}';

function open() {
  const world = new MeterWorld();
  return { world, turn: new BodyTurn(world.body("none", null)), closed: world.ledger.closed };
}

describe("SseReader", () => {
  test("ends the turn with the terminal event, before the body is complete", () => {
    const { turn, closed } = open();
    const reader = new SseReader(turn, responsesReader, 1000);
    reader.push(utf8.encode(`data: ${DONE}\n`));
    expect(closed.length).toBe(0);
    reader.push(utf8.encode("\n"));
    reader.finish();
    expect(closed).toMatchObject([{ response_id: "r", frames_down: 1 }]);
  });
});

describe("JsonReader", () => {
  test("reads a body in many pieces once it is complete", () => {
    const { turn, closed } = open();
    const reader = new JsonReader(turn, readResponseBody, 1000);
    for (const byte of utf8.encode('{"id":"é"}')) reader.push(Uint8Array.of(byte));
    expect(closed.length).toBe(0);
    reader.finish();
    expect(closed).toMatchObject([{ response_id: "é", status: "completed" }]);
  });

  test("reads nothing beyond its limit and says so", () => {
    const { world, turn, closed } = open();
    const reader = new JsonReader(turn, readResponseBody, 4);
    reader.push(utf8.encode('{"id":"r"}'));
    reader.finish();
    expect(closed).toMatchObject([{ response_id: null, usage_source: "missing" }]);
    expect(world.reports[0]).toMatchObject({ cause: "body_too_large" });
  });
});

describe("ErrorReader", () => {
  test("takes the code from the body, and none from one that is too large", () => {
    for (const [bytesMax, code] of [
      [1000, "c"],
      [3, null],
    ] as const) {
      const { turn, closed } = open();
      const reader = new ErrorReader(turn, bytesMax);
      reader.push(utf8.encode('{"error":{"code":"c"}}'));
      reader.finish();
      expect(closed).toMatchObject([{ error_code: code, usage_source: "none_billed" }]);
    }
  });
});

describe("OpaqueReader", () => {
  test("completes the turn with its usage missing", () => {
    const { turn, closed } = open();
    const reader = new OpaqueReader(turn);
    reader.push();
    reader.finish();
    expect(closed).toMatchObject([{ status: "completed", usage_source: "missing" }]);
  });
});
