import { expect, test } from "bun:test";

import { GatewayError } from "../src/errors.ts";
import { reportInternal } from "../src/gateway_arrival.ts";

function reported(error: GatewayError): unknown[] {
  const lines: unknown[] = [];
  reportInternal({ log: (event, fields) => void lines.push([event, fields]) }, "ex_1", error);
  return lines;
}

test("reportInternal() logs the cause of what was not foreseen, with its stack", () => {
  const cause = new Error("boom");
  expect(reported(new GatewayError("internal", { cause }))).toEqual([
    ["internal_error", { request_id: "ex_1", reason: cause.stack }],
  ]);
  expect(reported(new GatewayError("internal", { cause: "text" }))).toEqual([
    ["internal_error", { request_id: "ex_1", reason: "text" }],
  ]);
});

test("reportInternal() leaves refusals to the line that every refusal has", () => {
  expect(reported(new GatewayError("token_missing"))).toEqual([]);
});
