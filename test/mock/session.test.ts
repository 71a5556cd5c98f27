import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { MockSession } from "../../src/mock/session.ts";
import { Recorder } from "../../src/mock/recorder.ts";
import { NO_SCRIPT } from "../../src/mock/script.ts";
import type { Message } from "../../src/exchange.ts";
import type { Socket } from "../../src/runtime/runtime.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { advanceUntil, type Stage, stage, until } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const CREATE = { type: "response.create", model: "gpt-5.5", input: "Hello" };

describe("MockSession.play()", () => {
  test("waits before the first event and before each delta", async () => {
    const client = await it.connect("/v1/responses", "tokens=3,delay=first:1s,each:10ms");
    client.send(CREATE);
    await until(() => it.clock.pendingTimers === 1);
    const startedMs = it.clock.monotonicMs();
    const events = await advanceUntil(it.clock, 1, client.until("response.completed"));
    expect(it.clock.monotonicMs() - startedMs).toBe(1_030);
    expect(events).toHaveLength(11);
    client.close();
  });

  test.each([
    ["close=1011", 1, 1011],
    ["close=4000,after=3", 3, 4000],
    ["close=1005,after=2", 2, 1005],
    ["close=1013,after=99", 13, 1013],
    ["drop,after=2", 2, 1006],
  ])("%s lets %d events pass and ends with %d", async (script, events, code) => {
    const client = await it.connect("/v1/responses", `tokens=5,${script}`);
    client.send(CREATE);
    expect((await client.closed).code).toBe(code);
    let seen = 0;
    while ((await client.nextRaw().catch(() => null)) !== null) seen += 1;
    expect(seen).toBe(events);
  });

  test("after=0 faults before the first event", async () => {
    const client = await it.connect("/v1/responses", "close=1012,after=0");
    client.send(CREATE);
    expect(client.next()).rejects.toThrow("closed");
    expect((await client.closed).code).toBe(1012);
  });

  test.each([
    ["garbage,after=1", "string"],
    ["garbage=binary,after=1", "object"],
  ] as const)("%s sends one message that is no JSON, and goes on", async (script, kind) => {
    const client = await it.connect("/v1/responses", script);
    client.send(CREATE);
    expect((await client.next()).type).toBe("response.created");
    const garbage = await client.nextRaw();
    expect(typeof garbage).toBe(kind);
    if (typeof garbage === "string") expect(() => JSON.parse(garbage)).toThrow();
    await client.until("response.completed");
    client.close();
  });

  test("hang answers no turn and keeps the session", async () => {
    const client = await it.connect("/v1/responses");
    client.send({ ...CREATE, metadata: { mock: "hang" } });
    client.send(CREATE);
    expect((await client.until("response.completed"))[0].type).toBe("response.created");
    client.close();
  });

  test("stops while what it sent is not taken, and loses nothing", async () => {
    const socket = new SlowSocket();
    const request = new Request("http://x/");
    const recording = new Recorder(true).begin(request, "/");
    const dialogue = { opened() {}, message() {}, closed() {} };
    const session = new MockSession(new FakeClock(), NO_SCRIPT, recording, dialogue);
    session.opened(socket);
    const text = "x".repeat(256 * 1024);
    const events = Array.from({ length: 20 }, () => ({ text, delta: true }));
    const played = session.play(events, NO_SCRIPT);
    expect(socket.bufferedBytes).toBeLessThan(2 * 1024 * 1024);
    while (socket.bufferedBytes > 0) {
      socket.bufferedBytes = 0;
      session.drained();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect(await played).toBe("played");
    expect(socket.sent).toHaveLength(20);
  });

  test("ends with the session, timers and all", async () => {
    const client = await it.connect("/v1/responses", "delay=each:1s");
    client.send(CREATE);
    await until(() => it.clock.pendingTimers === 1);
    client.close();
    await until(() => it.clock.pendingTimers === 0);
  });
});

test("MockSession takes and sends frames up to 64 MiB", async () => {
  const client = await it.connect("/v1/responses", `frames=1,size=${64 * 1024 * 1024}`);
  client.send({ ...CREATE, input: "x".repeat(63 * 1024 * 1024) });
  await client.until("response.content_part.added");
  expect(String(await client.nextRaw()).length).toBe(64 * 1024 * 1024);
  const done = (await client.until("response.completed")).at(-1);
  expect(done.response.usage.input_tokens).toBe((63 * 1024 * 1024) / 4);
  client.close();
});

test("MockSession takes JSON in binary frames", async () => {
  const client = await it.connect("/v1/responses");
  client.send(new TextEncoder().encode(JSON.stringify(CREATE)));
  await client.until("response.completed");
  expect(it.mock.requests.at(-1)?.frames[0]).toBeInstanceOf(Uint8Array);
  client.close();
});

test("MockSession.replay() paces a recorded session", async () => {
  const client = await it.connect(
    "/v1/realtime?model=gpt-realtime-2",
    "fixture=realtime_ga_text.jsonl,delay=each:5ms",
  );
  const startedMs = it.clock.monotonicMs();
  const first = await advanceUntil(it.clock, 1, client.next());
  expect(first.session.id).toBe("sess_a47ef55ae382c943a24a24");
  expect(it.clock.monotonicMs() - startedMs).toBe(5);
  client.close();
});

/** Takes everything and passes nothing on. */
class SlowSocket implements Socket {
  bufferedBytes = 0;
  readonly sent: Message[] = [];

  send(message: Message): "queued" {
    this.sent.push(message);
    this.bufferedBytes += message.length;
    return "queued";
  }

  cork(write: () => void): void {
    write();
  }

  ping(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {}
  handOver(): void {}
  terminate(): void {}
}
