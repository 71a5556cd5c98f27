/**
 * What reaches the relay, sent byte for byte over a socket: the listener's own parser and the guard
 * together must refuse it, and then close.
 */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";

import { guardRequest } from "../../src/accept/guard.ts";
import { errorResponse } from "../../src/errors.ts";
import { bunRuntime } from "../../src/runtime/bun.ts";
import type { Listener } from "../../src/runtime/runtime.ts";

let listener: Listener;
/** `METHOD path` of the requests that passed. */
let passed: string[] = [];

beforeAll(() => {
  listener = bunRuntime.listen({
    hostname: "127.0.0.1",
    port: 0,
    bodyBytesMax: 1024 * 1024,
    messageBytesMax: 1024,
    handle(request) {
      const refusal = guardRequest(request, 40);
      if (refusal !== null) return errorResponse(refusal, "openai", "req");
      const url = new URL(request.url);
      passed.push(`${request.method} ${url.pathname}${url.search}`);
      return new Response("passed");
    },
  });
});

afterAll(() => listener.stop(true));

beforeEach(() => {
  passed = [];
});

interface Reply {
  readonly status: number;
  readonly closed: boolean;
}

/** Sends `text` and, when the connection is still open after the answer, a second request. */
async function send(text: string): Promise<Reply> {
  let received = "";
  let closed = false;
  let changed = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: listener.port,
    socket: {
      data(_, bytes) {
        received += bytes.toString("latin1");
        changed.resolve();
      },
      close() {
        closed = true;
        changed.resolve();
      },
      error() {},
    },
  });
  const until = async (done: () => boolean) => {
    while (!done() && !closed) {
      await changed.promise;
      changed = Promise.withResolvers<void>();
    }
  };
  const answers = () => received.match(/HTTP\/1\.1 \d{3}/g) ?? [];
  socket.write(Buffer.from(text, "latin1"));
  await until(() => answers().length > 0);
  const before = passed.length;
  socket.write("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => answers().length > 1);
  const reused = passed.length > before;
  if (reused) passed.pop();
  socket.terminate();
  return { status: Number(answers()[0]?.slice(9) ?? 0), closed: !reused };
}

function post(head: string, body = ""): string {
  return `POST /p HTTP/1.1\r\nHost: a\r\n${head}\r\n\r\n${body}`;
}

function get(head: string, target = "/p"): string {
  return `GET ${target} HTTP/1.1\r\n${head}\r\n\r\n`;
}

const CHUNKED = "2\r\nhi\r\n0\r\n\r\n";

describe("guardRequest() behind the listener refuses and closes", () => {
  test.each<[string, string, number]>([
    ["Transfer-Encoding: ,chunked", post("Transfer-Encoding: ,chunked", CHUNKED), 400],
    ["Transfer-Encoding: chunked,", post("Transfer-Encoding: chunked,", CHUNKED), 400],
    ["Transfer-Encoding: gzip, chunked", post("Transfer-Encoding: gzip, chunked", CHUNKED), 400],
    ["Transfer-Encoding: identity", post("Transfer-Encoding: identity", CHUNKED), 400],
    ["an empty Transfer-Encoding", post("Transfer-Encoding: ", CHUNKED), 400],
    ["Transfer-Encoding: xchunked", post("Transfer-Encoding: xchunked", CHUNKED), 400],
    [
      "Transfer-Encoding twice",
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CHUNKED),
      400,
    ],
    [
      "both ways to tell the length",
      post("Content-Length: 2\r\nTransfer-Encoding: chunked", CHUNKED),
      400,
    ],
    ["one length twice", post("Content-Length: 2\r\nContent-Length: 2", "hi"), 400],
    ["two lengths", post("Content-Length: 2\r\nContent-Length: 3", "hi"), 400],
    ["a signed length", post("Content-Length: +2", "hi"), 400],
    ["a body on GET", `GET /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi`, 400],
    [
      "a chunked body on GET",
      `GET /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKED}`,
      400,
    ],
    ["no Host", get("X-A: b"), 400],
    ["an empty Host", get("Host: "), 400],
    ["two Hosts", get("Host: a\r\nHost: b"), 400],
    ["a Host list", get("Host: a, b"), 400],
    ["a space in Host", get("Host: a b"), 400],
    ["user information in Host", get("Host: u@a"), 400],
    ["a path in Host", get("Host: a/b"), 400],
    ["a URL in Host", get("Host: http://a"), 400],
    ["a leading // in Host", get("Host: //a"), 400],
    ["a query in Host", get("Host: a?b"), 400],
    ["an escape in Host", get("Host: a%2eb"), 400],
    ["an open bracket in Host", get("Host: [::1"), 400],
    ["an address that is none in Host", get("Host: 999.999.999.999"), 400],
    ["an IPv6 address that is none in Host", get("Host: [::1::1]"), 400],
    ["a port out of range", get("Host: a:99999"), 400],
    ["a port that is none", get("Host: a:x"), 400],
    ["0x7f in a value", get("Host: a\r\nX-A: a\x7fb"), 400],
    ["0x01 in a value", get("Host: a\r\nX-A: a\x01b"), 400],
    ["NUL in a value", get("Host: a\r\nX-A: a\x00b"), 400],
    ["a bare CR in a value", get("Host: a\r\nX-A: a\rb"), 400],
    ["a folded value", get("Host: a\r\nX-A: a\r\n b"), 400],
    ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405],
    ["TRACE", "TRACE /p HTTP/1.1\r\nHost: a\r\n\r\n", 405],
    [
      "too many headers",
      get(`Host: a${Array.from({ length: 41 }, (_, n) => `\r\nx${n}: a`).join("")}`),
      431,
    ],
    [
      "far too many headers",
      get(`Host: a${Array.from({ length: 300 }, (_, n) => `\r\nx${n}: a`).join("")}`),
      431,
    ],
    [
      "an escaped dot segment behind an escaped slash",
      get("Host: a", "/v1/files/x%2f..%2fmodels"),
      400,
    ],
    ["one escaped twice", get("Host: a", "/v1/%252e%252e/models"), 400],
    ["one with a backslash", get("Host: a", "/v1/x%5c..%5cmodels"), 400],
    ["one with a parameter", get("Host: a", "/v1/x%2f..;/models"), 400],
    ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 505],
  ])("%s", async (_title, text, status) => {
    expect(await send(text)).toEqual({ status, closed: true });
    expect(passed).toEqual([]);
  });
});

describe("guardRequest() lets pass", () => {
  test.each<[string, string, string]>([
    ["chunked", post("Transfer-Encoding: chunked", CHUNKED), "POST /p"],
    ["Chunked", post("Transfer-Encoding: Chunked", CHUNKED), "POST /p"],
    ["a length", post("Content-Length: 2", "hi"), "POST /p"],
    ["a length of 0 on GET", get("Host: a\r\nContent-Length: 0"), "GET /p"],
    ["a port", get("Host: a.example:8080"), "GET /p"],
    ["an IPv6 host", get("Host: [::1]:80"), "GET /p"],
    ["an underscore", get("Host: a_b"), "GET /p"],
    ["tabs and Latin-1 in values", get("Host: a\r\nX-A: a\tb\xff"), "GET /p"],
    [
      "an escaped slash",
      get("Host: a", "/v1/models/a%2Fb?x=%2e%2e"),
      "GET /v1/models/a%2Fb?x=%2e%2e",
    ],
    ["an escape that is none", get("Host: a", "/v1/%zz"), "GET /v1/%zz"],
    ["a dot segment, resolved", get("Host: a", "/v1/x/../models"), "GET /v1/models"],
    ["an escaped one, resolved", get("Host: a", "/v1/x/%2e%2e/models"), "GET /v1/models"],
    ["a backslash, resolved", get("Host: a", "/v1\\..\\models"), "GET /models"],
    ["a double slash, kept", get("Host: a", "//evil.example/p"), "GET //evil.example/p"],
    ["the absolute form, by its path", get("Host: a", "http://evil.example:99/p?q"), "GET /p?q"],
    ["a fragment, dropped", get("Host: a", "/p?q#f"), "GET /p?q"],
  ])("%s", async (_title, text, expected) => {
    expect(await send(text)).toEqual({ status: 200, closed: false });
    expect(passed).toEqual([expected]);
  });
});
