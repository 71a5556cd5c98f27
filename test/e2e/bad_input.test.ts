/** What a hostile or broken peer sends, on either side, and what it gets. The node goes on. */

import { afterEach, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import {
  metricsText,
  type Node,
  nodeForFile,
  openaiConfig,
  startNode,
  usageEvents,
} from "./harness.ts";
import { acceptUpgrade, rawUpstream } from "./raw_upstream.ts";
import { connect, rawHandshake } from "./ws_client.ts";

let provider: Mock;
let node: Node;
let token: string;

nodeForFile(openaiConfig, async (started) => {
  ({ provider, node } = started);
  token = await node.mint();
});

afterEach(async () => {
  expect((await fetch(`${node.url}/health/ready`)).status).toBe(200);
});

/** Sends bytes as they are and returns what came back until the node closed, or for a second. */
async function raw(bytes: string): Promise<string> {
  const { hostname, port } = new URL(node.url);
  let text = "";
  const closed = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data: (_, chunk) => void (text += chunk.toString("latin1")),
      close: () => closed.resolve(),
    },
  });
  socket.write(bytes);
  await Promise.race([closed.promise, Bun.sleep(1_000)]);
  socket.terminate();
  return text;
}

const HANDSHAKE =
  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

describe("a handshake", () => {
  test.each([
    ["garbage", "\x16\x03\x01\x02\x00garbage\r\n\r\n", 400],
    ["without an HTTP version", "GET /v1/responses\r\n\r\n", 505],
    ["no host", `GET /v1/responses HTTP/1.1\r\n${HANDSHAKE}\r\n`, 400],
    ["two hosts", `GET /v1/responses HTTP/1.1\r\nHost: a\r\nHost: b\r\n${HANDSHAKE}\r\n`, 400],
    [
      "headers beyond http_max_header_size",
      `GET /v1/responses HTTP/1.1\r\nHost: a\r\nX-Big: ${"a".repeat(20_000)}\r\n${HANDSHAKE}\r\n`,
      431,
    ],
    [
      "more headers than limits.header_count",
      `GET /v1/responses HTTP/1.1\r\nHost: a\r\n${"X-A: 1\r\n".repeat(300)}${HANDSHAKE}\r\n`,
      431,
    ],
  ])("that is %s is refused", async (_title, bytes, status) => {
    expect(await raw(bytes)).toStartWith(`HTTP/1.1 ${status} `);
  });
});

describe("a request that could be read as two", () => {
  test.each([
    [
      "a length beside chunks",
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
      "0\r\n\r\nGET",
    ],
    ["a coding in front of a comma", "Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"],
    ["a coding behind a comma", "Transfer-Encoding: chunked,\r\n", "0\r\n\r\n"],
    ["an unknown coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"],
    ["two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n", "{} "],
  ])("by %s is refused, and the connection closed", async (_title, headers, body) => {
    const before = provider.requests.length;
    const answer = await raw(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n` +
        `${headers}\r\n${body}`,
    );
    expect(answer).not.toContain("HTTP/1.1 200");
    expect(provider.requests.length).toBe(before);
  });
});

describe("a client's frame", () => {
  async function session() {
    const client = await rawHandshake(node.url, "/v1/responses", {
      authorization: `Bearer ${token}`,
    });
    expect(client.status).toBe(101);
    return client;
  }

  /** Masked with zeros, so that the payload stands there as it is. */
  const masked = (first: number, payload: Uint8Array) =>
    Buffer.concat([Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0]), payload]);

  test.each([
    ["invalid UTF-8", masked(0x81, Buffer.from([0xc3, 0x28])), 1007],
    ["a continuation of nothing", masked(0x80, Buffer.from("{}")), 1002],
    ["a close frame of one byte", masked(0x88, Buffer.from([0x03])), 1002],
    ["a control frame in fragments", masked(0x09, Buffer.from("x")), 1002],
  ])("with %s ends the session", async (_title, bytes, code) => {
    const client = await session();
    client.write(bytes);
    const answer = Buffer.from(await client.ended, "latin1");
    const close = answer.subarray(answer.indexOf("\r\n\r\n") + 4);
    // Where the runtime says why, it says it with the right code.
    if (close.length >= 4) expect(close.readUInt16BE(2)).toBe(code);
  });
});

describe("an upstream on a session", () => {
  /** Answers the handshake, and then does what `behave` says. */
  async function session(
    behave: (socket: { write(bytes: Uint8Array): number; end(): void; terminate(): void }) => void,
  ) {
    const upstream = await rawUpstream((socket, head) => {
      if (acceptUpgrade(socket, head)) behave(socket);
    });
    const other = await startNode({ config: openaiConfig(upstream.url) });
    const client = await connect(other.url, "/v1/responses", {
      authorization: `Bearer ${await other.mint()}`,
    });
    const stop = async () => {
      await other.stop();
      await upstream.stop();
    };
    return { client, stop };
  }

  const text = (payload: string) =>
    Buffer.concat([Buffer.from([0x81, payload.length]), Buffer.from(payload)]);

  test("that sends what is no JSON is relayed as it is", async () => {
    const { client, stop } = await session((socket) => void socket.write(text("not JSON {")));
    expect(await client.next()).toBe("not JSON {");
    await stop();
  });

  test.each([
    ["a masked frame", Buffer.from([0x81, 0x82, 1, 2, 3, 4, 5, 6])],
    ["a compressed frame", Buffer.from([0xc1, 0x01, 0x41])],
    ["a reserved opcode", Buffer.from([0x83, 0x00])],
    ["invalid UTF-8", Buffer.from([0x81, 0x02, 0xc3, 0x28])],
    ["a length that is no length", Buffer.from([0x81, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0])],
  ])("that sends %s is 1011 to the client, after an error event", async (_title, bytes) => {
    const { client, stop } = await session((socket) => void socket.write(bytes));
    expect(JSON.parse(await client.next()).type).toBe("error");
    expect((await client.closed).code).toBe(1011);
    await stop();
  });

  test("that is gone without a close frame is 1011 to the client", async () => {
    const { client, stop } = await session((socket) => {
      socket.write(text('{"type":"x"}'));
      setTimeout(() => socket.terminate(), 100);
    });
    expect(await client.next()).toBe('{"type":"x"}');
    expect(JSON.parse(await client.next()).error.code).toBe("upstream_closed");
    expect((await client.closed).code).toBe(1011);
    await stop();
  });
});

describe("an answer of the upstream", () => {
  async function ask(answer: string, thenEnd = false) {
    const upstream = await rawUpstream((socket) => {
      socket.write(answer);
      if (thenEnd) socket.end();
    });
    const other = await startNode({ config: openaiConfig(upstream.url) });
    const response = await fetch(`${other.url}/v1/chat/completions`, {
      method: "POST",
      body: '{"model":"m","messages":[]}',
      headers: { authorization: `Bearer ${await other.mint()}` },
    });
    const body = await response.text();
    const [event] = await usageEvents(other, 1);
    const metrics = await metricsText(other);
    await other.stop();
    await upstream.stop();
    return { status: response.status, body, event, log: other.log, metrics };
  }

  test("(trap 3) that ends with the connection is passed whole", async () => {
    const json = '{"model":"m","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}';
    const answer = await ask(
      `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n${json}`,
      true,
    );
    expect(answer.body).toBe(json);
    expect(answer.event).toMatchObject({ status: "completed", input_tokens: 3, output_tokens: 4 });
  });

  test("with usage that is none is passed, and counts as missing", async () => {
    const json = '{"model":"m","usage":{"prompt_tokens":"three"}}';
    const answer = await ask(
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" +
        `content-length: ${json.length}\r\n\r\n${json}`,
    );
    expect(answer.body).toBe(json);
    expect(answer.event).toMatchObject({ usage_source: "missing", input_tokens: null });
    const line = answer.log.find(({ event }) => event === "usage_parse_failed");
    expect(line).toMatchObject({ level: "warn", turn: 1, cause: "malformed_usage" });
    expect(answer.metrics).toContain('sluice_usage_parse_failed_total{cause="malformed_usage"} 1');
  });

  test("that is an error with a body of its own passes exactly", async () => {
    const body = "upstream says <no>\n";
    const answer = await ask(
      "HTTP/1.1 418 No\r\ncontent-type: text/plain\r\n" +
        `content-length: ${body.length}\r\n\r\n${body}`,
    );
    expect([answer.status, answer.body]).toEqual([418, body]);
    expect(answer.event).toMatchObject({
      status: "error",
      http_status: 418,
      usage_source: "none_billed",
    });
  });
});
