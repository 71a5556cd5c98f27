import { describe, expect, test } from "bun:test";
import { responseBody, responsesReader } from "../../src/provider/openai_responses.ts";

const read = (event: object) => responsesReader.upstreamSignal(JSON.stringify(event));

describe("responsesReader", () => {
  test.each([
    [{ generate: false }, true],
    [{ prompt_cache_options: { prewarm: true } }, true],
    [{ generate: true }, false],
    [{ generate: 0 }, false],
    [{}, false],
  ])("takes a create with %j as a warm-up: %p", (more, warmup) => {
    const text = JSON.stringify({ ...more, model: "m", type: "response.create" });
    expect(responsesReader.clientSignal(text)).toMatchObject({ signal: "requested", warmup });
  });

  test.each(["type", "model", "service_tier"])("refuses a message that names %s twice", (key) => {
    const escaped = `\\u00${key.charCodeAt(0).toString(16)}${key.slice(1)}`;
    const text = `{"type":"response.create","${key}":"a","x":1,"${escaped}":"b"}`;
    expect(() => responsesReader.clientSignal(text)).toThrow(`The JSON names "${key}" twice`);
  });

  test.each([
    ['"max_output_tokens":64', 64],
    ['"max_output_tokens":null', null],
    ['"max_output_tokens":1.5', null],
    ['"max_output_tokens":64,"max_output_tokens":65', null],
  ])("reads the output limit of a create with %s as %p", (limit, outputTokensMax) => {
    const signal = responsesReader.clientSignal(`{"type":"response.create",${limit}}`);
    expect(signal).toMatchObject({ signal: "requested", outputTokensMax });
  });

  test.each([
    ["response.output_text.delta", "output"],
    ["response.output_text.done", undefined],
    ["response.in_progress", undefined],
    ["codex.rate_limits", undefined],
    ["error", "refused"],
    ["response.completed", "ended"],
  ])("takes %s as %p, wherever its type stands", (type, signal) => {
    expect(read({ type })?.signal).toBe(signal as "ended");
    expect(read({ x: 1, type })?.signal).toBe(signal as "ended");
  });

  test.each([
    [{ status: 429, error: { type: "usage_limit_reached" } }, "usage_limit_reached", 429],
    [{ status: 400, error: { code: "c", type: "t" }, stream_id: "s" }, "c", 400],
    [{ code: "server_error", message: "m", param: null }, "server_error", null],
  ])("reads the error %j", (more, errorCode, httpStatus) => {
    expect(read({ type: "error", ...more })).toMatchObject({ errorCode, httpStatus });
  });

  test("takes every other client message as one that may be answered with an error", () => {
    for (const type of ["response.steer", "x", null]) {
      const signal = responsesReader.clientSignal(JSON.stringify({ type }));
      expect(signal).toEqual({ signal: "other" });
    }
  });

  test.each([
    [{ status: 400, error: { code: "c" } }, "request", true],
    [{ code: "server_error", message: "m" }, "response", true],
    [{ status: 400, error: { code: "c", param: "stream_id" } }, "request", false],
    [{ status: 400, error: { code: "invalid_stream_id" } }, "request", false],
    [{ error: { code: "invalid_stream_id" }, stream_id: "s" }, "request", true],
  ])("says what the error %j may be about", (more, about, laneKnown) => {
    expect(read({ type: "error", ...more })).toMatchObject({ about, laneKnown });
  });

  test("names the lane of an output", () => {
    const text = '{"type":"response.output_text.delta","delta":"x","stream_id":"s"}';
    expect(responsesReader.outputOf(text)).toEqual({ key: null, lane: "s" });
  });
});

describe("responseBody", () => {
  test.each([
    ["completed", "completed"],
    ["incomplete", "incomplete"],
    ["failed", "failed"],
    ["cancelled", "cancelled"],
    ["queued", "pending"],
    ["in_progress", "pending"],
  ])("takes %s as %s", (status, wanted) => {
    const signal = responseBody.read(JSON.stringify({ id: "r", status }));
    expect(signal).toMatchObject({ status: wanted, key: "r", usage: { reading: "absent" } });
  });
});
