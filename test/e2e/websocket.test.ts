/** WebSocket sessions through the executable: opening, relaying, failing and closing. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import {
  metricsText,
  type Node,
  nodeForFile,
  openaiConfig,
  startNode,
  tokenId,
  until,
  usageEvents,
} from "./harness.ts";
import { acceptUpgrade, rawUpstream } from "./raw_upstream.ts";
import { type Client, connect, rawHandshake, refusal } from "./ws_client.ts";

let provider: Mock;
let node: Node;
let token: string;

nodeForFile(openaiConfig, async (started) => {
  ({ provider, node } = started);
  token = await node.mint();
});

const create = (over: object = {}) =>
  JSON.stringify({ type: "response.create", model: "gpt-5.5", input: "Hello", ...over });

function open(path = "/v1/responses", headers: Record<string, string> = {}): Promise<Client> {
  return connect(node.url, path, { authorization: `Bearer ${token}`, ...headers });
}

async function completed(client: Client): Promise<Record<string, unknown>> {
  const text = await client.until((message) => message.includes('"response.completed"'));
  return JSON.parse(text);
}

describe("opening a session", () => {
  test("(trap 7) carries path, query and headers up, and response headers down", async () => {
    const client = await open("/v1/responses?x=1&y=%20z", {
      "openai-beta": "responses_websockets=2026-02-06",
      originator: "codex_exec",
      cookie: "a=b",
    });
    const seen = provider.requests.filter((request) => request.path.includes("x=1")).at(-1);
    expect(seen?.path).toBe("/v1/responses?x=1&y=%20z");
    expect(seen?.headers).toMatchObject({
      authorization: "Bearer sk-upstream-secret-0001",
      "openai-beta": "responses_websockets=2026-02-06",
      originator: "codex_exec",
    });
    expect(seen?.headers).not.toHaveProperty("cookie");
    expect(seen?.headers).not.toHaveProperty("sec-websocket-extensions");
    client.close();
  });

  test("is told step by step in the log, and counted when it ends", async () => {
    const client = await open("/v1/responses?x=log");
    const started = await node.logged(
      ({ event, path }) => event === "relay_dial_start" && path === "/v1/responses",
    );
    client.close();
    const { session_id } = started;
    const events = ["relay_dial_start", "relay_dial_ok", "relay_start", "relay_completed"];
    for (const event of events) {
      await node.logged((line) => line.event === event && line["session_id"] === session_id);
    }
    const ours = node.log.filter((line) => line["session_id"] === session_id);
    expect(ours.map(({ event }) => event)).toEqual(events);
    expect(ours[1]).toMatchObject({ host: "127.0.0.1", status_code: 101 });
    expect(JSON.stringify(ours)).not.toContain("x=log");
    expect(await metricsText(node)).toContain(
      'sluice_sessions_total{provider="openai",model="",result="completed",close_code="1000"}',
    );
  });

  test("takes the token from the subprotocol, removes it, and never echoes it", async () => {
    const client = await connect(node.url, "/v1/realtime?model=gpt-realtime-2", {}, [
      "realtime",
      `openai-insecure-api-key.${token}`,
    ]);
    expect(client.subprotocol).toBe("realtime");
    expect(JSON.parse(await client.next()).type).toBe("session.created");
    const seen = provider.requests.at(-1);
    expect(seen?.headers["sec-websocket-protocol"]).toBe("realtime");
    client.close();
  });

  test.each([
    ["no token", {}, 401, "token_missing"],
    ["a bad token", { authorization: "Bearer x.y.z" }, 401, "token_invalid"],
  ])("with %s is refused as HTTP", async (_title, headers, status, code) => {
    const answer = await refusal(node.url, "/v1/responses", headers);
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([status, code]);
  });

  test.each([
    ["/v1/live/sessions", 404, "endpoint_not_found"],
    ["/v1/chat/completions", 404, "endpoint_not_found"],
  ])("on %s is %d", async (path, status, code) => {
    const answer = await refusal(node.url, path, { authorization: `Bearer ${token}` });
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([status, code]);
  });

  test.each([
    ["an unsupported version", { "sec-websocket-version": "12" }, 426],
    ["a key that is none", { "sec-websocket-key": "short" }, 400],
  ])("with %s is refused", async (_title, headers, status) => {
    const answer = await rawHandshake(node.url, "/v1/responses", {
      authorization: `Bearer ${token}`,
      ...headers,
    });
    expect(answer.status).toBe(status);
  });

  test("passes the upstream's refusal as it came", async () => {
    const answer = await refusal(node.url, "/v1/responses", {
      authorization: `Bearer ${token}`,
      "x-mock": "status=429",
    });
    expect(answer.status).toBe(429);
    expect(JSON.parse(answer.body).error).toBeObject();
    const line = await node.logged(({ event }) => event === "relay_dial_failed");
    expect(line).toMatchObject({ level: "warn", provider: "openai", status_code: 429 });
  });

  test("says upstream_auth_failed where the upstream refuses our key", async () => {
    const answer = await refusal(node.url, "/v1/responses", {
      authorization: `Bearer ${token}`,
      "x-mock": "status=401",
    });
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([
      502,
      "upstream_auth_failed",
    ]);
  });

  test.each([
    ["hangs", 504, "upstream_timeout", (): void => {}],
    ["resets", 502, "upstream_closed", (socket: { terminate(): void }) => socket.terminate()],
  ])("on an upstream that %s is %d", async (_title, status, code, behave) => {
    const upstream = await rawUpstream((socket) => behave(socket));
    const other = await startNode({
      config: openaiConfig(upstream.url, "timeouts: { dial: 300ms }"),
    });
    const answer = await refusal(other.url, "/v1/responses", {
      authorization: `Bearer ${await other.mint()}`,
    });
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([status, code]);
    await other.stop();
    await upstream.stop();
  });
});

describe("relaying", () => {
  test("two turns of one session are metered by response id", async () => {
    const client = await open();
    client.send(create());
    const first = (await completed(client))["response"] as { id: string };
    client.send(create({ previous_response_id: first.id }));
    const second = (await completed(client))["response"] as { id: string };
    client.close();
    const events = (await usageEvents(node, 2)).filter((event) =>
      [first.id, second.id].includes(String(event["response_id"])),
    );
    expect(events.map((event) => event["turn"])).toEqual([1, 2]);
  });

  test.each([
    ["text", 70_000],
    ["text", 20 * 1024 * 1024],
    ["binary", 300_000],
  ])("keeps a %s frame of %d bytes whole, byte for byte", async (kind, size) => {
    const client = await connect(echo.url, "/v1/responses", {
      authorization: `Bearer ${echoToken}`,
    });
    const text = JSON.stringify({ type: "x", text: "aé€".repeat(Math.ceil(size / 6)) });
    const sent = kind === "text" ? text : new TextEncoder().encode(text);
    client.send(sent);
    const back = await client.nextMessage();
    if (typeof sent === "string") expect(back === sent).toBe(true);
    else expect(Buffer.compare(Buffer.from(back as ArrayBuffer), Buffer.from(sent))).toBe(0);
    client.close();
  });

  test("a client that reads nothing stops the upstream, and misses nothing later", async () => {
    const client = await open("/v1/responses", { "x-mock": "frames=400,size=262144" });
    client.send(create());
    client.pause();
    await Bun.sleep(1_500);
    const rss = await residentBytes(node.pid);
    // 100 MB are on their way; the node holds no more than its queue and the sockets' buffers.
    expect(rss).toBeLessThan(300 * 1024 * 1024);
    const other = await open();
    other.send(create());
    await completed(other);
    other.close();
    client.resume();
    const seen = await client.count(400, (message) => message.length >= 262_000);
    expect(seen).toBe(400);
    client.close();
  }, 30_000);
});

let echo: Node;
let echoToken: string;
let echoServer: Bun.Server<undefined>;

beforeAll(async () => {
  echoServer = Bun.serve<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) =>
      server.upgrade(request, { data: undefined }) ? undefined : new Response(null),
    websocket: {
      maxPayloadLength: 64 * 1024 * 1024,
      message(socket, message) {
        if (message === '{"type":"close"}') socket.close(4123, "as asked");
        else if (message === '{"type":"vanish"}') socket.terminate();
        else socket.send(message);
      },
      close(_socket, code, reason) {
        upstreamCloses.push({ code, reason });
      },
    },
  });
  echo = await startNode({
    config: openaiConfig(
      `http://127.0.0.1:${echoServer.port}`,
      "timeouts: { drain_after_disconnect: 100ms }",
    ),
  });
  echoToken = await echo.mint();
});

afterAll(async () => {
  await echo.stop();
  await echoServer.stop(true);
});

const upstreamCloses: { code: number; reason: string }[] = [];

describe("closing", () => {
  const openEcho = () =>
    connect(echo.url, "/v1/responses", { authorization: `Bearer ${echoToken}` });

  test("the upstream's code and reason reach the client", async () => {
    const client = await openEcho();
    client.send('{"type":"close"}');
    expect(await client.closed).toEqual({ code: 4123, reason: "as asked" });
  });

  test("an upstream that vanishes is 1011 to the client", async () => {
    const client = await openEcho();
    client.send('{"type":"vanish"}');
    expect((await client.closed).code).toBe(1011);
  });

  test("the client's code and reason reach the upstream", async () => {
    upstreamCloses.length = 0;
    const client = await openEcho();
    client.close(4321, "done here");
    await until("the upstream's close", () => upstreamCloses.length > 0, 5_000);
    expect(upstreamCloses[0]).toEqual({ code: 4321, reason: "done here" });
  });

  test("a client that vanishes is 1001 to the upstream", async () => {
    upstreamCloses.length = 0;
    const client = await openEcho();
    client.terminate();
    await until("the upstream's close", () => upstreamCloses.length > 0, 5_000);
    expect(upstreamCloses[0]?.code).toBe(1001);
  });

  test("(trap 9) revoking the token sends an error event, then closes 1008", async () => {
    const own = await node.mint();
    const client = await connect(node.url, "/v1/responses", { authorization: `Bearer ${own}` });
    await node.run(["token", "delete", tokenId(own)]);
    const event = JSON.parse(await client.next());
    expect([event.type, event.status, event.error.code]).toEqual(["error", 401, "token_revoked"]);
    expect((await client.closed).code).toBe(1008);
    const answer = await refusal(node.url, "/v1/responses", { authorization: `Bearer ${own}` });
    expect(JSON.parse(answer.body).error.code).toBe("token_revoked");
  });

  test("deactivating the project ends its sessions, and no token of it passes", async () => {
    const project = JSON.parse(await node.sluice(["project", "create", "team", "--json"])).id;
    const own = await node.sluice(["token", "mint", "--project", project]);
    const client = await connect(node.url, "/v1/responses", { authorization: `Bearer ${own}` });
    await node.sluice(["project", "update", project, "--deactivate"]);
    expect(JSON.parse(await client.next()).error.code).toBe("project_inactive");
    expect((await client.closed).code).toBe(1008);
    const answer = await refusal(node.url, "/v1/responses", { authorization: `Bearer ${own}` });
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([403, "project_inactive"]);
  });

  test("an idle session ends with its reason", async () => {
    const quick = await startNode({
      config: openaiConfig(provider.url, "timeouts: { idle: 600ms }"),
    });
    const client = await connect(quick.url, "/v1/responses", {
      authorization: `Bearer ${await quick.mint()}`,
    });
    expect(JSON.parse(await client.next()).error.code).toBe("idle_timeout");
    expect(await client.closed).toEqual({ code: 1008, reason: "client websocket idle timeout" });
    await quick.stop();
  });
});

describe("bad frames", () => {
  test.each([
    ["an unmasked frame", Buffer.from([0x81, 0x02, 0x68, 0x69])],
    ["reserved bits", Buffer.from([0xf1, 0x80, 0, 0, 0, 0])],
    ["a reserved opcode", Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ["a compressed frame", Buffer.from([0xc1, 0x80, 0, 0, 0, 0])],
  ])("%s ends the session, and the upstream gets no part of it", async (_title, bytes) => {
    const before = provider.requests.at(-1)?.frames?.length ?? 0;
    const client = await rawHandshake(node.url, "/v1/responses", {
      authorization: `Bearer ${token}`,
    });
    expect(client.status).toBe(101);
    client.write(bytes);
    await client.ended;
    expect(provider.requests.at(-1)?.frames?.length ?? 0).toBe(before);
  });

  test.each(["this is not JSON", '{"type":"response.create"', "[]"])(
    "%p is refused as invalid_json and ends the session",
    async (text) => {
      const client = await open();
      client.send(text);
      const event = JSON.parse(await client.next());
      expect([event.status, event.error.code]).toEqual([400, "invalid_json"]);
      expect((await client.closed).code).toBe(1008);
    },
  );

  test("a frame over the limit is 1009", async () => {
    const small = await startNode({
      config: openaiConfig(provider.url, "limits: { frame: 64KiB }"),
    });
    const client = await connect(small.url, "/v1/responses", {
      authorization: `Bearer ${await small.mint()}`,
    });
    client.send("x".repeat(70_000));
    expect((await client.closed).code).toBe(1009);
    await small.stop();
  });

  test("an upstream that stops in the middle of a frame is 1011 to the client", async () => {
    const upstream = await rawUpstream((socket, head) => {
      if (!acceptUpgrade(socket, head)) return;
      setTimeout(() => {
        socket.write(Buffer.from([0x81, 0x7e, 0x10, 0x00, 0x7b]));
        socket.end();
      }, 100);
    });
    const other = await startNode({ config: openaiConfig(upstream.url) });
    const client = await connect(other.url, "/v1/responses", {
      authorization: `Bearer ${await other.mint()}`,
    });
    expect((await client.closed).code).toBe(1011);
    await other.stop();
    await upstream.stop();
  });
});

test("the turns of a client that left are metered while the upstream still answers", async () => {
  const client = await open("/v1/responses", { "x-mock": "tokens=5,delay=each:100ms" });
  client.send(create({ metadata: { note: "leaver" } }));
  await client.until((message) => message.includes("response.created"));
  const earlier = new Set(node.log);
  client.terminate();
  const line = await node.logged(
    (one) => one.event.startsWith("relay_") && "dropped_frames" in one && !earlier.has(one),
  );
  expect(line).toMatchObject({ event: "relay_completed", turns: 1, graceful: true });
  const sessionId = String(line["session_id"]);
  const events = await usageEvents(node, 1, ["--session", sessionId]);
  expect(events).toMatchObject([{ turn: 1, status: "completed", usage_source: "upstream" }]);
  // Frames for a client that is gone are dropped, and nothing is dropped silently.
  expect(line["dropped_frames"]).toBeGreaterThan(0);
  expect(await metricsText(node)).toContain(
    'sluice_frames_dropped_total{reason="downstream_gone"}',
  );
});

async function residentBytes(pid: number): Promise<number> {
  const status = await Bun.file(`/proc/${pid}/status`).text();
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

describe("a dial that fails", () => {
  test.each([
    ["goes on to the next provider", "", "completed"],
    ["does not, with one attempt", ", retry: { attempts: 1 }", "upstream_unreachable"],
    [
      "does not, for a cause that is not named",
      ", retry: { on: [timeout] }",
      "upstream_unreachable",
    ],
  ])("%s", async (_title, retry, expected) => {
    const gone = await rawUpstream(() => {});
    await gone.stop();
    const own = await startNode({
      config: `providers:
  - { name: a, type: openai, endpoint: "${gone.url}", api_key: sk-a, priority: 1${retry} }
  - { name: b, type: openai, endpoint: "${provider.url}", api_key: sk-b }
`,
    });
    const headers = { authorization: `Bearer ${await own.mint()}` };
    try {
      if (expected === "completed") {
        const client = await connect(own.url, "/v1/responses", headers);
        client.send(create());
        await completed(client);
        client.close();
        return;
      }
      const answer = await refusal(own.url, "/v1/responses", headers);
      expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([502, expected]);
    } finally {
      await own.stop();
    }
  });
});
