/**
 * The service tier policy on the executable: what the upstream gets, what the client is told, what
 * the usage says; and a policy that changes while a session is open.
 */

import { beforeEach, describe, expect, test } from "bun:test";
import { constants, deflateRawSync } from "node:zlib";

import type { Mock } from "../../src/mock/mock.ts";
import {
  metricsText,
  type Node,
  nodeForFile,
  openaiConfig,
  tokenId,
  usageEvents,
} from "./harness.ts";
import { type Client, connect, rawHandshake } from "./ws_client.ts";

let provider: Mock;
let node: Node;
let token: string;

const config = (url: string) =>
  openaiConfig(url, `  - {type: anthropic, endpoint: "${url}", api_key: sk-ant-secret-0002}`);

nodeForFile(config, (started) => {
  ({ provider, node } = started);
});

beforeEach(async () => {
  provider.clear();
  token = await node.mint();
});

const PRIORITY = { service_tier: "priority" };

function post(body: object, path = "/v1/responses", headers: object = {}): Promise<Response> {
  return fetch(`${node.url}${path}`, {
    method: "POST",
    body: JSON.stringify({ model: "gpt-5.5", input: "Go", ...body }),
    headers: { authorization: `Bearer ${token}`, ...headers },
  });
}

function open(path = "/v1/responses"): Promise<Client> {
  return connect(node.url, path, { authorization: `Bearer ${token}` });
}

/** Asks for a turn with a tier, and returns the event that ends it. */
async function turn(client: Client, tier: string | null) {
  const create = { type: "response.create", model: "gpt-5.5", input: "Go" };
  client.send(JSON.stringify(tier === null ? create : { ...create, service_tier: tier }));
  const ends = /"type":"(response\.(completed|failed)|error)"/;
  return JSON.parse(await client.until((text) => ends.test(text)));
}

/** What the upstream received: bodies and frames, in order. */
function received(): Record<string, unknown>[] {
  return provider.requests.flatMap(({ body, frames, method }) => {
    const texts = method === "GET" ? frames : [new TextDecoder().decode(body)];
    return texts.map((text) => JSON.parse(String(text)));
  });
}

const tiersOf = (events: readonly Record<string, unknown>[]) =>
  events.map((event) => [
    event["requested_service_tier"],
    event["decided_service_tier"],
    event["service_tier"],
  ]);

describe("by default", () => {
  test("priority is filtered over HTTP and WebSocket alike, and flex passes", async () => {
    const shown = JSON.parse(await node.sluice(["policy", "show", "--json"]));
    expect(shown).toMatchObject({ source: "default", policy: { rules: [{ action: "filter" }] } });
    const answer = await post({ service_tier: "fast" });
    expect(answer.headers.get("x-sluice-service-tier")).toBe("fast;none");
    const client = await open();
    await turn(client, "priority");
    await turn(client, "flex");
    client.close();
    expect(received().map((sent) => sent["service_tier"])).toEqual([undefined, undefined, "flex"]);
    const events = await usageEvents(node, 3, ["--token", tokenId(token)]);
    expect(tiersOf(events).map(([asked, decided]) => [asked, decided])).toEqual([
      ["fast", null],
      ["priority", null],
      ["flex", "flex"],
    ]);
  });
});

describe("a stored policy", () => {
  test("forces, on both", async () => {
    await node.setRules({ ...PRIORITY, action: "force", force_tier: "flex" });
    await post({ service_tier: "fast" });
    const client = await open();
    await turn(client, "fast");
    client.close();
    expect(received().map((sent) => sent["service_tier"])).toEqual(["flex", "flex"]);
  });

  test("blocks: the upstream sees nothing, HTTP is no way past it", async () => {
    await node.setRules({ ...PRIORITY, action: "block", error_message: "Not on this plan" });
    const client = await open();
    expect(await turn(client, null)).toMatchObject({ type: "response.completed" });
    const event = await turn(client, "fast");
    expect(event).toMatchObject({
      type: "error",
      status: 400,
      error: {
        type: "forbidden_error",
        code: "policy_violation",
        message: "Not on this plan",
        param: "service_tier",
      },
    });
    expect(await client.closed).toEqual({ code: 1008, reason: "Not on this plan" });
    const refused = await post({ service_tier: "fast" });
    expect(refused.status).toBe(403);
    expect(refused.headers.get("x-sluice-service-tier")).toBe("fast;none");
    expect((await refused.json()).error).toMatchObject({
      type: "forbidden_error",
      code: "policy_violation",
      param: "service_tier",
    });
    expect(received()).toHaveLength(1);
    expect(await usageEvents(node, 1, ["--token", tokenId(token)])).toHaveLength(1);
  });

  test("fails the turn alone where it says so", async () => {
    await node.setRules({ ...PRIORITY, action: "block", on_block: "fail_turn" });
    const client = await open();
    const failed = await turn(client, "fast");
    expect(failed).toMatchObject({
      type: "response.failed",
      response: { status: "failed", error: { code: "invalid_prompt" } },
    });
    expect(await turn(client, null)).toMatchObject({ type: "response.completed" });
    client.close();
    expect(received()).toHaveLength(1);
  });

  test("that takes a held tier away fails turns until the session sets another", async () => {
    await node.setRules();
    const client = await open("/v1/realtime?model=gpt-realtime");
    const ask = async (event: object, ends: string) => {
      client.send(JSON.stringify(event));
      return JSON.parse(await client.until((text) => text.includes(`"type":"${ends}"`)));
    };
    const hold = (tier: string, ends = "session.updated") =>
      ask({ type: "session.update", session: { type: "realtime", service_tier: tier } }, ends);
    const CREATE = { type: "response.create" };
    await hold("priority");
    expect((await ask(CREATE, "response.done")).response.status).toBe("completed");
    await node.setRules({ ...PRIORITY, action: "block", on_block: "fail_turn" });
    const frames = received().length;
    expect((await ask(CREATE, "response.done")).response).toMatchObject({
      status: "failed",
      status_details: { error: { code: "invalid_prompt" } },
    });
    const append = { type: "input_audio_buffer.append", audio: "AAAA" };
    expect((await ask(append, "error")).error.code).toBe("policy_violation");
    expect((await hold("priority", "error")).error.code).toBe("policy_violation");
    expect(received()).toHaveLength(frames);
    await hold("default");
    expect((await ask(CREATE, "response.done")).response.status).toBe("completed");
    client.close();
  });

  test("that changes is in force with the next turn of an open session", async () => {
    await node.setRules();
    const client = await open();
    await turn(client, "fast");
    await node.setRules({ ...PRIORITY, action: "filter" });
    await turn(client, "fast");
    await node.setRules({ ...PRIORITY, action: "force", force_tier: "flex" });
    await turn(client, "fast");
    client.close();
    const sent = received().map((frame) => frame["service_tier"]);
    expect(sent).toEqual(["priority", undefined, "flex"]);
  });

  test("is told in shadow what it would have done", async () => {
    await node.setRules({ ...PRIORITY, action: "block", shadow: true });
    expect((await post({ service_tier: "fast" })).status).toBe(200);
    expect(received()[0]?.["service_tier"]).toBe("priority");
    const line = await node.logged(({ event }) => event === "policy_shadow");
    expect(line).toMatchObject({ rule: 0, action: "block", requested_service_tier: "fast" });
    expect(await metricsText(node)).toContain('action="block",shadow="true"} 1');
  });

  test("takes Anthropic's fast mode out, in all of its spellings", async () => {
    await node.setRules({ ...PRIORITY, action: "filter" });
    const body = { model: "claude-opus-4-6", max_tokens: 9, speed: "fast", messages: [] };
    await post(body, "/v1/messages", { "anthropic-beta": "fast-mode-2026-02-01,other-1" });
    const [request] = provider.requests;
    expect(request?.headers["anthropic-beta"]).toBe("other-1");
    expect(received()[0]).not.toHaveProperty("speed");
  });

  test("bills Anthropic's fast mode as it was served", async () => {
    await node.setRules();
    const body = { model: "claude-opus-4-6", max_tokens: 9, speed: "fast", messages: [] };
    const answer = await post(body, "/v1/messages", { "anthropic-beta": "fast-mode-2026-02-01" });
    await answer.text();
    const [event] = await usageEvents(node, 1, ["--token", tokenId(token)]);
    expect(tiersOf([event ?? {}])).toEqual([["fast", "priority", "fast"]]);
    expect(event).toMatchObject({ details: { speed: "fast" } });
    const list = Number(event?.["input_tokens"]) * 5 + Number(event?.["output_tokens"]) * 25;
    expect(event?.["settled_micros"]).toBe(6 * list);
  });

  const BYPASSES: readonly (readonly [string, string])[] = [
    ["type last", '{"model":"gpt-5.5","service_tier":"priority","type":"response.create"}'],
    ["an escaped key", '{"type":"response.create","\\u0073ervice_tier":"priority"}'],
    ["an escaped value", '{"type":"response.create","service_tier":"\\u0070riority"}'],
    ["upper case and padding", '{"type":"response.create","service_tier":" FAST "}'],
    ["a key named twice", '{"type":"response.create","service_tier":"x","service_tier":"fast"}'],
    ["a type named twice", '{"type":"x","type":"response.create","service_tier":"fast"}'],
    ["a key in capitals", '{"type":"response.create","Service_Tier":"fast"}'],
    ["a key with a letter that is a capital of another", '{"type":"x","ſervice_tier":"fast"}'],
    ["a lane", '{"type":"response.create","stream_id":"a","service_tier":"fast"}'],
    ["steering", '{"type":"response.steer","service_tier":"fast"}'],
  ];

  test.each(BYPASSES)("is not got past by %s", async (_title, frame) => {
    await node.setRules({ ...PRIORITY, action: "block" });
    for (const message of [frame, new TextEncoder().encode(frame)]) {
      const client = await open();
      client.send(message);
      const event = JSON.parse(await client.next());
      expect(event.error.code).toMatch(/^(policy_violation|ambiguous_json)$/);
      expect((await client.closed).code).toBe(1008);
    }
    expect(received()).toEqual([]);
  });

  test("is not got past by a model inside the response", async () => {
    const only = { model_whitelist: ["gpt-5.5"], fallback_action: "block" };
    await node.setRules({ ...PRIORITY, action: "pass", ...only });
    const client = await open();
    await turn(client, null);
    client.send('{"type":"response.create","response":{"model":"o3","service_tier":"fast"}}');
    expect((await client.closed).code).toBe(1008);
    expect(received()).toHaveLength(1);
  });

  test("is not got past by a prompt, whose model nobody here knows", async () => {
    const only = { model_whitelist: ["gpt-5.5"], fallback_action: "block" };
    await node.setRules({ ...PRIORITY, action: "pass", ...only });
    const client = await open();
    await turn(client, "fast");
    client.send('{"type":"response.create","prompt":{"id":"pmpt_1"},"service_tier":"fast"}');
    expect((await client.closed).code).toBe(1008);
    expect(received().map((frame) => frame["service_tier"])).toEqual(["priority"]);
  });

  test("is not got past by a frame for every byte", async () => {
    await node.setRules({ ...PRIORITY, action: "block" });
    const client = await rawHandshake(node.url, "/v1/responses", {
      authorization: `Bearer ${token}`,
    });
    const bytes = new TextEncoder().encode('{"type":"response.create","service_tier":"fast"}');
    // FIN on the last, the opcode on the first; masked with zeros (RFC 6455, section 5.2).
    for (const [index, byte] of bytes.entries()) {
      const end = index === bytes.length - 1 ? 0x80 : 0;
      client.write(Uint8Array.of(end | (index === 0 ? 1 : 0), 0x81, 0, 0, 0, 0, byte));
    }
    expect(await client.ended).toContain("policy_violation");
    expect(received()).toEqual([]);
  });

  test("is not got past by a compressed frame, which nobody agreed to", async () => {
    await node.setRules({ ...PRIORITY, action: "block" });
    const client = await rawHandshake(node.url, "/v1/responses", {
      authorization: `Bearer ${token}`,
      "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
    });
    const text = '{"type":"response.create","model":"gpt-5.5","service_tier":"fast"}';
    // RFC 7692, section 7.2.1: without the four bytes that end the block.
    const packed = deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
    client.write(Uint8Array.of(0xc1, 0x80 | packed.length, 0, 0, 0, 0, ...packed));
    expect(await client.ended).not.toMatch(/sec-websocket-extensions/i);
    expect(received()).toEqual([]);
  });

  test.each(["gzip", "br", "zstd", "deflate"])("is not got past by %s bodies", async (coding) => {
    await node.setRules({ ...PRIORITY, action: "block" });
    const answer = await post({ service_tier: "fast" }, "/v1/responses", {
      "content-encoding": coding,
    });
    expect(answer.status).toBe(415);
    expect(received()).toEqual([]);
  });

  const TYPES = ["application/json; charset=utf-8", "APPLICATION/JSON", "text/plain", ""] as const;

  test.each(TYPES)("is not got past by the content type %p", async (type) => {
    await node.setRules({ ...PRIORITY, action: "block" });
    const answer = await post({ service_tier: "fast" }, "/v1/responses", { "content-type": type });
    expect(answer.status).toBe(403);
    expect(received()).toEqual([]);
  });

  test("is not got past by another charset", async () => {
    await node.setRules({ ...PRIORITY, action: "block" });
    const key = "+AHMAZQByAHYAaQBjAGUAXwB0AGkAZQBy-";
    const answer = await post({ [key]: "priority" }, "/v1/responses", {
      "content-type": "application/json; charset=utf-7",
    });
    expect([answer.status, (await answer.json()).error.code]).toEqual([
      415,
      "unsupported_encoding",
    ]);
    expect(received()).toEqual([]);
  });

  const DISPOSITION = "Content-Disposition: form-data; name=";
  const TIER_PARTS: readonly (readonly [string, string, string])[] = [
    ["padding that is longer than what is kept", '"service_tier"', `${" ".repeat(300)}priority`],
    ["an extended name", "x; name*=utf-8''service_tier", "priority"],
    ["a second name", '"x"; name="service_tier"', "priority"],
    ["a second disposition", `"x"\r\n${DISPOSITION}"service_tier"`, "priority"],
    ["a transfer encoding", '"service_tier"\r\ncontent-transfer-encoding: base64', "cHJpb3JpdHk="],
    ["a name in capitals", '"Service_Tier"', "priority"],
    ["a file of that name", '"service_tier"; filename="x"', "priority"],
    ["bare line feeds", `"x"\r\n\r\nx\n--b\r\n${DISPOSITION}"service_tier"`, "priority"],
  ];

  test.each(TIER_PARTS)("is not got past by a form with %s", async (_title, name, value) => {
    await node.setRules({ ...PRIORITY, action: "block" });
    const parts = [
      `${DISPOSITION}"model"\r\n\r\nwhisper-1`,
      `${DISPOSITION}${name}\r\n\r\n${value}`,
    ];
    const whole = `${parts.map((part) => `--b\r\n${part}\r\n`).join("")}--b--\r\n`;
    // The last one has lost its end.
    for (const body of [whole, whole.slice(0, -8)]) {
      const answer = await fetch(`${node.url}/v1/audio/transcriptions`, {
        method: "POST",
        body,
        headers: {
          authorization: `Bearer ${token}`,
          "content-type": "multipart/form-data; boundary=b",
        },
      });
      expect([400, 403]).toContain(answer.status);
      expect(["bad_request", "policy_violation", "ambiguous_json"]).toContain(
        (await answer.json()).error.code,
      );
    }
    expect(provider.requests).toEqual([]);
  });

  const CALLS: readonly (readonly [string, string, string])[] = [
    ["of a call as JSON", "application/json", "/rtc_1/accept"],
    ["of a call without a content type", "", "/rtc_1/accept"],
    ["in a form", "form", ""],
    ["in a form, with the name of a file", "file", ""],
  ];

  test.each(CALLS)("is not got past by the session %s", async (_title, type, path) => {
    await node.setRules({ ...PRIORITY, action: "filter" });
    const call = (session: object) => {
      const json = JSON.stringify({ type: "realtime", model: "gpt-realtime", ...session });
      const form = new FormData();
      form.append("sdp", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\na=msid:{5ef1} {77aa}\r\n");
      form.append(
        "session",
        type === "file" ? new Blob([json], { type: "application/json" }) : json,
      );
      const isForm = type === "form" || type === "file";
      return fetch(`${node.url}/v1/realtime/calls${path}`, {
        method: "POST",
        body: isForm ? form : json,
        headers: { authorization: `Bearer ${token}`, ...(!isForm && { "content-type": type }) },
      });
    };
    const refused = await call({ service_tier: "fast" });
    expect([refused.status, (await refused.json()).error.code]).toEqual([403, "policy_violation"]);
    expect(provider.requests).toEqual([]);
    await call({ service_tier: "flex" });
    await call({});
    expect(provider.requests).toHaveLength(2);
  });

  test("is not in the way of an SDP alone", async () => {
    await node.setRules({ ...PRIORITY, action: "block" });
    await fetch(`${node.url}/v1/realtime/calls`, {
      method: "POST",
      body: "v=0\r\n",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/sdp" },
    });
    expect(provider.requests).toHaveLength(1);
  });

  test("is not got past by a chunked body", async () => {
    await node.setRules({ ...PRIORITY, action: "block" });
    const text = '{"model":"gpt-5.5","input":"Go","service_tier":"priority"}';
    const pieces = [...text].map((piece) => new TextEncoder().encode(piece));
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const piece = pieces.shift();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    });
    const answer = await fetch(`${node.url}/v1/chat/completions`, {
      method: "POST",
      body,
      headers: { authorization: `Bearer ${token}` },
    });
    expect(answer.status).toBe(403);
    expect(received()).toEqual([]);
  });

  /** Sends a form of these fields, with a file behind them; chunked, without a length. */
  async function postForm(
    fields: object,
    path: string,
    fileBytes = 1_000,
    chunked = false,
  ): Promise<Response> {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", new File([new Uint8Array(fileBytes)], "a.wav"));
    const { body, headers } = new Request("http://form.example/", { method: "POST", body: form });
    return await fetch(`${node.url}${path}`, {
      method: "POST",
      // What streams has no length.
      body: chunked ? body : form,
      headers: {
        authorization: `Bearer ${token}`,
        ...(chunked && { "content-type": headers.get("content-type") ?? "" }),
      },
    });
  }

  test("is not got past by JSON where forms are usual, nor by what is neither", async () => {
    await node.setRules({ ...PRIORITY, action: "block" });
    for (const path of ["/v1/images/edits", "/v1/audio/transcriptions"]) {
      const json = { "content-type": "application/json" };
      expect((await post({ service_tier: "fast" }, path, json)).status).toBe(403);
      const text = { "content-type": "text/plain" };
      expect((await post({ service_tier: "fast" }, path, text)).status).toBe(415);
    }
    expect(provider.requests).toEqual([]);
  });

  test("is not got past by a form; of a small one the upstream hears nothing", async () => {
    await node.setRules({ ...PRIORITY, action: "block" });
    const path = "/v1/audio/transcriptions";
    const fields = { model: "whisper-1", service_tier: "priority" };
    expect((await postForm(fields, path)).status).toBe(403);
    expect((await postForm(fields, path, 1_000, true)).status).toBe(403);
    expect(provider.requests).toEqual([]);
    expect((await postForm(fields, path, 1_000_000)).status).toBe(403);
    expect((await postForm(fields, path, 1_000_000, true)).status).toBe(403);
  });

  test("is asked once about a form, whatever its length", async () => {
    await node.setRules({ ...PRIORITY, action: "block", shadow: true });
    const fields = { model: "whisper-1", service_tier: "priority" };
    const decisions = async () => {
      const found = /action="block",shadow="true"} (\d+)/.exec(await metricsText(node));
      return Number(found?.[1] ?? 0);
    };
    for (const bytes of [1_000, 3_000_000]) {
      const before = await decisions();
      const answer = await postForm(fields, "/v1/audio/transcriptions", bytes);
      expect(answer.status).toBe(200);
      await answer.text();
      expect(await decisions()).toBe(before + 1);
    }
  });

  test("says of a form which tier it asked for and which was sent", async () => {
    await node.setRules({ ...PRIORITY, action: "block" });
    const fields = { model: "whisper-1", service_tier: "flex" };
    const answer = await postForm(fields, "/v1/audio/transcriptions");
    expect(answer.headers.get("x-sluice-service-tier")).toBe("flex;flex");
    await answer.text();
    const events = await usageEvents(node, 1, ["--token", tokenId(token)]);
    expect(tiersOf(events).map(([asked, decided]) => [asked, decided])).toEqual([["flex", "flex"]]);
  });

  test("explains itself", async () => {
    await node.setRules({ ...PRIORITY, action: "block", model_whitelist: ["gpt-5*"] });
    const args = ["policy", "explain", "--tier", "fast", "--model", "gpt-5.5", "--json"];
    const { decision } = JSON.parse(await node.sluice(args));
    expect(decision).toMatchObject({ action: "block", rule: 0, reason: "action" });
  });
});
