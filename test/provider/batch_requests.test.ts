import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { readBatch } from "../../src/provider/batch_requests.ts";
import type { BatchFormat } from "../../src/provider/provider.ts";

const utf8 = new TextEncoder();

/** The requests as text, and what else was found. */
function read(format: BatchFormat, text: string) {
  const body = utf8.encode(text);
  const { requests, ...more } = readBatch(format, body);
  const texts = requests.map(({ start, end }) => body.subarray(start, end));
  return { requests: texts.map((one) => new TextDecoder().decode(one)), ...more };
}

function refusal(format: BatchFormat, text: string): string {
  try {
    read(format, text);
  } catch (thrown) {
    if (thrown instanceof GatewayError) return `${thrown.code} ${thrown.param}`;
    throw thrown;
  }
  throw new Error("It passed");
}

const gemini = (requests: string, more = "") =>
  `{"batch":{${more}"inputConfig":{"requests":{"requests":${requests}}}}}`;

describe("readBatch()", () => {
  test("finds the requests of Anthropic's, by bytes and however the keys are written", () => {
    const text =
      '{ "x":"é\u{1f600}", "r\\u0065quests" : [ {"custom_id":"é","params":{"a":1}} ,' +
      ' {"param\\u0073" : {} } ] }';
    expect(read("anthropic", text)).toEqual({
      dialect: "anthropic_messages",
      requests: ['{"a":1}', "{}"],
      models: [],
      namesFile: false,
    });
  });

  test("finds those of Gemini's in both spellings, and the models beside them", () => {
    const requests = '[{"request":{"model":"models/b","x":[]},"metadata":{"key":"1"}}]';
    const text = gemini(requests, '"model":"models/a",');
    const found = {
      dialect: "gemini_generate" as const,
      requests: ['{"model":"models/b","x":[]}'],
      models: ["models/a", "models/b"],
      namesFile: false,
    };
    expect(read("gemini", text)).toEqual(found);
    expect(read("gemini", text.replace("inputConfig", "input_config"))).toEqual(found);
  });

  test.each(["fileName", "file_name"])("says that %s names a file", (key) => {
    const text = `{"batch":{"inputConfig":{"${key}":"files/1"}}}`;
    expect(read("gemini", text)).toMatchObject({ requests: [], namesFile: true });
    const both = gemini('[{"request":{}}]').replace('{"requests":{', `{"${key}":"x","requests":{`);
    expect(read("gemini", both)).toMatchObject({ requests: ["{}"], namesFile: true });
  });

  test("takes any body of a batch that is always in a file for one", () => {
    expect(read("file", '{"input_file_id":"file-1"}')).toMatchObject({ namesFile: true });
  });

  test.each([
    ["anthropic", "{}"],
    ["anthropic", '{"requests":[]}'],
    ["gemini", '{"batch":{}}'],
  ] as const)("finds none in %s, %s", (format, text) => {
    expect(read(format, text)).toMatchObject({ requests: [], namesFile: false });
  });

  test.each([
    ["anthropic", '{"requests":[],"request\\u0073":[]}', "ambiguous_json requests"],
    ["anthropic", '{"requests":[{"params":{},"params":{}}]}', "ambiguous_json params"],
    ["anthropic", '{"requests":{"params":{}}}', "bad_request requests"],
    ["anthropic", '{"requests":null}', "bad_request requests"],
    ["anthropic", '{"requests":[{}]}', "bad_request requests"],
    ["anthropic", '{"requests":[[]]}', "bad_request requests"],
    ["anthropic", '{"requests":[{"params":[]}]}', "bad_request requests"],
    ["gemini", '{"batch":{"inputConfig":{},"input_config":{}}}', "ambiguous_json inputConfig"],
    ["gemini", gemini('[{"request":1}]'), "bad_request batch.inputConfig.requests.requests"],
    ["gemini", gemini('[{"request":{"model":"a","model":"b"}}]'), "ambiguous_json model"],
  ] as const)("refuses what %s could read otherwise: %s", (format, text, expected) => {
    expect(refusal(format, text)).toBe(expected);
  });
});
