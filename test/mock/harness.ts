/** A simulated provider on loopback, with a clock that tests advance, and clients for it. */

import { type Mock, type MockOptions, startMock } from "../../src/mock/mock.ts";
import { bunRuntime } from "../../src/runtime/bun.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** Stands still, but lets the real event loop turn. */
class LoopClock extends FakeClock {
  override soon(run: () => void): void {
    setImmediate(run);
  }
}

export interface Stage {
  readonly mock: Mock;
  readonly clock: FakeClock;
  post(path: string, body: unknown, script?: string): Promise<Response>;
  get(path: string, script?: string): Promise<Response>;
  connect(path: string, script?: string, more?: Record<string, string>): Promise<Client>;
}

/** What JSON.parse gives: tests say what they expect of it. */
export type Json = ReturnType<typeof JSON.parse>;

export async function stage(options: Partial<MockOptions> = {}): Promise<Stage> {
  const clock = new LoopClock();
  const mock = await startMock({
    runtime: bunRuntime,
    clock,
    hostname: "127.0.0.1",
    port: 0,
    ...options,
  });
  const headers = (script: string) => ({
    authorization: "Bearer sk-test",
    ...(script === "" ? {} : { "x-mock": script }),
  });
  return {
    mock,
    clock,
    post: (path, body, script = "") =>
      fetch(`${mock.url}${path}`, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
        headers: { ...headers(script), "content-type": "application/json" },
      }),
    get: (path, script = "") => fetch(`${mock.url}${path}`, { headers: headers(script) }),
    connect: (path, script = "", more = {}) =>
      connect(`${mock.url}${path}`, { ...headers(script), ...more }),
  };
}

/** The next turn of the event loop, again and again, until something holds. */
export async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 100_000 && !holds(); turn += 1) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  if (!holds()) throw new Error("It never came about");
}

/** Advances the clock for as long as timers are started, until a promise settles. */
export async function advanceUntil<T>(clock: FakeClock, stepMs: number, done: Promise<T>) {
  let settled = false;
  const end = () => {
    settled = true;
  };
  done.then(end, end);
  while (!settled) {
    if (clock.pendingTimers > 0) clock.advance(stepMs);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return await done;
}

export interface Client {
  readonly subprotocol: string;
  send(event: string | object): void;
  /** The next message as JSON. */
  next(): Promise<Json>;
  nextRaw(): Promise<string | ArrayBuffer>;
  /** Messages up to and with the first of that type. */
  until(type: string): Promise<Json[]>;
  close(): void;
  readonly closed: Promise<{ code: number; reason: string }>;
}

/** Opens a session. Rejects where the handshake is refused. */
export async function connect(
  url: string,
  headers: Record<string, string>,
  protocols: string[] = [],
): Promise<Client> {
  // The types are a browser's, which cannot send headers; the runtime's socket can.
  const options = { headers, protocols } as unknown as string[];
  const socket = new WebSocket(url.replace("http", "ws"), options);
  socket.binaryType = "arraybuffer";
  const messages: (string | ArrayBuffer)[] = [];
  let wake = () => {};
  let over = false;
  socket.onmessage = ({ data }) => {
    messages.push(data);
    wake();
  };
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.onclose = ({ code, reason }) => {
      over = true;
      resolve({ code, reason });
      wake();
    };
  });
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = (event) => reject(new Error(`Refused: ${(event as ErrorEvent).message}`));
  });
  const nextRaw = async () => {
    while (messages.length === 0) {
      if (over) throw new Error("The session has closed");
      await new Promise<void>((resolve) => (wake = resolve));
    }
    return messages.shift() ?? "";
  };
  const next = async (): Promise<Json> => JSON.parse(String(await nextRaw()));
  return {
    subprotocol: socket.protocol,
    send(event) {
      if (typeof event === "string") socket.send(event);
      else if (event instanceof Uint8Array) socket.send(new Uint8Array(event));
      else socket.send(JSON.stringify(event));
    },
    next,
    nextRaw,
    async until(type) {
      const seen: Json[] = [];
      for (;;) {
        const event = await next();
        seen.push(event);
        if (event["type"] === type) return seen;
      }
    },
    close: () => socket.close(1000, "done"),
    closed,
  };
}

/** The events of an SSE body: name and data. */
export function sseEvents(text: string): { event: string | null; data: string }[] {
  const blocks = text.split("\n\n").filter((block) => block !== "");
  return blocks.map((block) => ({
    event: /^event: (.*)$/m.exec(block)?.[1] ?? null,
    data: /^data: (.*)$/m.exec(block)?.[1] ?? "",
  }));
}

/** The data of an SSE body as JSON, without `[DONE]`. */
export function sseData(text: string): Json[] {
  const data = sseEvents(text).map((one) => one.data);
  return data.filter((one) => one !== "[DONE]").map((one) => JSON.parse(one));
}
