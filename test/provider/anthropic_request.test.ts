import { describe, expect, test } from "bun:test";
import { anthropicRequest } from "../../src/provider/anthropic_request.ts";

describe("anthropicRequest()", () => {
  test("reads what the client asked for, verbatim", () => {
    const body = '{"max_tokens":9,"speed":"fast","stream":true,"service_tier":"auto","model":"m"}';
    expect(anthropicRequest(body)).toEqual({
      model: "m",
      serviceTier: "auto",
      stream: true,
      outputTokensMax: 9,
      speed: "fast",
      includeUsage: false,
      background: false,
      previousResponseId: null,
      duplicate: null,
    });
  });

  test.each([
    ['{"model":"a","model":"b"}', "model"],
    ['{"speed":"a","speed":"b"}', "speed"],
    ['{"max_tokens":1,"max_tokens":2}', null],
    ['{"max_tokens":1,"max_tokens":2,"service_tier":"a","service_tier":"b"}', "service_tier"],
  ])("of %s reports the duplicate %p, and no output limit", (body, duplicate) => {
    expect(anthropicRequest(body)).toMatchObject({ duplicate, outputTokensMax: null });
  });

  test("reads nothing from what is no JSON object", () => {
    expect(anthropicRequest("[]")).toBeNull();
  });
});
