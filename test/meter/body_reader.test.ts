import { describe, expect, test } from "bun:test";
import {
  ArrayReader,
  ErrorReader,
  JsonReader,
  OpaqueReader,
  SseReader,
} from "../../src/meter/body_reader.ts";
import { BodyTurn } from "../../src/meter/body_turn.ts";
import { generateReader } from "../../src/provider/gemini_generate.ts";
import { responseBody, responsesReader } from "../../src/provider/openai_responses.ts";
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

  test("abort() reads the last line, though its blank line did not come", () => {
    for (const [line, status] of [
      [`data: ${DONE}\n`, "completed"],
      [`data: ${DONE}`, "completed"],
      [`data: ${DONE.slice(0, -1)}`, "interrupted"],
    ] as const) {
      const { turn, closed } = open();
      const reader = new SseReader(turn, responsesReader, 1000);
      reader.push(utf8.encode(line));
      reader.abort();
      expect(closed).toMatchObject([{ status }]);
    }
  });
});

describe("SseReader of a format without a terminal event", () => {
  const last = 'data: {"candidates":[{"finishReason":"STOP"}]}\n\n';

  test.each([
    [last, "completed"],
    ['data: {"candidates":[{}]}\n\n', "interrupted"],
  ])("takes the end of the stream after %j as %s", (text, status) => {
    for (const end of ["finish", "abort"] as const) {
      const { turn, closed } = open();
      const reader = new SseReader(turn, generateReader(), 1000);
      reader.push(utf8.encode(text));
      expect(closed.length).toBe(0);
      reader[end]();
      expect(closed).toMatchObject([{ status }]);
    }
  });
});

describe("ArrayReader", () => {
  const usage = '"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}';
  const last = `{"candidates":[{"finishReason":"STOP"}],${usage}}`;

  function read(text: string, bytesMax = 1000) {
    const opened = open();
    const reader = new ArrayReader(opened.turn, generateReader(), bytesMax);
    reader.push(utf8.encode(text));
    return { ...opened, reader };
  }

  test("ends the turn with the closing bracket, before the body is complete", () => {
    const { reader, closed } = read(`[${last}`);
    expect(closed.length).toBe(0);
    reader.push(utf8.encode("\n]"));
    reader.finish();
    expect(closed).toMatchObject([{ status: "completed", input_tokens: 3, frames_down: 1 }]);
  });

  test.each([
    [`[${last}`, "completed", "upstream"],
    [`[{"candidates":[{}],${usage}}`, "interrupted", "partial"],
    [`[{"candidates":[{}],${usage}},{"error":{"code":503}}]`, "error", "partial"],
    ["[", "interrupted", "missing"],
    ['{"candidates":[]}', "completed", "missing"],
  ])("reads %s as %s, usage %s", (text, status, usage_source) => {
    const { reader, closed } = read(text);
    reader.finish();
    expect(closed).toMatchObject([{ status, usage_source }]);
  });

  test("says when an object is too large to be read", () => {
    const { world, closed } = read(`[${last}]`, 20);
    expect(closed).toMatchObject([{ status: "interrupted" }]);
    expect(world.reports[0]).toMatchObject({ cause: "event_too_large" });
  });
});

describe("JsonReader", () => {
  test("reads a body in many pieces once it is complete", () => {
    const { turn, closed } = open();
    const reader = new JsonReader(turn, responseBody);
    for (const byte of utf8.encode('{"id":"é"}')) reader.push(Uint8Array.of(byte));
    expect(closed.length).toBe(0);
    reader.finish();
    expect(closed).toMatchObject([{ response_id: "é", status: "completed" }]);
  });

  test("reads a body in one chunk as it reads the same in two", () => {
    const usage = '"usage":{"input_tokens":3,"output_tokens":4}';
    const bodies = [
      `{"id":"r",${usage}}`,
      ` {"id":"a","id":"r","usage":null,${usage}}\n`,
      `{"id":"r",${usage}} {}`,
      `{"id":"r",${usage}`,
      `\ufeff{"id":"r",${usage}}`,
      `{"id":"r","x":tru,${usage}}`,
    ].map((text) => utf8.encode(text));
    bodies.push(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x30, 0x7d));
    for (const bytes of bodies) {
      const rows = [bytes.length, 1].map((cut) => {
        const { turn, closed } = open();
        const reader = new JsonReader(turn, responseBody);
        for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
          if (part.length > 0) reader.push(part);
        }
        reader.finish();
        return closed;
      });
      expect(rows[0]).toEqual(rows[1]);
    }
  });

  test("reads the usage of a body of any size, and keeps none of the rest", () => {
    const { turn, closed } = open();
    const reader = new JsonReader(turn, responseBody);
    const chunk = utf8.encode(`"${"x".repeat(1 << 20)}",`);
    reader.push(utf8.encode('{"id":"r","data":['));
    const heap = process.memoryUsage().arrayBuffers;
    for (let count = 0; count < 40; count++) reader.push(chunk);
    expect(process.memoryUsage().arrayBuffers - heap).toBeLessThan(4 << 20);
    reader.push(utf8.encode('0],"usage":{"input_tokens":3,"output_tokens":4}}'));
    reader.finish();
    expect(closed).toMatchObject([{ response_id: "r", output_tokens: 4 }]);
  });

  test("counts the web searches of an output whose texts are long", () => {
    const { turn, closed } = open();
    const reader = new JsonReader(turn, responseBody);
    const output = [{ type: "web_search_call" }, { type: "message", text: "x".repeat(1 << 20) }];
    reader.push(
      utf8.encode(JSON.stringify({ output, usage: { input_tokens: 1, output_tokens: 1 } })),
    );
    reader.finish();
    expect(closed).toMatchObject([{ web_search_requests: 1 }]);
  });

  test("says when a field that it looks at is too large, and reads the others", () => {
    const { world, turn, closed } = open();
    const reader = new JsonReader(turn, responseBody);
    reader.push(utf8.encode(`{"id":"r","usage":{"x":[${"1,".repeat(200_000)}1]}}`));
    reader.finish();
    expect(closed).toMatchObject([{ response_id: "r", usage_source: "missing" }]);
    expect(world.reports[0]).toMatchObject({ cause: "body_too_large" });
  });

  test("abort() ends the turn with a body that is whole, and leaves another interrupted", () => {
    for (const [text, status] of [
      ['{"id":"r","usage":{"input_tokens":3,"output_tokens":4}}', "completed"],
      ['{"id":"r","usage":{"input_tokens":3,"output_tokens":4}', "interrupted"],
    ] as const) {
      const { turn, closed } = open();
      const reader = new JsonReader(turn, responseBody);
      reader.push(utf8.encode(text));
      reader.abort();
      expect(closed).toMatchObject([{ status }]);
    }
  });
});

describe("ErrorReader", () => {
  test("takes the code from the body, and none from one that is no JSON", () => {
    for (const [body, code] of [
      [`{"x":"${"y".repeat(300_000)}","error":{"code":"c"}}`, "c"],
      ["<h1>Bad gateway</h1>", null],
      ['[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]', "RESOURCE_EXHAUSTED"],
    ] as const) {
      const { turn, closed } = open();
      const reader = new ErrorReader(turn);
      reader.push(utf8.encode(body));
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
