/**
 * What gateways before this one got wrong, as the executable does it. Traps that belong to one part
 * are in that part's tests; every title begins with the number of its trap.
 */

import { beforeEach, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { type Node, nodeForFile, openaiConfig, startNode } from "./harness.ts";
import { rawUpstream, type RawUpstream } from "./raw_upstream.ts";
import { connect } from "./ws_client.ts";

let upstream: Mock;
let node: Node;
let token: string;

nodeForFile(openaiConfig, async (started) => {
  ({ provider: upstream, node } = started);
  token = await node.mint();
});

beforeEach(() => upstream.clear());

/** A node of its own in front of an upstream that answers as `behave` does. */
async function behind(
  behave: (socket: RawUpstream["socket"], text: string) => void,
  run: (url: string, token: string) => Promise<void>,
): Promise<void> {
  const raw = await rawUpstream(behave);
  const own = await startNode({ config: openaiConfig(raw.url) });
  try {
    await run(own.url, await own.mint());
  } finally {
    await own.stop();
    await raw.stop();
  }
}

describe("answers without or before a body", () => {
  test("(trap 3) HEAD is over with its head, whatever length that names", async () => {
    await behind(
      (socket) => void socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n"),
      async (url, own) => {
        const headers = { authorization: `Bearer ${own}` };
        for (let count = 0; count < 3; count += 1) {
          const head = await fetch(`${url}/v1/models`, { method: "HEAD", headers });
          expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([
            200,
            "1234",
            "",
          ]);
        }
      },
    );
  });

  test.each(["103 Early Hints", "100 Continue", "102 Processing"])(
    "(trap 3) %s is not the answer, which follows it",
    async (status) => {
      const interim = `HTTP/1.1 ${status}\r\n\r\n`;
      await behind(
        (socket) => {
          socket.write(interim);
          socket.write(`${interim}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}`);
        },
        async (url, own) => {
          const headers = { authorization: `Bearer ${own}` };
          const answer = await fetch(`${url}/v1/models`, { headers });
          expect([answer.status, await answer.text()]).toEqual([200, "{}"]);
        },
      );
    },
  );
});

/** Sends requests on one connection, each when the one before is answered; all the answers. */
async function inTurn(url: string, requests: readonly string[]): Promise<string[]> {
  const { hostname, port } = new URL(url);
  const closed = Promise.withResolvers<void>();
  let text = "";
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data: (_socket, bytes) => void (text += bytes.toString("latin1")),
      close: () => closed.resolve(),
    },
  });
  for (const request of requests) {
    const before = text.length;
    socket.write(request);
    while (text.length === before) await Bun.sleep(10);
  }
  await closed.promise;
  return text.split(/(?=HTTP\/1\.1 )/);
}

test("(trap 5) an upgrade that the upstream refuses is answered once, and as it was", async () => {
  const refusal = "HTTP/1.1 418 No\r\ncontent-length: 9\r\nx-why: tea\r\n\r\nno thanks";
  await behind(
    (socket) => void socket.write(refusal),
    async (url, own) => {
      const upgrade = [
        "GET /v1/responses HTTP/1.1",
        "host: gw",
        `authorization: Bearer ${own}`,
        "upgrade: websocket",
        "connection: Upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
      ].join("\r\n");
      const next = "GET /health/live HTTP/1.1\r\nhost: gw\r\nconnection: close";
      const answers = await inTurn(url, [`${upgrade}\r\n\r\n`, `${next}\r\n\r\n`]);
      expect(answers.map((answer) => answer.slice(9, 12))).toEqual(["418", "200"]);
      expect(answers[0]).toMatch(/^x-why: tea\r$/im);
      expect(answers[0]).toEndWith("\r\n\r\nno thanks");
    },
  );
});

test("(trap 6) frames beyond 32 KiB pass whole, in both directions", async () => {
  const headers = { authorization: `Bearer ${token}`, "x-mock": "frames=2,size=300KiB" };
  const client = await connect(node.url, "/v1/responses", headers);
  const create = JSON.stringify({
    type: "response.create",
    model: "m",
    input: "x".repeat(1_000_000),
  });
  client.send(create);
  let longest = 0;
  await client.until((message) => {
    longest = Math.max(longest, message.length);
    return message.includes('"response.completed"');
  });
  expect(longest).toBeGreaterThanOrEqual(300 * 1024);
  expect(upstream.requests[0]?.frames[0]).toBe(create);
  client.close();
});

test("(trap 8) a tier in a binary frame is policed as in text", async () => {
  const headers = { authorization: `Bearer ${token}` };
  const client = await connect(node.url, "/v1/responses", headers);
  const create = { type: "response.create", model: "m", input: "x", service_tier: "priority" };
  client.send(new TextEncoder().encode(JSON.stringify(create)));
  await client.until((message) => message.includes('"response.completed"'));
  const [frame = ""] = upstream.requests[0]?.frames ?? [];
  expect(typeof frame).not.toBe("string");
  const sent = JSON.parse(typeof frame === "string" ? frame : new TextDecoder().decode(frame));
  expect(sent).toEqual({ type: "response.create", model: "m", input: "x" });
  client.close();
});

test("(trap 18) a stream has the headers that say when the upstream was asked", async () => {
  const response = await fetch(`${node.url}/v1/responses`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: '{"model":"m","input":"x","stream":true}',
  });
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  const start = BigInt(response.headers.get("x-upstream-request-start") ?? 0);
  const stop = BigInt(response.headers.get("x-upstream-request-stop") ?? 0);
  expect(start).toBeGreaterThan(0n);
  expect(stop).toBeGreaterThan(start);
  await response.text();
});

test("(trap 19) headers that are the gateway's own are no caller's to set", async () => {
  const forged = {
    "x-sluice-provider": "forged",
    "x-sluice-request-id": "forged",
    "x-sluice-project": "forged",
  };
  const response = await fetch(`${node.url}/v1/responses`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      ...forged,
    },
    body: '{"model":"m","input":"x"}',
  });
  expect(response.status).toBe(200);
  expect(JSON.stringify([...response.headers])).not.toContain("forged");
  expect(JSON.stringify(upstream.requests[0]?.headers)).not.toContain("forged");
});
