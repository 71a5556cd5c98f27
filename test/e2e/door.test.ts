/**
 * The executable at its door: pages of other origins, headers that must be there, parameters that
 * are limited, over HTTP and WebSocket.
 */

import { beforeEach, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { type Node, nodeForFile } from "./harness.ts";
import { connect, refusal } from "./ws_client.ts";

const APP = "https://app.example.com";
const PREVIEW = "https://pr-15854.preview.example.com";
const EVIL = "https://evil.example";

let upstream: Mock;
let node: Node;
let token: string;

const config = (url: string) => `cors:
  allowed_origins: ["${APP}", "https://*.preview.example.com"]
providers:
  - {name: open, type: openai, endpoint: "${url}", api_key: sk-x}
  - {name: own, type: openai, host: own.example, endpoint: "${url}", api_key: sk-x,
     allowed_origins: ["https://own.example.com"]}
  - {name: headed, type: openai, host: headed.example, endpoint: "${url}", api_key: sk-x,
     required_headers: [x-team, "x-mode: blue", "x-mode: red"]}
  - {name: limited, type: openai, host: limited.example, endpoint: "${url}", api_key: sk-x,
     param_whitelist: {model: [gpt-5.5, "gpt-5.5-*", "whisper-*"], stream: ["false"],
       purpose: [batch]}}
  - {name: google, type: gemini, host: google.example, endpoint: "${url}", api_key: k,
     param_whitelist: {model: [gemini-3-*], max_output_tokens: ["[1-9][0-9]"]}}
`;

nodeForFile(config, async (started) => {
  ({ provider: upstream, node } = started);
  token = await node.mint();
});

beforeEach(() => upstream.clear());

const BODY = { model: "gpt-5.5", input: "Go" };

interface Sent {
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: BodyInit;
  readonly method?: string;
  readonly host?: string;
}

function send({ path = "/v1/responses", headers = {}, body, method, host }: Sent = {}) {
  return fetch(`${node.url}${path}`, {
    method: method ?? "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      ...(host === undefined ? {} : { host }),
      ...headers,
    },
    ...(method === "OPTIONS" || method === "GET" ? {} : { body: body ?? JSON.stringify(BODY) }),
  });
}

/** The status, code and parameter of a refusal. */
async function told(answer: Promise<Response>) {
  const response = await answer;
  const { error } = await response.json();
  return [response.status, error?.code ?? null, error?.param ?? null];
}

function preflight(origin: string, host?: string) {
  return fetch(`${node.url}/v1/responses`, {
    method: "OPTIONS",
    headers: {
      origin,
      ...(host === undefined ? {} : { host }),
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    },
  });
}

const corsOf = ({ headers }: Response) =>
  Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control-")));

describe("a page of another origin", () => {
  test.each([APP, PREVIEW])("%s asks first, is allowed, and reads the answer", async (origin) => {
    const asked = await preflight(origin);
    expect([asked.status, await asked.text()]).toEqual([204, ""]);
    expect(asked.headers.get("vary")).toContain("Origin");
    expect(corsOf(asked)).toEqual({
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
      "access-control-allow-headers": "authorization, content-type, x-stainless-lang",
      "access-control-max-age": "86400",
    });
    const answer = await send({ headers: { origin } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("vary")).toContain("Origin");
    expect(corsOf(answer)).toEqual({
      "access-control-allow-origin": origin,
      "access-control-expose-headers": "*",
    });
  });

  test("may read why it was refused", async () => {
    const headers = { origin: APP, authorization: "Bearer sk-wrong" };
    for (const answer of [
      await send({ headers }),
      await send({ headers: { origin: APP }, path: "/nothing" }),
      await send({ headers: { origin: APP }, body: "{" }),
    ]) {
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.headers.get("access-control-allow-origin")).toBe(APP);
    }
  });

  test.each([EVIL, "null", "https://evil.example/.preview.example.com", `${APP}.evil.example`])(
    "%s is refused, and named nowhere",
    async (origin) => {
      const answers = [await preflight(origin), await send({ headers: { origin } })];
      for (const answer of answers) {
        expect(answer.status).toBe(403);
        expect(corsOf(answer)).toEqual({});
        expect(answer.headers.get("vary")).toBe("Origin");
        const text = await answer.text();
        expect(JSON.parse(text).error.code).toBe("origin_not_allowed");
        expect(text).not.toContain("evil");
      }
      expect(upstream.requests).toHaveLength(0);
    },
  );

  test("goes by the provider's own list where it has one", async () => {
    const host = "own.example";
    expect((await preflight(APP, host)).status).toBe(403);
    expect((await preflight("https://own.example.com", host)).status).toBe(204);
    expect((await told(send({ host, headers: { origin: APP } })))[0]).toBe(403);
    expect((await send({ host, headers: { origin: "https://own.example.com" } })).status).toBe(200);
  });

  test("a caller without an origin passes, and is told nothing of origins but Vary", async () => {
    const answer = await send();
    expect([answer.status, corsOf(answer)]).toEqual([200, {}]);
    expect(answer.headers.get("vary")).toContain("Origin");
  });

  test("opens a WebSocket only where it is allowed, before anything is dialled", async () => {
    const authorization = `Bearer ${token}`;
    for (const origin of [
      EVIL,
      "null",
      "https://APP.example.com",
      "https://app.example.com:8443",
    ]) {
      const { status, body } = await refusal(node.url, "/v1/responses", { authorization, origin });
      expect([status, JSON.parse(body).error.code]).toEqual([403, "origin_not_allowed"]);
    }
    expect(upstream.requests).toHaveLength(0);
    const headers: Record<string, string>[] = [{ origin: APP }, { origin: PREVIEW }, {}];
    for (const more of headers) {
      const client = await connect(node.url, "/v1/responses", { authorization, ...more });
      client.close();
      await client.closed;
    }
    expect(upstream.requests).toHaveLength(3);
  });
});

describe("required_headers", () => {
  const host = "headed.example";

  test("are asked for over HTTP, by name", async () => {
    const answer = await send({ host, headers: { "x-mode": "blue" } });
    expect(answer.status).toBe(400);
    const { error } = await answer.json();
    expect([error.code, error.message]).toEqual([
      "bad_request",
      "The header x-team is missing. Send it",
    ]);
    const green = { "x-team": "a", "x-mode": "green" };
    expect(await told(send({ host, headers: green }))).toEqual([400, "bad_request", null]);
    expect(upstream.requests).toHaveLength(0);
    expect((await send({ host, headers: { "x-team": "a", "x-mode": "red" } })).status).toBe(200);
  });

  test("are asked for over WebSocket before anything is dialled", async () => {
    const headers = { authorization: `Bearer ${token}`, host };
    const { status, body } = await refusal(node.url, "/v1/responses", headers);
    expect([status, JSON.parse(body).error.code]).toEqual([400, "bad_request"]);
    expect(upstream.requests).toHaveLength(0);
  });

  test("are told to nobody who has no token", async () => {
    const headers = { authorization: "Bearer sk-wrong" };
    expect((await told(send({ host, headers })))[0]).toBe(401);
  });
});

describe("param_whitelist", () => {
  const host = "limited.example";
  const refused = [400, "param_not_allowed", "model"];

  test.each([
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON;charset=UTF-8",
    "text/plain",
  ])("(trap 20) limits a body of %s", async (type) => {
    const headers = { "content-type": type };
    const body = JSON.stringify({ ...BODY, model: "gpt-5.5-pro/x" });
    expect(await told(send({ host, headers, body }))).toEqual(refused);
    expect(upstream.requests).toHaveLength(0);
    const good = JSON.stringify({ ...BODY, model: "gpt-5.5-mini" });
    expect((await send({ host, headers, body: good })).status).toBe(200);
  });

  test("limits what is no string, and what is named twice", async () => {
    const body = JSON.stringify({ ...BODY, stream: true });
    expect(await told(send({ host, body }))).toEqual([400, "param_not_allowed", "stream"]);
    const twice = '{"model":"gpt-5.5","stream":true,"stream":false,"input":"Go"}';
    expect(await told(send({ host, body: twice }))).toEqual([400, "ambiguous_json", "stream"]);
    expect(upstream.requests).toHaveLength(0);
  });

  test("limits JSON where nothing is billed, whatever it says it is", async () => {
    const path = "/v1/vector_stores";
    const unlimited = await fetch(`${node.url}/v1/batches`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, host, "content-type": "application/json" },
      body: '{"model":"o3"',
    });
    expect((await unlimited.json()).error.code).toBe("invalid_json");
    for (const type of ["application/json", "application/octet-stream"]) {
      const headers = { "content-type": type };
      const body = '{"model":"o3"}';
      expect(await told(send({ host, path, headers, body }))).toEqual(refused);
    }
    const session = '{"session":{"type":"realtime","model":"o3"}}';
    const asked = send({ host, path: "/v1/realtime/client_secrets", body: session });
    expect(await told(asked)).toEqual([400, "param_not_allowed", "session.model"]);
    expect(upstream.requests).toHaveLength(0);
  });

  test("limits the fields of a form, wherever they stand", async () => {
    const form = (model: string) => {
      const body = new FormData();
      body.append("file", new File([new Uint8Array(100_000)], "a.wav"));
      body.append("model", model);
      return fetch(`${node.url}/v1/audio/transcriptions`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, host },
        body,
      });
    };
    expect(await told(form("gpt-4o-transcribe"))).toEqual(refused);
    expect((await form("whisper-1")).status).toBe(200);
  });

  test("limits the fields of a form where nothing is billed", async () => {
    const body = new FormData();
    body.append("purpose", "user_data");
    body.append("file", new File(["{}"], "a.jsonl"));
    const answer = fetch(`${node.url}/v1/files`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, host },
      body,
    });
    expect(await told(answer)).toEqual([400, "param_not_allowed", "purpose"]);
  });

  test("limits every message of a WebSocket", async () => {
    const client = await connect(node.url, "/v1/responses", {
      authorization: `Bearer ${token}`,
      host,
    });
    const create = { type: "response.create", ...BODY };
    client.send(JSON.stringify(create));
    await client.until((text) => text.includes('"response.completed"'));
    client.send(JSON.stringify({ ...create, model: "o3" }));
    const event = JSON.parse(await client.until((text) => text.includes('"error"')));
    expect(event).toMatchObject({
      type: "error",
      status: 400,
      error: { code: "param_not_allowed", param: "model" },
    });
    // The session goes on.
    client.send(new TextEncoder().encode(JSON.stringify(create)));
    await client.until((text) => text.includes('"response.completed"'));
    client.close();
    await client.closed;
    expect(upstream.requests[0]?.frames).toHaveLength(2);
  });

  test("limits the model that a URL names", async () => {
    const headers = { authorization: `Bearer ${token}`, host };
    const { status, body } = await refusal(node.url, "/v1/realtime?model=gpt-realtime", headers);
    expect([status, JSON.parse(body).error.code]).toEqual([400, "param_not_allowed"]);
    const generate = (model: string, tokens: number) =>
      send({
        host: "google.example",
        path: `/v1beta/${model}:generateContent`,
        body: JSON.stringify({
          contents: [{ parts: [{ text: "Go" }] }],
          generationConfig: { maxOutputTokens: tokens },
        }),
      });
    expect((await generate("models/gemini-2.5-pro", 10)).status).toBe(400);
    expect((await generate("tunedModels/mine", 10)).status).toBe(400);
    expect((await generate("models/gemini-3-flash", 100)).status).toBe(400);
    expect(upstream.requests).toHaveLength(0);
    expect((await generate("models/gemini-3-flash", 10)).status).toBe(200);
  });
});
