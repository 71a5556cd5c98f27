import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { startMock } from "../../src/mock/mock.ts";
import { bunRuntime } from "../../src/runtime/bun.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { LOCALHOST_CERTIFICATE } from "../support/certificates.ts";
import { connect, type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const CHAT = { model: "gpt-4o", messages: [{ role: "user", content: "Say hi." }] };

describe("startMock()", () => {
  test("records requests as they came, in memory and at /__mock/requests", async () => {
    it.mock.clear();
    await (await it.post("/v1/chat/completions?a=b%20c", CHAT)).text();
    const client = await it.connect("/v1/responses?x=1");
    client.send("no JSON");
    await client.next();
    client.close();
    await client.closed;
    expect(it.mock.requests.map((one) => [one.method, one.path, one.outcome])).toEqual([
      ["POST", "/v1/chat/completions?a=b%20c", "answered"],
      ["GET", "/v1/responses?x=1", "answered"],
    ]);
    expect(new TextDecoder().decode(it.mock.requests[0]?.body)).toBe(JSON.stringify(CHAT));
    expect(it.mock.requests[1]?.frames).toEqual(["no JSON"]);
    expect(it.mock.requests[1]?.closed).toEqual({ code: 1000, reason: "done" });
    const { requests } = await (await it.get("/__mock/requests")).json();
    expect(requests).toHaveLength(2);
    expect(requests[0].headers.authorization).toBe("Bearer sk-test");
    const cleared = await fetch(`${it.mock.url}/__mock/requests`, { method: "DELETE" });
    expect([cleared.status, it.mock.requests.length]).toEqual([204, 0]);
    expect((await it.post("/__mock/requests", {})).status).toBe(405);
  });

  test("with keys accepts only those", async () => {
    const strict = await stage({ keys: ["sk-good"] });
    const call = (key: string) =>
      fetch(`${strict.mock.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
    expect((await call("sk-good")).status).toBe(200);
    expect((await call("sk-other")).status).toBe(401);
    await strict.mock.stop();
  });

  test("with record: false keeps nothing", async () => {
    const quiet = await stage({ record: false });
    await (await quiet.post("/v1/chat/completions", CHAT)).text();
    expect(quiet.mock.requests).toHaveLength(0);
    await quiet.mock.stop();
  });

  test("with the same seed says the same", async () => {
    const text = async (seed: number) => {
      const other = await stage({ seed });
      const body = await (await other.post("/v1/chat/completions", CHAT)).json();
      await other.mock.stop();
      return body.choices[0].message.content;
    };
    expect(await text(5)).toBe(await text(5));
    expect(await text(5)).not.toBe(await text(6));
  });

  test("with tls serves https", async () => {
    const secure = await startMock({
      runtime: bunRuntime,
      clock: systemClock,
      hostname: "127.0.0.1",
      port: 0,
      tls: LOCALHOST_CERTIFICATE,
    });
    expect(secure.url).toStartWith("https://127.0.0.1:");
    const response = await fetch(`${secure.url}/v1/models`, {
      headers: { authorization: "Bearer x" },
      tls: { ca: LOCALHOST_CERTIFICATE.cert },
    });
    expect(response.status).toBe(200);
    await secure.stop();
  });
});

describe("a script", () => {
  test("that is wrong is a 400 that names the key, on HTTP and on the handshake", async () => {
    const response = await it.post("/v1/chat/completions", CHAT, "speed=9");
    const { error } = await response.json();
    expect([response.status, error.code]).toEqual([400, "invalid_mock_script"]);
    expect(error.message).toContain('"speed"');
    expect(it.connect("/v1/responses", "chunk=3")).rejects.toThrow("Refused");
  });

  test("in the query obeys too, and the header wins", async () => {
    const response = await it.get("/v1/models?mock=status%3D500", "status=503");
    expect(response.status).toBe(503);
    const client = await it.connect("/v1/responses?mock=tokens%3D2");
    client.send({ type: "response.create", model: "m", input: "x" });
    expect((await client.until("response.completed")).at(-1).response.usage.output_tokens).toBe(2);
    client.close();
  });

  test("with status refuses the handshake with it, once the credential was looked at", async () => {
    expect(it.connect("/v1/responses", "status=429")).rejects.toThrow("429");
    expect(connect(`${it.mock.url}/v1/responses`, {})).rejects.toThrow("401");
  });

  test("with a fixture replays a recorded answer, byte by byte and with its headers", async () => {
    const response = await it.post(
      "/v1/responses",
      { any: "body" },
      "fixture=responses_stream.sse",
    );
    expect(response.headers.get("x-request-id")).toBe("req_5f0f3c1b7d0e4f0f9a1c2b3d4e5f6a7b");
    const golden = Bun.file(`${import.meta.dir}/../golden/provider/responses_stream.sse`);
    expect(await response.text()).toBe(await golden.text());
    expect(new TextDecoder().decode(it.mock.requests.at(-1)?.body)).toBe('{"any":"body"}');
  });

  test("with a fixture that is not there is a 400 that lists those that are", async () => {
    const response = await it.post("/v1/responses", {}, "fixture=nothing.json");
    expect(response.status).toBe(400);
    expect((await response.json()).error.message).toContain("chat_completions.json");
    const wrongKind = await it.post("/v1/responses", {}, "fixture=responses_ws_failed.jsonl");
    expect((await wrongKind.json()).error.message).toContain("WebSocket session");
    expect(it.connect("/v1/responses", "fixture=responses.json")).rejects.toThrow("400");
  });

  test("with a transcript waits for the client's frames and closes as recorded", async () => {
    const client = await it.connect("/v1/responses", "fixture=responses_ws_error_event.jsonl");
    client.send({ any: "frame" });
    expect((await client.next()).error.code).toBe("previous_response_not_found");
    client.send({});
    await client.until("response.completed");
    client.send({});
    expect((await client.next()).status).toBe(429);
    client.send({});
    expect((await client.next()).error.code).toBe("websocket_connection_limit_reached");
    expect(await client.closed).toEqual({ code: 1000, reason: "" });
  });
});
