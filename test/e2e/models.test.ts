/**
 * The executable where models decide: other names at the upstream, providers that serve some models
 * only, and responses that one upstream alone knows.
 */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { metricsText, type Node, startNode, startProvider, usageEvents } from "./harness.ts";
import { acceptUpgrade, rawUpstream } from "./raw_upstream.ts";
import { type Client, connect, rawHandshake } from "./ws_client.ts";

const RESPONSES = "/v1/responses";
const LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

let one: Mock;
let other: Mock;
let node: Node;
let token: string;

beforeAll(async () => {
  [one, other] = [await startProvider(), await startProvider()];
});

afterEach(async () => {
  await node.stop();
  one.clear();
  other.clear();
});

afterAll(async () => {
  await one.stop();
  await other.stop();
});

function provider(type: string, name: string, { url }: Mock, more: string): string {
  return `  - {name: ${name}, type: ${type}, endpoint: "${url}", api_key: sk-${name}${more}}\n`;
}

async function start(...providers: readonly string[]): Promise<void> {
  node = await startNode({ config: `providers:\n${providers.join("")}` });
  token = await node.mint();
}

function ask(path: string, body: object | FormData, headers = {}): Promise<Response> {
  const isForm = body instanceof FormData;
  return fetch(`${node.url}${path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      ...(isForm ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    body: isForm ? body : JSON.stringify(body),
  });
}

function open(path = RESPONSES): Promise<Client> {
  return connect(node.url, path, { authorization: `Bearer ${token}` });
}

const create = (fields: object) =>
  JSON.stringify({ type: "response.create", input: "Hello", ...fields });

/** Plays a turn; returns its terminal event. */
async function turn(client: Client, fields: object): Promise<{ id: string; model: string }> {
  client.send(create(fields));
  const text = await client.until((message) => /"type":"response\.completed"/.test(message));
  return JSON.parse(text).response;
}

const framesOf = (mock: Mock) => mock.requests.flatMap(({ frames }) => frames).map(String);
const bodyOf = (mock: Mock) => new TextDecoder().decode(mock.requests.at(-1)?.body);

describe("a model with another name at the upstream", () => {
  const names = ", models: {fast: gpt-5-mini}";

  test.each([
    ["/v1/chat/completions", { messages: [{ role: "user", content: "Hello" }] }],
    [RESPONSES, { input: "Hello" }],
    ["/v1/embeddings", { input: "Hello" }],
  ])("of %s is the upstream's there, and the caller's in the answer", async (path, more) => {
    await start(provider("openai", "one", one, names));
    const answer = await ask(path, { model: "fast", ...more });
    expect(await answer.json()).toMatchObject({ model: "fast" });
    expect(JSON.parse(bodyOf(one))).toEqual({ model: "gpt-5-mini", ...more });
    const [event] = await usageEvents(node, 1);
    expect(event).toMatchObject({ requested_model: "fast", status: "completed" });
    expect(event?.["model"]).toStartWith("gpt-5-mini");
  });

  test("of a stream is the caller's in every event", async () => {
    await start(provider("openai", "one", one, names));
    const messages = [{ role: "user", content: "Hello" }];
    const asked = { model: "fast", stream: true, messages };
    const text = await (await ask("/v1/chat/completions", asked)).text();
    const models = [...text.matchAll(/"model":"([^"]*)"/g)].map(([, name]) => name);
    expect(new Set(models)).toEqual(new Set(["fast"]));
    expect(text).toEndWith("data: [DONE]\n\n");
    const [event] = await usageEvents(node, 1);
    expect(event).toMatchObject({ status: "completed", usage_source: "upstream" });
  });

  test("of a form that carries a file is the upstream's there", async () => {
    await start(provider("openai", "one", one, names));
    const form = new FormData();
    form.set("file", new Blob([new Uint8Array(400_000).fill(7)]), "a.wav");
    form.set("model", "fast");
    expect((await ask("/v1/audio/transcriptions", form)).status).toBe(200);
    expect(bodyOf(one)).toContain('name="model"\r\n\r\ngpt-5-mini\r\n');
    expect(one.requests.at(-1)?.bodyBytes).toBeGreaterThan(400_000);
    expect(await usageEvents(node, 1)).toMatchObject([{ requested_model: "fast" }]);
  });

  test("of Anthropic and Gemini is the caller's too, in bodies and paths", async () => {
    await start(
      provider("anthropic", "one", one, ", models: {quick: claude-haiku-5}"),
      provider("gemini", "other", other, ", models: {swift: gemini-3-flash}"),
    );
    const asked = { model: "quick", max_tokens: 9, messages: [{ role: "user", content: "Hi" }] };
    const version = { "anthropic-version": "2023-06-01" };
    const message = await ask("/v1/messages", asked, version);
    expect(await message.json()).toMatchObject({ model: "quick" });
    const stream = await (await ask("/v1/messages", { ...asked, stream: true }, version)).text();
    expect(stream).toContain('"model":"quick"');
    expect(stream).not.toContain("claude-haiku-5");
    const contents = [{ parts: [{ text: "Hi" }] }];
    const path = "/v1beta/models/swift";
    const generated = await ask(`${path}:generateContent`, { contents });
    expect(await generated.json()).toMatchObject({ modelVersion: "swift" });
    expect(other.requests.at(-1)?.path).toBe("/v1beta/models/gemini-3-flash:generateContent");
    const array = await (await ask(`${path}:streamGenerateContent`, { contents })).json();
    expect(array.at(-1)).toMatchObject({ modelVersion: "swift" });
    expect(await usageEvents(node, 4)).toMatchObject([
      { requested_model: "quick" },
      { requested_model: "quick" },
      { requested_model: "swift", model: "gemini-3-flash-001" },
      { requested_model: "swift", model: "gemini-3-flash-001" },
    ]);
  });

  test("of a session is the upstream's there, and turns may use either", async () => {
    await start(provider("openai", "one", one, names));
    const client = await open();
    expect((await turn(client, { model: "fast" })).model).toBe("fast");
    expect((await turn(client, { model: "gpt-5-mini" })).model).toStartWith("gpt-5-mini");
    client.close();
    const models = framesOf(one).map((frame) => JSON.parse(frame).model);
    expect(models).toEqual(["gpt-5-mini", "gpt-5-mini"]);
    const [first, second] = await usageEvents(node, 2);
    expect([first?.["requested_model"], second?.["requested_model"]]).toEqual([
      "fast",
      "gpt-5-mini",
    ]);
  });

  test("of Realtime is the upstream's in the URL, and the caller's in its session", async () => {
    await start(provider("openai", "one", one, ", models: {voice: gpt-realtime}"));
    const client = await open("/v1/realtime?model=voice");
    const created = await client.until((message) => message.includes("session.created"));
    expect(JSON.parse(created).session.model).toBe("voice");
    expect(one.requests.at(-1)?.path).toBe("/v1/realtime?model=gpt-realtime");
    client.close();
  });

  test("is not asked of the next one, where it is that of a model not allowed", async () => {
    const broken = await rawUpstream((socket) => {
      socket.write("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n");
    });
    const first = { ...one, url: broken.url };
    const fallback = ", is_fallback: true, models: {fast: gpt-5}";
    await start(provider("openai", "one", first, names), provider("openai", "b", other, fallback));
    token = await node.sluice(["token", "mint", "--model", "gpt-5-mini"]);
    expect((await ask(RESPONSES, { model: "fast", input: "Hello" })).status).toBe(500);
    expect(other.requests).toHaveLength(0);
    await broken.stop();
  });

  test("is listed for a token under any of its names", async () => {
    await start(provider("openai", "one", one, names));
    token = await node.sluice(["token", "mint", "--model", "fast"]);
    expect((await ask(RESPONSES, { model: "fast", input: "x" })).status).toBe(200);
    const refused = await ask(RESPONSES, { model: "o3", input: "x" });
    expect([refused.status, (await refused.json()).error.code]).toEqual([403, "model_not_allowed"]);
    const client = await open();
    expect((await turn(client, { model: "fast" })).model).toBe("fast");
    client.close();
  });
});

describe("a model that not every provider serves", () => {
  const only = (list: string) => `, allowed_models: [${list}]`;

  test("goes to one that does, whatever the others' priority", async () => {
    await start(
      provider("openai", "one", one, `${only("gpt-5*")}, priority: 9`),
      provider("openai", "other", other, only("o3")),
    );
    for (const [model, name] of [
      ["gpt-5-mini", "one"],
      ["o3", "other"],
    ]) {
      const answer = await ask(RESPONSES, { model, input: "x" });
      expect([answer.status, answer.headers.get("x-sluice-provider")]).toEqual([200, name ?? ""]);
    }
    for (const body of [{ model: "o4", input: "x" }, { input: "x" }]) {
      const refused = await ask(RESPONSES, body);
      const { error } = await refused.json();
      expect([refused.status, error.code]).toEqual([403, "model_not_allowed"]);
    }
    expect([one.requests.length, other.requests.length]).toEqual([1, 1]);
  });

  test("is chosen for by a session's first message, and held to by the next", async () => {
    await start(
      provider("openai", "one", one, only("gpt-5*")),
      provider("openai", "other", other, only("o3")),
    );
    for (const [model, mock] of [["gpt-5", one] as const, ["o3", other] as const]) {
      const client = await open();
      expect((await turn(client, { model })).model).toStartWith(model);
      client.send(create({ model: "o4" }));
      const refused = JSON.parse(await client.until((message) => message.includes('"error"')));
      expect(refused.error).toMatchObject({ code: "model_not_allowed" });
      expect((await turn(client, { model })).model).toStartWith(model);
      client.close();
      expect(framesOf(mock)).toHaveLength(2);
    }
    expect(await usageEvents(node, 4)).toHaveLength(4);
  });

  test("that none serves ends the session, and nobody is dialled", async () => {
    await start(provider("openai", "one", one, only("gpt-5*")));
    const client = await open();
    client.send(create({ model: "o4" }));
    const refused = JSON.parse(await client.next());
    expect([refused.status, refused.error.code]).toEqual([403, "model_not_allowed"]);
    expect(await client.closed).toMatchObject({ code: 1008 });
    expect(one.requests).toHaveLength(0);
    expect(await usageEvents(node, 0)).toEqual([]);
  });

  test("of Gemini Live is chosen for by its setup", async () => {
    await start(
      provider("gemini", "one", one, `${only("gemini-3-flash")}, models: {swift: gemini-3-flash}`),
      provider("gemini", "other", other, only("gemini-3-pro")),
    );
    const client = await connect(node.url, `${LIVE}?key=${token}`, {});
    client.send(JSON.stringify({ setup: { model: "models/swift" } }));
    const first = new TextDecoder().decode((await client.nextMessage()) as ArrayBuffer);
    expect(first).toContain("setupComplete");
    expect(framesOf(one)).toEqual(['{"setup":{"model":"models/gemini-3-flash"}}']);
    expect(other.requests).toHaveLength(0);
    client.send(JSON.stringify({ clientContent: { turns: "Hello", turnComplete: true } }));
    const [event] = await usageEvents(node, 1);
    expect(event).toMatchObject({ requested_model: "swift", model: "gemini-3-flash" });
    client.close();
  });

  test("holds for a Realtime session's transcription too", async () => {
    await start(provider("openai", "one", one, only("gpt-realtime")));
    const client = await open("/v1/realtime?model=gpt-realtime");
    await client.until((message) => message.includes("session.created"));
    const transcription = { model: "whisper-1" };
    const session = { type: "realtime", audio: { input: { transcription } } };
    client.send(JSON.stringify({ type: "session.update", session }));
    const refused = await client.until((message) => message.includes('"error"'));
    expect(JSON.parse(refused).error.code).toBe("model_not_allowed");
    expect(framesOf(one)).toEqual([]);
    await client.closed;
  });
});

describe("a session whose first message decides", () => {
  const config = (more: string) =>
    `timeouts: {first_frame: 200ms}\nproviders:\n${provider("gemini", "one", one, more)}`;

  test("is closed when nothing comes, and gives its place back", async () => {
    node = await startNode({ config: config("") });
    token = await node.sluice(["token", "mint", "--limit", "concurrent_sessions=1"]);
    for (let count = 0; count < 2; count += 1) {
      const client = await connect(node.url, `${LIVE}?key=${token}`, {});
      expect(await client.closed).toEqual({ code: 1008, reason: "missing first setup message" });
    }
    await node.logged(
      ({ event, code }) => event === "relay_failed" && code === "first_frame_timeout",
    );
    expect(one.requests).toHaveLength(0);
  });

  test("is told by its close why there is no upstream for it", async () => {
    node = await startNode({
      config: config(", retry: {attempts: 1}").replace(one.url, "http://127.0.0.1:1"),
    });
    token = await node.mint();
    const client = await connect(node.url, `${LIVE}?key=${token}`, {});
    client.send(JSON.stringify({ setup: { model: "models/g" } }));
    expect(await client.closed).toEqual({ code: 1011, reason: "upstream websocket proxy failed" });
  });

  test("ends with its token while it waits", async () => {
    node = await startNode({ config: `providers:\n${provider("gemini", "one", one, "")}` });
    token = await node.mint();
    const client = await connect(node.url, `${LIVE}?key=${token}`, {});
    const [{ id }] = JSON.parse(await node.sluice(["token", "list", "--json"]));
    await node.sluice(["token", "revoke", id]);
    expect(await client.closed).toMatchObject({ code: 1008 });
  });

  test("ends at once when the node drains", async () => {
    node = await startNode({ config: `providers:\n${provider("gemini", "one", one, "")}` });
    token = await node.mint();
    const client = await connect(node.url, `${LIVE}?key=${token}`, {});
    node.kill("SIGTERM");
    expect(await client.closed).toMatchObject({ code: 1012 });
    expect(await node.exited).toBe(0);
  });

  test("with a turn in its hands has it answered before the node stops", async () => {
    const late = await rawUpstream((socket, head) => {
      const agree = () => {
        if (acceptUpgrade(socket, head)) socket.write(Buffer.from([0x81, 2, 0x7b, 0x7d]));
      };
      setTimeout(agree, 500);
    });
    const slow = { ...one, url: late.url };
    await start(provider("openai", "one", slow, ", allowed_models: [gpt-5]"));
    const client = await open();
    client.send(create({ model: "gpt-5" }));
    await node.logged(({ event }) => event === "relay_dial_start");
    node.kill("SIGTERM");
    expect(await client.next()).toBe("{}");
    await late.stop();
  });

  test.each([
    ["session_seconds", "The session lasted 1 s, its limit"],
    ["session_idle_seconds", "idle"],
  ])("is held to %s of its token", async (limit, reason) => {
    await start(provider("openai", "one", one, ""), provider("openai", "other", other, ""));
    token = await node.sluice(["token", "mint", "--limit", `${limit}=1`]);
    const client = await open();
    expect(await client.next()).toContain(reason);
    expect(await client.closed).toMatchObject({ code: 1008 });
  });

  test("is asked whether it is there, and gets another upstream where its own is not", async () => {
    let isFirst = true;
    const silent = await rawUpstream((socket, head) => {
      if (isFirst) isFirst = !acceptUpgrade(socket, head);
      else if (head.startsWith("GET ")) socket.end();
    });
    const providers = [
      provider("openai", "one", { ...one, url: silent.url }, ""),
      provider("openai", "other", other, ", is_fallback: true"),
    ];
    node = await startNode({
      config: `timeouts: {ping: 250ms}\nproviders:\n${providers.join("")}`,
    });
    token = await node.mint();
    const client = await open();
    await node.logged(({ event }) => event === "relay_dial_failed");
    expect(client.pings).toBeGreaterThan(0);
    expect((await turn(client, { model: "gpt-5" })).model).toBe("gpt-5");
    client.close();
    expect(framesOf(other)).toHaveLength(1);
    await silent.stop();
  });

  test("still waits for it when the upstream asks whether we are there", async () => {
    const pinging = await rawUpstream((socket, head) => {
      if (acceptUpgrade(socket, head)) socket.write(Buffer.from([0x89, 0]));
      else pinged.resolve();
    });
    const pinged = Promise.withResolvers<void>();
    await start(
      provider("openai", "one", { ...one, url: pinging.url }, ""),
      provider("openai", "other", other, ", is_fallback: true"),
    );
    const client = await open();
    await pinged.promise;
    expect(node.log.some(({ event }) => event === "relay_start")).toBe(false);
    client.terminate();
    await pinging.stop();
  });

  test.each(["no JSON", '{"model":"a","model":"b"}'])("is closed over %s", async (message) => {
    await start(provider("openai", "one", one, ", allowed_models: [gpt-5]"));
    const client = await open();
    client.send(message);
    expect(JSON.parse(await client.next()).status).toBe(400);
    expect(await client.closed).toMatchObject({ code: 1008 });
    expect(one.requests).toHaveLength(0);
  });

  test("is told in the log to have failed where its client breaks the protocol", async () => {
    await start(provider("gemini", "one", one, ""));
    const client = await rawHandshake(node.url, `${LIVE}?key=${token}`, {});
    client.write(Buffer.from([0xf1, 0x80, 0, 0, 0, 0]));
    const { code, close_code_downstream } = await node.logged(
      ({ event }) => event === "relay_failed" || event === "relay_completed",
    );
    expect([code, close_code_downstream]).toEqual(["bad_request", 1002]);
  });

  test("is not read any more when much waits, be it empty messages", async () => {
    const silent = await rawUpstream(() => {});
    await start(provider("gemini", "one", { ...one, url: silent.url }, ""));
    const client = await rawHandshake(node.url, `${LIVE}?key=${token}`, {});
    const setup = Buffer.from('{"setup":{"model":"models/g"}}');
    client.write(Buffer.concat([Buffer.from([0x81, 0x80 | setup.length, 0, 0, 0, 0]), setup]));
    await node.logged(({ event }) => event === "relay_dial_start");
    const empty = Buffer.from([0x81, 0x80, 0, 0, 0, 0]);
    const flood = Buffer.concat(Array(200_000).fill(empty));
    let taken = 0;
    for (let count = 0; count < 30; count += 1) {
      // Some of a frame was not taken: nothing more can be said.
      const written = client.write(flood);
      taken += written;
      if (written < flood.length) break;
      await Bun.sleep(50);
    }
    expect(taken).toBeLessThan(30 * flood.length);
    await silent.stop();
  }, 15_000);

  test("undoes the dial when the client leaves", async () => {
    const silent = await rawUpstream(() => {});
    await start(provider("gemini", "one", { ...one, url: silent.url }, ""));
    const client = await connect(node.url, `${LIVE}?key=${token}`, {});
    client.send(JSON.stringify({ setup: { model: "models/g" } }));
    await node.logged(({ event }) => event === "relay_dial_start");
    client.terminate();
    await node.logged(({ event, reason }) => {
      return event === "relay_dial_failed" && String(reason).includes("left");
    });
    await node.logged(({ event }) => event === "relay_completed");
    expect(await metricsText(node)).toContain(
      'sluice_frames_dropped_total{reason="session_ended"} 1',
    );
    silent.stop();
  });

  test("takes messages that came before the upstream agreed, in order", async () => {
    await start(provider("openai", "one", one, ", allowed_models: [gpt-5]"));
    const client = await open();
    client.send(create({ model: "gpt-5", metadata: { n: "1" } }));
    client.send(create({ model: "gpt-5", metadata: { n: "2" } }));
    await client.count(2, (message) => message.includes('"type":"response.completed"'));
    client.close();
    const sent = framesOf(one).map((frame) => JSON.parse(frame).metadata.n);
    expect(sent).toEqual(["1", "2"]);
  });
});

describe("a response that one upstream made", () => {
  const both = () => [provider("openai", "one", one, ""), provider("openai", "other", other, "")];

  test("is gone on from there, over HTTP", async () => {
    await start(...both());
    const first = await ask(RESPONSES, { model: "gpt-5", input: "x" });
    const { id } = await first.json();
    const made = first.headers.get("x-sluice-provider");
    await node.logged(({ event }) => event === "relay_turn_completed");
    for (let count = 0; count < 10; count += 1) {
      const asked = { model: "gpt-5", input: "y", previous_response_id: id };
      const next = await ask(RESPONSES, asked);
      expect(next.headers.get("x-sluice-provider")).toBe(made);
      await next.text();
    }
  });

  test("is gone on from there in a new session, though another one was dialled", async () => {
    await start(...both());
    const first = await ask(RESPONSES, { model: "gpt-5", input: "x" });
    const { id } = await first.json();
    const maker = first.headers.get("x-sluice-provider") === "one" ? one : other;
    await node.logged(({ event }) => event === "relay_turn_completed");
    for (let count = 0; count < 8; count += 1) {
      const client = await open();
      client.send(create({ model: "gpt-5", previous_response_id: id }));
      await client.until((message) => /"type":"(response\.completed|error)"/.test(message));
      client.close();
    }
    const frames = [one, other].map((mock) => framesOf(mock).length);
    expect(frames).toEqual(maker === one ? [8, 0] : [0, 8]);
  });
});
