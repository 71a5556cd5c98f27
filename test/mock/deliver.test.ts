import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as tcpConnect } from "node:net";

import { advanceUntil, sseEvents, type Stage, stage, until } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const CHAT = { model: "gpt-4o", messages: [{ role: "user", content: "Say hi." }] };
const STREAM = { ...CHAT, stream: true };

/** The bytes of an answer, write by write, until the other side closes or all of it came. */
function rawAnswer(body: object, script: string): Promise<{ reads: string[]; cut: boolean }> {
  const text = JSON.stringify(body);
  const reads: string[] = [];
  return new Promise((resolve) => {
    const socket = tcpConnect(it.mock.port, "127.0.0.1");
    socket.on("data", (bytes: Uint8Array) => {
      reads.push(new TextDecoder("latin1").decode(bytes));
      if (!reads.join("").endsWith("\r\n0\r\n\r\n")) return;
      socket.destroy();
      resolve({ reads, cut: false });
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve({ reads, cut: true }));
    socket.write(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n" +
        `x-mock: ${script}\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
    );
  });
}

describe("deliver()", () => {
  test("waits before the first byte, and before each delta", async () => {
    const response = it.post("/v1/chat/completions", STREAM, "tokens=3,delay=first:1s,each:10ms");
    await until(() => it.clock.pendingTimers === 1);
    it.clock.advance(999);
    expect(it.clock.pendingTimers).toBe(1);
    it.clock.advance(1);
    const startedMs = it.clock.monotonicMs();
    const text = await advanceUntil(
      it.clock,
      1,
      response.then((one) => one.text()),
    );
    expect(it.clock.monotonicMs() - startedMs).toBe(30);
    expect(text).toEndWith("data: [DONE]\n\n");
  });

  test("delays a whole answer once", async () => {
    const response = it.post("/v1/chat/completions", CHAT, "delay=250ms");
    await until(() => it.clock.pendingTimers === 1);
    it.clock.advance(250);
    expect((await response).status).toBe(200);
  });

  test("never answers where the script hangs, and sees the client leave", async () => {
    const leave = new AbortController();
    const hanging = fetch(`${it.mock.url}/v1/models`, {
      headers: { authorization: "Bearer k", "x-mock": "hang" },
      signal: leave.signal,
    });
    const seen = () => it.mock.requests.at(-1);
    await until(() => seen()?.headers["x-mock"] === "hang");
    leave.abort();
    expect(hanging).rejects.toThrow();
    await until(() => seen()?.outcome === "aborted");
  });

  test("records that a client left in the middle of a stream", async () => {
    const leave = new AbortController();
    const response = await fetch(`${it.mock.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify(STREAM),
      headers: { authorization: "Bearer k", "x-mock": "tokens=9,delay=each:1s" },
      signal: leave.signal,
    });
    await response.body?.getReader().read();
    leave.abort();
    await until(() => it.mock.requests.at(-1)?.outcome === "aborted");
    await until(() => it.clock.pendingTimers === 0);
  });

  test("writes a body in pieces of chunk bytes", async () => {
    const { reads } = await rawAnswer(CHAT, "chunk=40");
    // One read may carry several chunks of the transfer coding, but none is longer than asked for.
    const sizes = [...reads.join("").matchAll(/\r\n([0-9a-f]+)\r\n/g)].map((match) => match[1]);
    expect(sizes.length).toBeGreaterThan(10);
    expect(new Set(sizes.slice(0, -2))).toEqual(new Set(["28"]));
  });

  test.each([
    ["a whole body", CHAT, "drop", '{"id":"chatcmpl-'],
    ["a stream", STREAM, "drop", "data: "],
    ["a stream after three events", STREAM, "drop,after=3", "data: "],
  ])("drop cuts %s in the middle", async (_title, body, script, begins) => {
    const { reads, cut } = await rawAnswer(body, script);
    expect(cut).toBe(true);
    const text = reads.join("");
    expect(text).toStartWith("HTTP/1.1 200");
    expect(text).toContain(begins);
    expect(text).not.toContain("\r\n0\r\n\r\n");
    const events = text.match(/^data: /gm)?.length ?? 0;
    expect(events).toBe(body === CHAT ? 0 : script === "drop" ? 1 : 3);
  });

  test("drop,after=0 cuts a stream before its first event", async () => {
    const { reads, cut } = await rawAnswer(STREAM, "drop,after=0");
    expect(cut).toBe(true);
    expect(reads.join("")).not.toContain("data:");
  });

  test("garbage replaces a whole body, and stands between the events of a stream", async () => {
    const whole = await it.post("/v1/chat/completions", CHAT, "garbage");
    expect(whole.headers.get("content-type")).toBe("application/json");
    expect(await whole.text()).toStartWith("}{");
    const stream = await it.post("/v1/chat/completions", STREAM, "garbage,after=2");
    const events = sseEvents(await stream.text());
    expect(events[2]?.data).toStartWith("}{");
    expect(events.at(-1)?.data).toBe("[DONE]");
  });

  test.each([1_000, 65_536, 3_000_001])("bytes pads a JSON body to %d bytes", async (size) => {
    const response = await it.post("/v1/chat/completions", CHAT, `bytes=${size}`);
    const text = await response.text();
    expect(text.length).toBe(size);
    const body = JSON.parse(text);
    expect(Object.keys(body)[0]).toBe("padding");
    expect(body.usage.completion_tokens).toBe(8);
  });

  test("bytes leaves a body alone that is bigger already", async () => {
    const response = await it.post("/v1/chat/completions", CHAT, "bytes=10");
    expect((await response.json()).padding).toBeUndefined();
  });

  test("paces the events of a recorded stream", async () => {
    const startedMs = it.clock.monotonicMs();
    const response = it.post(
      "/v1/chat/completions",
      STREAM,
      "fixture=chat_completions_stream_usage.sse,delay=each:5ms",
    );
    const text = await advanceUntil(
      it.clock,
      1,
      response.then((one) => one.text()),
    );
    const golden = Bun.file(
      `${import.meta.dir}/../golden/provider/chat_completions_stream_usage.sse`,
    );
    expect(text).toBe(await golden.text());
    expect(it.clock.monotonicMs() - startedMs).toBe(5 * sseEvents(text).length);
  });

  test("floods with events of the size asked for", async () => {
    const script = "frames=50,size=4KiB";
    const text = await (await it.post("/v1/chat/completions", STREAM, script)).text();
    const sizes = text.split("\n\n").map((event) => event.length + 2);
    expect(sizes.filter((size) => size === 4_096)).toHaveLength(50);
  });
});
