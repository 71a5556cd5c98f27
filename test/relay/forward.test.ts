/**
 * What the runtime's `fetch` makes of upstreams, well-behaved and not, and what that means to a
 * caller.
 */

import type { Socket } from "bun";
import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { ClientGone, Ending } from "../../src/relay/ending.ts";
import { forward } from "../../src/relay/forward.ts";
import type { ForwardOptions, UpstreamAnswer } from "../../src/relay/forward.ts";
import { Upload } from "../../src/relay/upload.ts";
import { causeOfError } from "../../src/route/retry_cause.ts";
import { ProxyError } from "../../src/runtime/runtime.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { rawServer } from "../support/raw_server.ts";
import type { RawServer } from "../support/raw_server.ts";

const TIMEOUTS = { requestMs: 0, dialMs: 0, responseHeaderMs: 0 };

function call(url: string, changes: Partial<ForwardOptions> = {}): Promise<UpstreamAnswer> {
  return forward({
    fetch,
    clock: new FakeClock(),
    method: "GET",
    url,
    headers: new Headers({ accept: "", "user-agent": "" }),
    body: null,
    timeouts: TIMEOUTS,
    ending: new Ending(),
    reachable: null,
    ...changes,
  });
}

async function using<T>(
  answer: (socket: Socket<{ asked: boolean }>) => void,
  run: (server: RawServer) => Promise<T>,
): Promise<T> {
  const server = rawServer(answer);
  try {
    return await run(server);
  } finally {
    server.stop();
  }
}

/** Answers with `text`; with `end` the connection is closed behind it. */
function replies(text: string, end = false) {
  return (socket: Socket<{ asked: boolean }>) => {
    socket.write(Buffer.from(text, "latin1"));
    if (end) socket.end();
  };
}

/** The code of the refusal, with the status. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  const thrown = await promise.then(
    () => null,
    (error) => error,
  );
  if (thrown instanceof GatewayError) return `${thrown.code} ${thrown.status}`;
  if (thrown instanceof ClientGone) return "client gone";
  throw new Error("Nothing was refused", { cause: thrown });
}

const OK = "HTTP/1.1 200 OK\r\n";

const INTERIM = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";

describe("forward() hands on", () => {
  const cases: [string, string, string, boolean, number, string | null][] = [
    ["a body with a length", "GET", `${OK}content-length: 5\r\n\r\nhello`, false, 200, "hello"],
    [
      "a chunked body",
      "GET",
      `${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
      false,
      200,
      "hello",
    ],
    [
      "an empty chunked body",
      "GET",
      `${OK}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      false,
      200,
      "",
    ],
    ["a body until close", "GET", `${OK}connection: close\r\n\r\nhello`, true, 200, "hello"],
    ["an HTTP/1.0 answer", "GET", "HTTP/1.0 200 OK\r\n\r\nhello", true, 200, "hello"],
    [
      "what follows 1xx answers",
      "GET",
      `${INTERIM}${OK}content-length: 2\r\n\r\nok`,
      false,
      200,
      "ok",
    ],
    ["HEAD with a length", "HEAD", `${OK}content-length: 100\r\n\r\n`, false, 200, null],
    ["204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, null],
    [
      "204 with a length",
      "GET",
      "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
      false,
      204,
      null,
    ],
    [
      "304 with a length",
      "GET",
      "HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n",
      false,
      304,
      null,
    ],
    [
      "a redirect, not followed",
      "GET",
      "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 2\r\n\r\nno",
      false,
      302,
      "no",
    ],
    [
      "an error's body",
      "GET",
      'HTTP/1.1 529 Overloaded\r\ncontent-length: 13\r\n\r\n{"error":"x"}',
      false,
      529,
      '{"error":"x"}',
    ],
    [
      "the first of two answers",
      "GET",
      `${OK}content-length: 2\r\n\r\nok${OK}content-length: 4\r\n\r\nevil`,
      false,
      200,
      "ok",
    ],
    [
      "a coded body, not decoded",
      "GET",
      `${OK}content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc`,
      false,
      200,
      "abc",
    ],
  ];
  test.each(cases)("%s", async (_title, method, text, end, status, body) => {
    await using(replies(text, end), async (server) => {
      const answer = await call(server.url, { method });
      const seen = answer.body === null ? null : await new Response(answer.body).text();
      answer.done();
      expect([answer.status, seen]).toEqual([status, body]);
    });
  });

  test("each cookie, and Latin-1 in headers", async () => {
    const cookies = "set-cookie: a=1\r\nset-cookie: b=2\r\n";
    const text = `${OK}${cookies}x-a: caf\xe9\r\ncontent-length: 0\r\n\r\n`;
    await using(replies(text), async (server) => {
      const { headers, done } = await call(server.url);
      done();
      expect([headers.getSetCookie(), headers.get("x-a")]).toEqual([["a=1", "b=2"], "café"]);
    });
  });
});

describe("forward() sends", () => {
  test("method, path, query and body as given, and nothing of the runtime's own", async () => {
    await using(replies(`${OK}content-length: 0\r\n\r\n`), async (server) => {
      const body = new TextEncoder().encode('{"a":"é"}');
      const headers = new Headers({ accept: "", "user-agent": "", "x-a": "b" });
      const url = `${server.url}/v1/x%2Fy?a=[1]&b=%zz`;
      (await call(url, { method: "POST", headers, body })).done();
      const [head = "", sent] = server.received().split("\r\n\r\n");
      const lines = head.split("\r\n").map((line) => line.toLowerCase().trimEnd());
      expect(lines.toSorted()).toEqual(
        [
          "accept:",
          "connection: keep-alive",
          "content-length: 10",
          `host: 127.0.0.1:${server.port}`,
          "post /v1/x%2fy?a=[1]&b=%zz http/1.1",
          "user-agent:",
          "x-a: b",
        ].toSorted(),
      );
      expect(Buffer.from(sent ?? "", "latin1")).toEqual(Buffer.from(body));
    });
  });

  test("an upload with its declared length", async () => {
    const request = new Request("http://gw.example/", {
      method: "POST",
      body: new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode("hel"));
          controller.enqueue(new TextEncoder().encode("lo"));
          controller.close();
        },
      }),
    });
    const body = new Upload(request, {
      bytesMax: 0,
      clock: new FakeClock(),
      writeTimeoutMs: 0,
      observe: null,
    });
    const server = rawServer(replies(`${OK}content-length: 0\r\n\r\n`), (received) =>
      received.endsWith("hello"),
    );
    try {
      const headers = new Headers({ "content-length": "5" });
      (await call(server.url, { method: "POST", headers, body })).done();
      expect(server.received()).toEndWith("\r\n\r\nhello");
      expect(server.received()).not.toContain("chunked");
    } finally {
      server.stop();
    }
  });
});

describe("forward() calls it upstream_closed when the upstream", () => {
  test.each<[string, (socket: Socket<{ asked: boolean }>) => void]>([
    ["resets before it answers", (socket) => socket.terminate()],
    ["closes before it answers", (socket) => void socket.end()],
    ["closes within the head", replies(`${OK}content-le`, true)],
    ["answers garbage", replies("\x00\x01garbage\r\n\r\n", true)],
    [
      "answers with an impossible status",
      replies("HTTP/1.1 99 No\r\ncontent-length: 0\r\n\r\n", true),
    ],
    ["answers with status 600", replies("HTTP/1.1 600 No\r\ncontent-length: 0\r\n\r\n")],
    ["switches protocols unasked", replies("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n")],
    ["gives two lengths", replies(`${OK}content-length: 2\r\ncontent-length: 3\r\n\r\nabc`)],
    ["gives a negative length", replies(`${OK}content-length: -2\r\n\r\nok`)],
    [
      "gives both framings",
      replies(
        `${OK}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
      ),
    ],
    ["compresses the transfer", replies(`${OK}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`)],
    ["folds a header", replies(`${OK}x: a\r\n b\r\ncontent-length: 2\r\n\r\nok`)],
    ["sends NUL in a header", replies(`${OK}x: a\x00b\r\ncontent-length: 2\r\n\r\nok`)],
    ["sends 300 headers", replies(`${OK}${"x: a\r\n".repeat(300)}content-length: 2\r\n\r\nok`)],
    ["sends a header of 2 MB", replies(`${OK}x: ${"a".repeat(2_000_000)}\r\n\r\n`, true)],
  ])("%s", async (_title, answer) => {
    await using(answer, async (server) => {
      expect(await refusal(call(server.url))).toBe("upstream_closed 502");
    });
  });
});

describe("forward() calls it upstream_unreachable when", () => {
  test("nothing listens", async () => {
    const server = rawServer(() => {});
    server.stop();
    expect(await refusal(call(server.url))).toBe("upstream_unreachable 502");
  });

  test("the name does not exist", async () => {
    expect(await refusal(call("http://nothing.invalid/"))).toBe("upstream_unreachable 502");
  });

  test("the port does not speak TLS", async () => {
    await using(replies("HTTP/1.1 400 Bad Request\r\n\r\n", true), async (server) => {
      expect(await refusal(call(`https://127.0.0.1:${server.port}/`))).toBe(
        "upstream_unreachable 502",
      );
    });
  });
});

test("forward() calls it upstream_unreachable when no connection can even be begun", async () => {
  const thrown = Object.assign(new Error("no socket"), { code: "FailedToOpenSocket" });
  const outcome = refusal(call("https://up.example/", { fetch: () => Promise.reject(thrown) }));
  expect(await outcome).toBe("upstream_unreachable 502");
});

test("forward() says with what the proxy refused, as a reason to ask another one", async () => {
  const refused = call("https://up.example/", { fetch: () => Promise.reject(new ProxyError(407)) });
  const thrown = await refused.catch((error: unknown) => error);
  expect(thrown).toMatchObject({
    code: "upstream_unreachable",
    message: "The egress proxy refused the connection with 407",
  });
  expect(causeOfError(thrown)).toBe("connect");
});

describe("a body that breaks off fails as upstream_closed", () => {
  test.each([
    ["short of its length", `${OK}content-length: 100\r\n\r\nhello`],
    ["within a chunk", `${OK}transfer-encoding: chunked\r\n\r\nff\r\nhel`],
    ["between chunks", `${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`],
    ["in a chunk size that is none", `${OK}transfer-encoding: chunked\r\n\r\nzz\r\nhello`],
  ])("%s", async (_title, text) => {
    await using(replies(text, true), async (server) => {
      const answer = await call(server.url);
      const thrown = await new Response(answer.body).bytes().then(
        () => null,
        (error) => error,
      );
      answer.done();
      expect(thrown).not.toBeNull();
      expect(answer.failure(thrown)).toMatchObject({ code: "upstream_closed" });
    });
  });
});

describe("forward() ends in time", () => {
  /** Starts a call to an upstream that never answers, and waits until it was asked. */
  async function hanging(
    changes: Partial<ForwardOptions>,
    act: (clock: FakeClock) => void | Promise<void>,
  ): Promise<{ outcome: string; pendingTimers: number }> {
    const clock = new FakeClock();
    const asked = Promise.withResolvers<void>();
    return await using(
      () => asked.resolve(),
      async (server) => {
        const outcome = refusal(call(server.url, { clock, ...changes }));
        await asked.promise;
        await act(clock);
        const ended = { outcome: await outcome, pendingTimers: clock.pendingTimers };
        await server.closed;
        return ended;
      },
    );
  }

  test("response_header without an answer is upstream_timeout and drops the upstream", async () => {
    const timeouts = { ...TIMEOUTS, responseHeaderMs: 500 };
    const ended = await hanging({ timeouts }, (clock) => clock.advance(500));
    expect(ended).toEqual({ outcome: "upstream_timeout 504", pendingTimers: 0 });
  });

  test("request bounds the whole exchange", async () => {
    const timeouts = { ...TIMEOUTS, requestMs: 500 };
    const ended = await hanging({ timeouts }, (clock) => clock.advance(500));
    expect(ended).toEqual({ outcome: "upstream_timeout 504", pendingTimers: 0 });
  });

  test("dial is upstream_timeout where no connection opens, else patience", async () => {
    const timeouts = { ...TIMEOUTS, dialMs: 500, responseHeaderMs: 5_000 };
    const asked: number[] = [];
    const reachable = (open: boolean) => (withinMs: number) => {
      asked.push(withinMs);
      return Promise.resolve(open);
    };
    const dead = await hanging({ timeouts, reachable: reachable(false) }, (clock) =>
      clock.advance(250),
    );
    expect([dead.outcome, asked]).toEqual(["upstream_timeout 504", [250]]);
    const slow = await hanging({ timeouts, reachable: reachable(true) }, async (clock) => {
      clock.advance(4_999);
      await Promise.resolve();
      expect(clock.pendingTimers).toBe(1);
      clock.advance(1);
    });
    expect([slow.outcome, asked.length]).toEqual(["upstream_timeout 504", 2]);
  });

  test("a client that leaves aborts the upstream at once", async () => {
    const ending = new Ending();
    const timeouts = { requestMs: 500, dialMs: 0, responseHeaderMs: 500 };
    const ended = await hanging({ ending, timeouts }, () => ending.end(new ClientGone()));
    expect(ended).toEqual({ outcome: "client gone", pendingTimers: 0 });
  });

  test("a decision of ours is what the caller is told", async () => {
    const ending = new Ending();
    const ended = await hanging({ ending }, () => ending.end(new GatewayError("token_revoked")));
    expect(ended.outcome).toBe("token_revoked 401");
  });

  test("a client that has left already asks nothing", async () => {
    const ending = new Ending();
    ending.end(new ClientGone());
    await using(
      () => {},
      async (server) => {
        expect(await refusal(call(server.url, { ending }))).toBe("client gone");
        expect(server.received()).toBe("");
      },
    );
  });

  test("request also cuts a body that is under way", async () => {
    const clock = new FakeClock();
    const timeouts = { ...TIMEOUTS, requestMs: 500, responseHeaderMs: 100 };
    await using(replies(`${OK}content-length: 100\r\n\r\nhello`), async (server) => {
      const answer = await call(server.url, { clock, timeouts });
      expect(clock.pendingTimers).toBe(1);
      const body = new Response(answer.body).bytes().catch((error) => answer.failure(error));
      clock.advance(500);
      expect(await body).toMatchObject({ code: "upstream_timeout" });
      answer.done();
      await server.closed;
    });
  });

  test("an upload that fails is the reason, and the upstream sees it break off", async () => {
    let fail = () => {};
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("half"));
        fail = () => controller.error(new DOMException("gone", "AbortError"));
      },
    });
    const request = new Request("http://gw.example/", { method: "POST", body: stream });
    const body = new Upload(request, {
      bytesMax: 0,
      clock: new FakeClock(),
      writeTimeoutMs: 0,
      observe: null,
    });
    await using(
      () => fail(),
      async (server) => {
        expect(await refusal(call(server.url, { method: "POST", body }))).toBe("bad_request 400");
        await server.closed;
        expect(server.received()).not.toContain("\r\n0\r\n\r\n");
      },
    );
  });
});
