/** What is said of a batch after its requests were judged, and what of its body changes. */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { judgeBatch } from "../../src/gateway/batch.ts";
import { requestedByForm } from "../../src/provider/openai_request.ts";
import type { BatchFormat } from "../../src/provider/provider.ts";

const utf8 = new TextEncoder();
const NOTHING = requestedByForm(new Map());

/** A judge who reads `model` and `tier`, takes a tier "no" out, and refuses a tier "never". */
function judge(body: Uint8Array<ArrayBuffer>) {
  const text = new TextDecoder().decode(body);
  const { model = null, tier = null } = JSON.parse(text);
  if (tier === "never") throw new GatewayError("tier_blocked");
  const isOut = tier === "no";
  return {
    body: isOut ? utf8.encode(text.replace(',"tier":"no"', "")) : body,
    requested: { ...NOTHING, model, serviceTier: tier },
    decidedTier: isOut ? null : tier,
    betas: isOut ? "kept" : undefined,
  };
}

function judged(text: string, format: BatchFormat = "anthropic", model: string | null = null) {
  const body = utf8.encode(text);
  const files: string[] = [];
  const batch = { body, requested: { ...NOTHING, model }, decidedTier: null, betas: undefined };
  const read = judgeBatch(format, batch, {
    request: (_dialect, request) => judge(request),
    file: () => void files.push("asked"),
  });
  const { requested, decidedTier, betas } = read;
  return {
    text: new TextDecoder().decode(read.body),
    isSame: read.body === body,
    model: requested.model,
    tiers: [requested.serviceTier, decidedTier],
    betas,
    files,
  };
}

const batch = (...params: readonly string[]) =>
  `{"é" :1, "requests":[ ${params.map((one) => `{"params": ${one} }`).join(" ,")}]}`;

describe("judgeBatch()", () => {
  test("changes a request that was changed, and no other byte", () => {
    const kept = '{"model":"a","x":"é"}';
    const text = batch(kept, '{"model":"a","tier":"no"}', kept, '{"model":"a","tier":"no"}');
    const found = judged(text);
    expect(found.text).toBe(text.replaceAll(',"tier":"no"', ""));
    expect(found).toMatchObject({ model: "a", tiers: ["no", null], betas: "kept" });
  });

  test("gives the very body back where nothing was changed", () => {
    expect(judged(batch('{"model":"a","tier":"flex"}'))).toMatchObject({
      isSame: true,
      tiers: ["flex", "flex"],
      betas: undefined,
      files: [],
    });
  });

  test("names a tier that is sent with any of them", () => {
    const requests = ['{"model":"a"}', '{"model":"a","tier":"no"}', '{"model":"a","tier":"x"}'];
    expect(judged(batch(...requests)).tiers).toEqual(["x", "x"]);
  });

  test("names a model only where it is that of all", () => {
    expect(judged(batch('{"model":"a"}', '{"model":"b"}')).model).toBeNull();
    expect(judged(batch('{"model":"a"}', "{}")).model).toBeNull();
    expect(judged(batch()).model).toBeNull();
  });

  test("is refused with one of its requests", () => {
    const requests = ['{"model":"a"}', '{"model":"a","tier":"never"}'];
    expect(() => judged(batch(...requests))).toThrow(GatewayError);
  });

  test("has a file judged that it names", () => {
    expect(judged('{"input_file_id":"f"}', "file").files).toEqual(["asked"]);
  });

  test("refuses a model beside that of the path", () => {
    const named = (model: string) =>
      `{"batch":{"inputConfig":{"requests":{"requests":[{"request":{"model":"${model}"}}]}}}}`;
    expect(judged(named("models/gemini"), "gemini", "gemini").model).toBe("gemini");
    expect(() => judged(named("models/other"), "gemini", "gemini")).toThrow(/another model/);
  });
});
