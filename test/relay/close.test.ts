import { describe, expect, test } from "bun:test";

import {
  breachError,
  closeCodeLabel,
  cutReason,
  DialFailed,
  dialFailureAnswer,
  dialRefusalAnswer,
  DialRefused,
  mapDialFailure,
  wireCloseCode,
} from "../../src/relay/close.ts";

const refused = (status: number, body = "") =>
  new DialRefused(
    status,
    [
      ["content-type", "application/json"],
      ["content-length", "999"],
      ["transfer-encoding", "chunked"],
      ["x-request-id", "r1"],
      ["retry-after", "3"],
    ],
    new TextEncoder().encode(body),
  );

test.each([
  [1009, "frame_too_large"],
  [1002, "bad_request"],
  [1007, "bad_request"],
])("breachError(%p) is %s, with the runtime's words", (code, expected) => {
  const error = breachError(code, "Received nonsense");
  expect([error.code, error.message]).toEqual([expected, "Received nonsense"]);
});

test.each([
  [1000, "1000"],
  [1006, "1006"],
  [1015, "1015"],
  [1016, "other"],
  [3000, "3xxx"],
  [4999, "4xxx"],
  [65_535, "other"],
])("closeCodeLabel(%p) is %p", (code, label) => {
  expect(closeCodeLabel(code)).toBe(label);
});

test.each([
  [null, null],
  [1005, null],
  [1000, 1000],
  [1012, 1012],
  [4999, 4999],
  [1004, 1011],
  [1006, 1011],
  [1015, 1011],
  [2000, 1011],
  [5000, 1011],
  [0, 1011],
])("wireCloseCode(%p) is %p", (code, wire) => {
  expect(wireCloseCode(code)).toBe(wire);
});

test.each([
  ["", ""],
  ["short", "short"],
  ["x".repeat(123), "x".repeat(123)],
  ["x".repeat(124), "x".repeat(123)],
  ["é".repeat(62), "é".repeat(61)],
  [`${"x".repeat(121)}😀`, "x".repeat(121)],
  [`${"x".repeat(119)}😀y`, `${"x".repeat(119)}😀`],
])("cutReason() keeps whole characters of at most 123 bytes", (reason, cut) => {
  expect(cutReason(reason)).toBe(cut);
});

describe("mapDialFailure()", () => {
  test.each([
    ["timeout", 1013, "upstream websocket connect timeout"],
    [429, 1013, "upstream websocket is busy, please retry later"],
    [401, 1008, "upstream websocket authentication failed"],
    [403, 1008, "upstream websocket authentication failed"],
    [400, 1008, "upstream websocket handshake rejected"],
    [404, 1008, "upstream websocket handshake rejected"],
    [500, 1011, "upstream websocket proxy failed"],
    [302, 1011, "upstream websocket proxy failed"],
    ["connect", 1011, "upstream websocket proxy failed"],
    ["tls", 1011, "upstream websocket proxy failed"],
    ["closed", 1011, "upstream websocket proxy failed"],
    ["protocol", 1011, "upstream websocket proxy failed"],
  ] as const)("%p is %d", (what, code, reason) => {
    const error = typeof what === "number" ? refused(what) : new DialFailed(what, "why");
    const mapped = mapDialFailure(error);
    expect([mapped.closeCode, mapped.closeReason]).toEqual([code, reason]);
  });
});

describe("before the upgrade", () => {
  test.each([
    ["timeout", 504, "upstream_timeout"],
    ["connect", 502, "upstream_unreachable"],
    ["tls", 502, "upstream_unreachable"],
    ["closed", 502, "upstream_closed"],
    ["protocol", 502, "upstream_unreachable"],
  ] as const)("dialFailureAnswer(): %s is %d %s", (kind, status, code) => {
    const error = dialFailureAnswer(new DialFailed(kind, "why"));
    expect([error.status, error.code]).toEqual([status, code]);
  });

  test("dialRefusalAnswer() passes status, end-to-end headers and body as they came", async () => {
    const answer = dialRefusalAnswer(refused(429, '{"error":{}}'), () => false);
    expect([answer.status, await answer.text()]).toEqual([429, '{"error":{}}']);
    expect(Object.fromEntries(answer.headers)).toEqual({
      "content-type": "application/json",
      "retry-after": "3",
      "x-request-id": "r1",
    });
  });

  test("dialRefusalAnswer() passes an answer that has no body", () => {
    expect(dialRefusalAnswer(refused(304, "x"), () => false).body).toBeNull();
  });

  test("dialRefusalAnswer() throws upstream_auth_failed where our credential was refused", () => {
    const judge = (status: number, body: string) => status === 400 && body.includes("KEY_INVALID");
    expect(() => dialRefusalAnswer(refused(400, "API_KEY_INVALID"), judge)).toThrow(
      expect.objectContaining({ code: "upstream_auth_failed" }),
    );
  });
});
