import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";

import {
  acceptValue,
  newKey,
  parseResponseHead,
  type UpgradeRequest,
  upgradeRequest,
  verifyUpgrade,
} from "../../src/relay/handshake.ts";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

function request(over: Partial<UpgradeRequest> = {}): UpgradeRequest {
  return {
    hostname: "api.example",
    port: 443,
    tls: true,
    path: "/v1/responses?model=a%20b",
    headers: [],
    subprotocols: [],
    ...over,
  };
}

describe("upgradeRequest()", () => {
  test("is the request of RFC 6455 section 4.1, with headers in order and no extension", () => {
    const headers = [
      ["OpenAI-Beta", "x=1"],
      ["x-two", "a"],
      ["x-two", "b\u00e9"],
    ] as const;
    const bytes = upgradeRequest(request({ headers, subprotocols: ["realtime", "v2"] }), KEY);
    expect(Buffer.from(bytes).toString("latin1").split("\r\n")).toEqual([
      "GET /v1/responses?model=a%20b HTTP/1.1",
      "Host: api.example",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Key: ${KEY}`,
      "Sec-WebSocket-Protocol: realtime, v2",
      "OpenAI-Beta: x=1",
      "x-two: a",
      "x-two: b\u00e9",
      "",
      "",
    ]);
  });

  test.each([
    ["api.example", 443, true, "api.example"],
    ["api.example", 80, false, "api.example"],
    ["api.example", 8443, true, "api.example:8443"],
    ["localhost", 443, false, "localhost:443"],
    ["[::1]", 8080, false, "[::1]:8080"],
    ["::1", 80, false, "[::1]"],
  ])("names the host %s:%d (tls %p) as %s", (hostname, port, tls, host) => {
    const text = Buffer.from(upgradeRequest(request({ hostname, port, tls }), KEY)).toString();
    expect(text).toContain(`\r\nHost: ${host}\r\n`);
  });

  test.each([
    ["a line break in a value", { headers: [["x", "a\r\nb: c"]] }],
    ["a bare line feed in a value", { headers: [["x", "a\nb: c"]] }],
    ["a NUL in a value", { headers: [["x", "a\0"]] }],
    ["a character that is no byte", { headers: [["x", "€"]] }],
    ["a line break in a name", { headers: [["x\r\ny", "a"]] }],
    ["a space in the path", { path: "/a b HTTP/1.1" }],
    ["a path without its slash", { path: "http://evil/" }],
    ["a line break in a subprotocol", { subprotocols: ["a\r\nb"] }],
    ["a line break in the host", { hostname: "a\r\nb" }],
  ] as [string, Partial<UpgradeRequest>][])("refuses %s", (_title, over) => {
    expect(() => upgradeRequest(request(over), KEY)).toThrow(
      expect.objectContaining({ name: "DialFailed", kind: "protocol" }),
    );
  });

  test("sends none of the handshake's own headers twice", () => {
    const headers = ["Host", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Extensions"].map(
      (name) => [name, "evil"] as const,
    );
    expect(Buffer.from(upgradeRequest(request({ headers }), KEY)).toString()).not.toContain("evil");
  });
});

describe("parseResponseHead()", () => {
  test("parses status and headers in order, and says where the head ends", () => {
    const text = "HTTP/1.1 429 Too Many\r\nA: 1\r\na:  two \r\nempty:\r\n\r\nbody";
    expect(parseResponseHead(Buffer.from(text))).toEqual({
      status: 429,
      headers: [
        ["A", "1"],
        ["a", "two"],
        ["empty", ""],
      ],
      size: text.length - 4,
    });
  });

  test("waits for the empty line", () => {
    expect(parseResponseHead(Buffer.from("HTTP/1.1 200 OK\r\nA: 1\r\n"))).toBeNull();
  });

  test.each([
    ["no HTTP at all", "SSH-2.0-OpenSSH"],
    ["another version", "HTTP/2 200"],
    ["a status of two digits", "HTTP/1.1 20 OK"],
    ["a folded line", "HTTP/1.1 200 OK\r\nA: 1\r\n b"],
    ["a space before the colon", "HTTP/1.1 200 OK\r\nA : 1"],
    ["a bare line feed", "HTTP/1.1 200 OK\r\nA: 1\nB: 2"],
    ["a line without a colon", "HTTP/1.1 200 OK\r\nnonsense"],
    ["a NUL", "HTTP/1.1 200 OK\r\nA: \0"],
  ])("refuses %s", (_title, head) => {
    expect(() => parseResponseHead(Buffer.from(`${head}\r\n\r\n`))).toThrow(
      expect.objectContaining({ kind: "protocol" }),
    );
  });
});

describe("verifyUpgrade()", () => {
  const good: [string, string][] = [
    ["Upgrade", "WebSocket"],
    ["Connection", "keep-alive, Upgrade"],
    ["Sec-WebSocket-Accept", acceptValue(KEY)],
  ];
  const without = (name: string) => good.filter((pair) => pair[0] !== name);

  test("accepts the example of RFC 6455 section 1.3", () => {
    expect(acceptValue(KEY)).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    expect(verifyUpgrade(good, KEY, [])).toBeNull();
  });

  test("returns the subprotocol, if it was offered", () => {
    const headers: [string, string][] = [...good, ["Sec-WebSocket-Protocol", "realtime"]];
    expect(verifyUpgrade(headers, KEY, ["x", "realtime"])).toBe("realtime");
  });

  test.each([
    ["no Upgrade", without("Upgrade")],
    ["another Upgrade", [...without("Upgrade"), ["upgrade", "h2c"]]],
    ["no Connection", without("Connection")],
    [
      "a Connection that only contains the word",
      [...without("Connection"), ["connection", "upgraded"]],
    ],
    ["no accept value", without("Sec-WebSocket-Accept")],
    ["a wrong accept value", [...without("Sec-WebSocket-Accept"), ["sec-websocket-accept", "x"]]],
    ["two accept values", [...good, ["sec-websocket-accept", acceptValue(KEY)]]],
    ["an extension", [...good, ["sec-websocket-extensions", "permessage-deflate"]]],
    ["a subprotocol that was not offered", [...good, ["sec-websocket-protocol", "other"]]],
    [
      "two subprotocols",
      [...good, ["sec-websocket-protocol", "a"], ["sec-websocket-protocol", "a"]],
    ],
  ] as [string, [string, string][]][])("refuses %s", (_title, headers) => {
    expect(() => verifyUpgrade(headers, KEY, ["a"])).toThrow(
      expect.objectContaining({ kind: "protocol" }),
    );
  });
});

test("newKey() is 16 fresh bytes", () => {
  expect(Buffer.from(newKey(), "base64")).toHaveLength(16);
  expect(newKey()).not.toBe(newKey());
});
