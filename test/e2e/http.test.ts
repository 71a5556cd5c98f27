/** HTTP and SSE through the executable: what passes unchanged, what is refused, and how. */

import { describe, expect, test } from "bun:test";

import { join } from "node:path";

import type { Mock } from "../../src/mock/mock.ts";
import {
  metricsText,
  type Node,
  nodeForFile,
  openaiConfig,
  startNode,
  tokenId,
  usageEvents,
} from "./harness.ts";
import { type RawUpstream, rawUpstream } from "./raw_upstream.ts";

let provider: Mock;
let node: Node;
let token: string;

nodeForFile(openaiConfig, async (started) => {
  ({ provider, node } = started);
  token = await node.mint();
});

function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (!headers.has("authorization")) headers.set("authorization", `Bearer ${token}`);
  return fetch(`${node.url}${path}`, { ...init, headers, redirect: "manual" });
}

function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  return call(path, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
  });
}

const CHAT = { model: "gpt-4o", messages: [{ role: "user", content: "Say hi." }] };

describe("a relayed request", () => {
  test("reaches the provider with the same method, path, query and body bytes", async () => {
    const body =
      '{ "model" : "gpt-4o",\n\t"messages":[{"role":"user",' +
      '"content":"\\u00e9 ü 😀"}] , "x":1.0e2 }';
    const response = await post("/v1/chat/completions?a=b%20c&d=[1]", body, { "x-custom": "kept" });
    expect(response.status).toBe(200);
    await response.text();
    const seen = provider.requests.at(-1);
    expect(seen?.method).toBe("POST");
    expect(seen?.path).toBe("/v1/chat/completions?a=b%20c&d=[1]");
    expect(seen?.headers["x-custom"]).toBe("kept");
    expect(new TextDecoder().decode(seen?.body)).toBe(body);
  });

  test("loses credentials, cookies and forwarding headers on the way up", async () => {
    await (
      await post("/v1/chat/completions", CHAT, {
        cookie: "session=1",
        forwarded: "for=10.0.0.1",
        "x-forwarded-for": "10.0.0.1",
        "x-real-ip": "10.0.0.1",
        "x-sluice-token": token,
        "sec-websocket-protocol": `openai-insecure-api-key.${token}`,
        "proxy-authorization": "Basic eDp5",
        connection: "x-hop",
        "x-hop": "1",
      })
    ).text();
    const headers = provider.requests.at(-1)?.headers ?? {};
    for (const name of ["cookie", "forwarded", "x-forwarded-for", "x-real-ip", "x-sluice-token"]) {
      expect(headers).not.toHaveProperty(name);
    }
    expect(headers).not.toHaveProperty("proxy-authorization");
    expect(headers).not.toHaveProperty("x-hop");
    expect(headers).not.toHaveProperty("sec-websocket-protocol");
    expect(headers["authorization"]).toBe("Bearer sk-upstream-secret-0001");
    expect(JSON.stringify(headers)).not.toContain(token);
  });

  test("answers with the provider's bytes and headers, and says who answered", async () => {
    const response = await post("/v1/chat/completions", CHAT, {
      "x-mock": "fixture=chat_completions.json",
    });
    const direct = await fetch(`${provider.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify(CHAT),
      headers: { authorization: "Bearer x", "x-mock": "fixture=chat_completions.json" },
    });
    expect(await response.text()).toBe(await direct.text());
    expect(response.headers.get("openai-version")).toBe("2020-10-01");
    expect(response.headers.get("x-sluice-provider")).toBe("openai");
    expect(response.headers.get("x-sluice-request-id")).toBeString();
    const start = BigInt(response.headers.get("x-upstream-request-start") ?? 0);
    const stop = BigInt(response.headers.get("x-upstream-request-stop") ?? 0);
    expect(stop).toBeGreaterThan(start);
  });

  test("is counted by provider, endpoint and status, and its turn by how it ended", async () => {
    await (await post("/v1/embeddings", { model: "text-embedding-3-small", input: "a" })).text();
    const text = await metricsText(node);
    for (const series of [
      'sluice_exchanges_total{provider="openai",endpoint="/v1/embeddings",status="200"} 1',
      'sluice_turns_total{provider="openai",kind="embedding",' +
        'status="completed",usage_source="upstream"} 1',
    ]) {
      expect(text).toContain(series);
    }
  });

  test("passes the provider's own refusal with status, headers and body", async () => {
    const response = await post("/v1/chat/completions", CHAT, { "x-mock": "status=429" });
    expect(response.status).toBe(429);
    expect((await response.json()).error.code).toBeString();
  });

  test("turns the provider's 401 into upstream_auth_failed, which blames no token", async () => {
    const response = await post("/v1/chat/completions", CHAT, { "x-mock": "status=401" });
    expect(response.status).toBe(502);
    expect(response.headers.get("x-should-retry")).toBe("false");
    const { error } = await response.json();
    expect(error.code).toBe("upstream_auth_failed");
    expect(error.message).toContain("401");
  });

  test("is answered without a body where the method or status has none", async () => {
    const head = await call("/v1/models", { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });
});

describe("refusals", () => {
  test.each([
    [
      "an unknown path, before the token is looked at",
      "GET",
      "/v2/nothing",
      null,
      404,
      "endpoint_not_found",
    ],
    ["no token", "POST", "/v1/chat/completions", null, 401, "token_missing"],
    [
      "a token that is none",
      "POST",
      "/v1/chat/completions",
      "Bearer nonsense",
      401,
      "token_invalid",
    ],
    [
      "a WebSocket path without an upgrade",
      "GET",
      "/v1/responses",
      "token",
      426,
      "websocket_required",
    ],
  ])("%s", async (_title, method, path, authorization, status, code) => {
    const headers: Record<string, string> = {};
    if (authorization !== null) {
      headers["authorization"] = authorization === "token" ? `Bearer ${token}` : authorization;
    }
    const body = method === "POST" ? "{}" : null;
    const response = await fetch(`${node.url}${path}`, { method, headers, body });
    expect(response.status).toBe(status);
    expect((await response.json()).error.code).toBe(code);
  });

  test.each([
    ["truncated JSON", '{"model":"gpt-4o"'],
    ["no JSON at all", "hello"],
    ["a byte order mark", "\ufeff{}"],
    ["an array", "[]"],
    ["nothing", ""],
  ])("%s as a JSON body is invalid_json, and the provider is not asked", async (_title, body) => {
    const before = provider.requests.length;
    const response = await post("/v1/chat/completions", body);
    expect(response.status).toBe(400);
    expect((await response.json()).error.code).toBe("invalid_json");
    expect(provider.requests.length).toBe(before);
  });

  test("a field named twice is ambiguous_json, and the provider is not asked", async () => {
    const before = provider.requests.length;
    const response = await post(
      "/v1/chat/completions",
      '{"model":"a","messages":[],"mod\\u0065l":"b"}',
    );
    expect([response.status, (await response.json()).error.code]).toEqual([400, "ambiguous_json"]);
    expect(provider.requests.length).toBe(before);
  });

  test("a form that names its model twice is refused", async () => {
    const form = new FormData();
    form.append("model", "whisper-1");
    form.append("model", "gpt-4o-transcribe");
    form.append("file", new Blob([new Uint8Array(1000)]), "a.wav");
    const response = await call("/v1/audio/transcriptions", { method: "POST", body: form });
    expect([response.status, (await response.json()).error.code]).toEqual([400, "ambiguous_json"]);
  });

  test("an Anthropic path answers in Anthropic's dialect", async () => {
    const stranger = await fetch(`${node.url}/v1/messages`, { method: "POST", body: "{}" });
    const unknown = await stranger.json();
    expect([stranger.status, unknown.type, unknown.error.type]).toEqual([
      401,
      "error",
      "authentication_error",
    ]);
    // The sole configured provider speaks OpenAI, which has no such path.
    const known = await post("/v1/messages", "{}");
    const { type, error } = await known.json();
    expect([known.status, type, error.type]).toEqual([404, "error", "not_found_error"]);
  });

  test("are logged as request_refused and counted by code", async () => {
    const answer = await fetch(`${node.url}/v1/responses?key=secret`, { method: "POST" });
    const { error } = await answer.json();
    const requestId = answer.headers.get("x-sluice-request-id");
    const line = await node.logged((one) => one["request_id"] === requestId);
    expect(line).toMatchObject({
      event: "request_refused",
      code: error.code,
      status: 401,
      method: "POST",
      path: "/v1/responses",
    });
    expect(await metricsText(node)).toMatch(
      new RegExp(`^sluice_refusals_total{code="${error.code}"} \\d+$`, "m"),
    );
  });

  test("make no usage event", async () => {
    const before = (await usageEvents(node, 0)).length;
    await (await fetch(`${node.url}/v1/responses`, { method: "POST", body: "{}" })).text();
    expect((await usageEvents(node, before)).length).toBe(before);
  });
});

describe("streams", () => {
  test("an SSE event arrives when the provider sends it, not when the stream ends", async () => {
    const response = await post(
      "/v1/chat/completions",
      { ...CHAT, stream: true },
      { "x-mock": "tokens=3,delay=each:150ms" },
    );
    const reader = response.body?.getReader();
    const startedAt = performance.now();
    await reader?.read();
    const firstMs = performance.now() - startedAt;
    while (!(await reader?.read())?.done);
    const totalMs = performance.now() - startedAt;
    expect(totalMs - firstMs).toBeGreaterThan(250);
  });

  test("a thousand SSE streams run side by side in one process", async () => {
    const client = Bun.spawn(
      [
        process.execPath,
        join(import.meta.dir, "stream_clients.ts"),
        `${node.url}/v1/chat/completions`,
        token,
        "1000",
      ],
      {
        env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "2000" },
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const [output, complaint] = await Promise.all([
      new Response(client.stdout).text(),
      new Response(client.stderr).text(),
    ]);
    expect(complaint).toBe("");
    const { whole, slowestMs } = JSON.parse(output);
    expect(whole).toBe(1_000);
    // Queued behind a limit of 256, the last would come after four times the delay of 1.5 s.
    expect(slowestMs).toBeLessThan(5_000);
  }, 30_000);

  test("a client that leaves aborts the provider at once; the turn is interrupted", async () => {
    const upstream = await rawUpstream((socket, head) => {
      if (!head.startsWith("POST")) return;
      socket.write(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" +
          'data: {"choices":[{"delta":{"content":"a"}}],"model":"m"}\n\n',
      );
    });
    const other = await startNode({ config: openaiConfig(upstream.url) });
    const abort = new AbortController();
    const response = await fetch(`${other.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ ...CHAT, stream: true }),
      headers: { authorization: `Bearer ${await other.mint()}` },
      signal: abort.signal,
    });
    await response.body?.getReader().read();
    abort.abort();
    await upstream.closed();
    const [event] = await usageEvents(other, 1);
    expect(event).toMatchObject({
      status: "interrupted",
      usage_source: "missing",
      output_tokens: null,
    });
    await other.stop();
    await upstream.stop();
  });

  test("revoking its token ends a running stream, and the next request is refused", async () => {
    const own = await node.mint();
    const response = await post(
      "/v1/chat/completions",
      { ...CHAT, stream: true },
      { authorization: `Bearer ${own}`, "x-mock": "tokens=600,delay=each:100ms" },
    );
    const reader = response.body?.getReader();
    await reader?.read();
    const revokedAt = performance.now();
    expect((await node.run(["token", "delete", tokenId(own)])).code).toBe(0);
    let text = "";
    let cut = false;
    try {
      for (;;) {
        const chunk = await reader?.read();
        if (chunk === undefined || chunk.done) break;
        text += new TextDecoder().decode(chunk.value);
      }
    } catch {
      cut = true;
    }
    expect(performance.now() - revokedAt).toBeLessThan(2_000);
    expect(text).toContain("token_revoked");
    expect(cut).toBe(true);
    const next = await post("/v1/chat/completions", CHAT, { authorization: `Bearer ${own}` });
    expect((await next.json()).error.code).toBe("token_revoked");
  });
});

test("a request revoked while the provider worked on it is not recorded as free", async () => {
  const own = await node.mint();
  provider.clear();
  const asked = post("/v1/chat/completions", CHAT, {
    authorization: `Bearer ${own}`,
    "x-mock": "hang",
  });
  while (provider.requests.length === 0) await Bun.sleep(10);
  const { jti } = JSON.parse(
    atob((own.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")),
  );
  await node.run(["token", "delete", jti]);
  expect((await (await asked).json()).error.code).toBe("token_revoked");
  const recorded = async () => {
    const { stdout } = await node.run(["usage", "--json", "--token", jti]);
    return JSON.parse(stdout).events[0];
  };
  while ((await recorded()) === undefined) await Bun.sleep(50);
  expect(await recorded()).toMatchObject({
    status: "error",
    error_code: "token_revoked",
    usage_source: "missing",
    input_tokens: null,
  });
});

describe("upstreams that misbehave", () => {
  const cases: [string, (socket: RawUpstream["socket"]) => void, number, string][] = [
    ["resets before it answers", (socket) => socket.terminate(), 502, "upstream_closed"],
    [
      "answers with garbage",
      (socket) => void socket.write("this is not HTTP\r\n\r\n"),
      502,
      "upstream_closed",
    ],
    ["never answers", () => {}, 504, "upstream_timeout"],
  ];
  test.each(cases)("that %s", async (_title, behave, status, code) => {
    const upstream = await rawUpstream((socket) => behave(socket));
    const other = await startNode({
      config: openaiConfig(upstream.url, "timeouts: { response_header: 500ms }\n"),
    });
    const response = await fetch(`${other.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify(CHAT),
      headers: { authorization: `Bearer ${await other.mint()}` },
    });
    expect([response.status, (await response.json()).error.code]).toEqual([status, code]);
    await other.stop();
    await upstream.stop();
  });

  test("that is not there", async () => {
    const upstream = await rawUpstream(() => {});
    await upstream.stop();
    const other = await startNode({ config: openaiConfig(upstream.url) });
    const response = await fetch(`${other.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify(CHAT),
      headers: { authorization: `Bearer ${await other.mint()}` },
    });
    expect(response.status).toBe(502);
    expect((await response.json()).error.code).toBe("upstream_unreachable");
    await other.stop();
  });

  test("that stops in the middle of a body: the client sees a cut, never a clean end", async () => {
    const upstream = await rawUpstream((socket) => {
      socket.write(
        'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"id"',
      );
      setTimeout(() => socket.end(), 50);
    });
    const other = await startNode({ config: openaiConfig(upstream.url) });
    const broken = fetch(`${other.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify(CHAT),
      headers: { authorization: `Bearer ${await other.mint()}` },
    }).then((response) => response.text());
    expect(broken).rejects.toThrow();
    await broken.catch(() => {});
    const [event] = await usageEvents(other, 1);
    expect(event).toMatchObject({ status: "interrupted", usage_source: "missing" });
    await other.stop();
    await upstream.stop();
  });
});

test.each(["Content-Length: 90000", "Content-Length: 90", "Transfer-Encoding: chunked"])(
  "a token that is revoked while a body is on its way ends the request (%s)",
  async (framing) => {
    const mine = await node.mint();
    const { hostname, port } = new URL(node.url);
    const answer = Promise.withResolvers<string>();
    const socket = await Bun.connect({
      hostname,
      port: Number(port),
      socket: { data: (_, bytes) => answer.resolve(bytes.toString("latin1")) },
    });
    const before = provider.requests.length;
    socket.write(
      `POST /v1/responses HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${mine}\r\n` +
        `Content-Type: application/json\r\n${framing}\r\n\r\n6\r\n{"mode\r\n`,
    );
    // Nothing tells that the node has begun to read.
    await Bun.sleep(100);
    await node.sluice(["token", "revoke", tokenId(mine)]);
    const revokedMs = performance.now();
    expect(await answer.promise).toStartWith("HTTP/1.1 401 ");
    expect(performance.now() - revokedMs).toBeLessThan(1_000);
    expect(provider.requests.length).toBe(before);
    socket.terminate();
  },
);
