/**
 * One suite for every Runtime: what the relay takes for granted of accepted WebSockets and of
 * connections. Real sockets on the loopback interface; a raw client for what no well-behaved one
 * would send. What a runtime cannot do is listed by its driver as a gap, with the reason, and its
 * tests are skipped.
 */

import { Buffer } from "node:buffer";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import type { Message } from "../../src/exchange.ts";
import type {
  ConnectOptions,
  Listener,
  Runtime,
  Socket,
  SocketHandler,
  Stream,
} from "../../src/runtime/runtime.ts";
import { RawClient, clientFrame } from "../support/raw_client.ts";
import { LOCALHOST_CERTIFICATE, OTHER_CERTIFICATE } from "../support/certificates.ts";

/** What a runtime does not do, and the titles of the tests that show it. */
export interface Gap {
  readonly reason: string;
  readonly tests: readonly string[];
}

const MESSAGE_BYTES_MAX = 1024 * 1024;

/** The listener's side of one session, as the tests look at it. */
class Accepted implements SocketHandler {
  socket: Socket | null = null;
  readonly messages: Message[] = [];
  readonly closes: [number, string, boolean][] = [];
  drains = 0;
  pongs = 0;
  onMessage: (message: Message, socket: Socket) => void = () => {};

  opened(socket: Socket): void {
    this.socket = socket;
  }

  message(message: Message): void {
    this.messages.push(typeof message === "string" ? message : new Uint8Array(message));
    if (this.socket !== null) this.onMessage(message, this.socket);
  }

  drained(): void {
    this.drains += 1;
  }

  ponged(): void {
    this.pongs += 1;
  }

  closed(code: number, reason: string, rejected: boolean): void {
    this.closes.push([code, reason, rejected]);
  }
}

export function socketSuite(name: string, runtime: Runtime, gaps: readonly Gap[]): void {
  const skipped = new Set(gaps.flatMap((gap) => gap.tests));
  const titles = new Set<string>();
  const check = (title: string, run: () => Promise<void>, withinMs = 5_000) => {
    titles.add(title);
    if (skipped.has(title)) test.skip(title, run);
    else test(title, run, withinMs);
  };

  let listener: Listener;
  const accepted: Accepted[] = [];
  const upgraded: boolean[] = [];
  let subprotocol: string | null = null;
  const clients: RawClient[] = [];

  async function connect(headers: Record<string, string> = {}): Promise<RawClient> {
    const client = await RawClient.open(listener.port, headers);
    clients.push(client);
    return client;
  }

  /** A client whose handshake was accepted, and the listener's side of it. */
  async function session(): Promise<{ client: RawClient; side: Accepted; socket: Socket }> {
    const client = await connect();
    const side = accepted.at(-1);
    if (side?.socket === null || side === undefined) throw new Error(`Refused: ${client.head}`);
    return { client, side, socket: side.socket };
  }

  beforeAll(() => {
    listener = runtime.listen({
      hostname: "127.0.0.1",
      port: 0,
      bodyBytesMax: 1024,
      messageBytesMax: MESSAGE_BYTES_MAX,
      handle(_request, connection) {
        const handler = new Accepted();
        accepted.push(handler);
        const ok = connection.upgrade(new Headers({ "x-extra": "1" }), subprotocol, handler);
        upgraded.push(ok);
        return ok ? undefined : new Response("no", { status: 400 });
      },
    });
  });

  afterAll(async () => {
    for (const client of clients) client.destroy();
    await listener.stop(true);
  });

  describe(`${name}: handshake`, () => {
    check("is answered with the accept value, the added headers and no subprotocol", async () => {
      subprotocol = null;
      const client = await connect({ "sec-websocket-protocol": "secret-token, other" });
      expect(client.status).toBe(101);
      expect(client.header("sec-websocket-accept")).toBe(client.expectedAccept);
      expect(client.header("x-extra")).toBe("1");
      expect(client.header("sec-websocket-protocol") ?? "").toBe("");
      expect(client.header("sec-websocket-extensions") ?? "").toBe("");
    });

    check("selects the subprotocol that it is told", async () => {
      subprotocol = "other";
      const client = await connect({ "sec-websocket-protocol": "one, other" });
      subprotocol = null;
      expect(client.header("sec-websocket-protocol")).toBe("other");
    });

    for (const [what, headers] of [
      ["an unsupported version", { "sec-websocket-version": "12" }],
      ["a key that is none", { "sec-websocket-key": "short" }],
      ["no key", { "sec-websocket-key": "" }],
      ["no upgrade", { upgrade: "h2c" }],
    ] as const) {
      check(`with ${what} is not upgraded`, async () => {
        const client = await connect(headers);
        expect(client.status).not.toBe(101);
        expect(upgraded.at(-1)).not.toBe(true);
      });
    }
  });

  describe(`${name}: messages`, () => {
    check("go to the handler that the socket was handed over to", async () => {
      const { client, side } = await session();
      const next = new Accepted();
      side.onMessage = (_, socket) => socket.handOver(next);
      client.write(clientFrame(1, "one"), clientFrame(1, "two"));
      await client.until(() => next.messages.length === 1);
      expect([side.messages, next.messages]).toEqual([["one"], ["two"]]);
      client.write(clientFrame(8, new Uint8Array([3, 232])));
      await client.until(() => next.closes.length === 1);
      expect([side.closes, next.closes]).toEqual([[], [[1000, "", false]]]);
    });

    check("arrive in order, with their type, from any fragmentation", async () => {
      const { client, side } = await session();
      client.write(
        clientFrame(1, "one"),
        clientFrame(2, new Uint8Array([0, 255])),
        clientFrame(1, "fr", { final: false }),
        clientFrame(9, "p"),
        clientFrame(0, "agment"),
        clientFrame(1, ""),
      );
      await client.until(() => side.messages.length === 4);
      expect(side.messages).toEqual(["one", new Uint8Array([0, 255]), "fragment", ""]);
    });

    check("are sent in order, with their type", async () => {
      const { client, socket } = await session();
      socket.send("żółw");
      socket.send(new Uint8Array([1, 2, 3]));
      socket.send("");
      await client.until(() => client.frames.length === 3);
      expect(client.frames.map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual([
        [1, "żółw"],
        [2, "\u0001\u0002\u0003"],
        [1, ""],
      ]);
    });

    check("sent corked arrive in one read", async () => {
      const { client, socket } = await session();
      const reads = client.reads;
      socket.cork(() => {
        for (let i = 0; i < 20; i++) socket.send("x".repeat(200));
      });
      await client.until(() => client.frames.length === 20);
      expect(client.reads - reads).toBe(1);
    });

    check("of one read come before what was scheduled for after it", async () => {
      const { client, side } = await session();
      const order: string[] = [];
      side.onMessage = (message) => {
        order.push(String(message));
        setImmediate(() => order.push("soon"));
      };
      client.write(clientFrame(1, "a"), clientFrame(1, "b"), clientFrame(1, "c"));
      await client.until(() => order.length === 6);
      expect(order).toEqual(["a", "b", "c", "soon", "soon", "soon"]);
    });

    check("pings are answered, ours are noticed", async () => {
      const { client, side, socket } = await session();
      client.write(clientFrame(9, "hello"));
      socket.ping();
      await client.until(() => client.frames.length === 2);
      expect(client.frames.map((frame) => frame.opcode).sort()).toEqual([10, 9].sort());
      client.write(clientFrame(10, ""));
      await client.until(() => side.pongs === 1);
      expect(side.messages).toEqual([]);
    });
  });

  describe(`${name}: back-pressure`, () => {
    check("pause() stops reading, and resume() brings everything", async () => {
      const { client, side, socket } = await session();
      socket.pause();
      const frame = clientFrame(2, new Uint8Array(60_000));
      const sent = 200;
      for (let i = 0; i < sent; i++) client.write(frame);
      await client.rest();
      expect(side.messages.length).toBeLessThan(20);
      socket.resume();
      await client.until(() => side.messages.length === sent);
      expect(side.messages.every((message) => message.length === 60_000)).toBe(true);
    });

    check("send() queues what the client does not read, and nothing is dropped", async () => {
      const { client, side, socket } = await session();
      client.pause();
      const statuses = new Set<string>();
      const payload = new Uint8Array(256 * 1024);
      for (let i = 0; i < 80; i++) statuses.add(socket.send(payload));
      expect([...statuses].sort()).toEqual(["queued", "sent"]);
      expect(socket.bufferedBytes).toBeGreaterThan(1024 * 1024);
      client.resume();
      await client.until(() => client.frames.length === 80);
      expect(socket.bufferedBytes).toBe(0);
      expect(side.drains).toBeGreaterThan(0);
    });

    check("terminate() drops a full buffer, and closed is called once", async () => {
      const { client, side, socket } = await session();
      client.pause();
      for (let i = 0; i < 40; i++) socket.send(new Uint8Array(256 * 1024));
      socket.terminate();
      await client.until(() => side.closes.length === 1);
      expect(side.closes).toEqual([[1006, "", false]]);
      expect(socket.send("x")).toBe("dropped");
      expect(socket.bufferedBytes).toBe(0);
    });
  });

  describe(`${name}: closing`, () => {
    for (const code of [1000, 1001, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4999]) {
      check(`close(${code}) sends code and reason`, async () => {
        const { client, side, socket } = await session();
        socket.send("before");
        socket.close(code, "why €");
        await client.until(() => client.frames.length === 2);
        expect(client.closeFrame()).toEqual({ code, reason: "why €" });
        expect(side.closes).toHaveLength(1);
      });
    }

    check("close(null) sends a close frame without a code", async () => {
      const { client, socket } = await session();
      socket.close(null, "");
      await client.until(() => client.frames.length === 1);
      expect(client.closeFrame()).toEqual({ code: null, reason: "" });
    });

    for (const [what, payload, expected] of [
      ["no code", "", [1005, "", false]],
      ["a code and a reason", "\u000f\u00a0own", [4000, "own", false]],
    ] as const) {
      check(`a client's close with ${what} is reported`, async () => {
        const { client, side } = await session();
        client.write(clientFrame(8, Buffer.from(payload, "latin1")));
        await client.until(() => side.closes.length === 1);
        expect(side.closes[0]).toEqual([...expected]);
      });
    }

    for (const how of ["end", "reset"] as const) {
      check(`a client that vanishes (${how}) is 1006`, async () => {
        const { client, side } = await session();
        if (how === "end") client.end();
        else client.destroy();
        await client.until(() => side.closes.length === 1);
        expect(side.closes).toEqual([[1006, "", false]]);
      });
    }
  });

  describe(`${name}: broken frames`, () => {
    for (const [what, bytes, code] of [
      ["unmasked", Buffer.from([0x81, 2, 0x68, 0x69]), 1002],
      ["compressed", Buffer.from([0xc1, 0x80, 0, 0, 0, 0]), 1002],
      ["of a reserved opcode", Buffer.from([0x83, 0x80, 0, 0, 0, 0]), 1002],
      ["a continuation of nothing", clientFrame(0, "x"), 1002],
      ["a fragmented ping", clientFrame(9, "", { final: false }), 1002],
      ["a close with half a code", clientFrame(8, "x"), 1002],
      ["a close with a reserved code", clientFrame(8, new Uint8Array([3, 237])), 1002],
      ["text that is not UTF-8", clientFrame(1, new Uint8Array([0xff, 0xfe])), 1007],
      [
        "over the limit",
        Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x10]), Buffer.alloc(7)]),
        1009,
      ],
      [
        "a length that is not minimal",
        Buffer.from([0x82, 0xfe, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5]),
        1002,
      ],
    ] as const) {
      check(`a frame that is ${what} ends the session, and is not delivered`, async () => {
        const { client, side } = await session();
        client.write(clientFrame(1, "good"), bytes);
        await client.until(() => side.closes.length === 1 && client.closeFrame() !== null);
        expect(side.messages).toEqual(["good"]);
        expect(side.closes[0]?.[0]).toBe(code);
        expect(side.closes[0]?.[2]).toBe(true);
        expect(client.closeFrame()?.code).toBe(code);
      });
    }
  });

  describe(`${name}: connections`, () => {
    /** Starts a connection and resolves with what came of it. */
    function outgoing(port: number, tls: ConnectOptions["tls"] = null) {
      const events: string[] = [];
      const received: Buffer[] = [];
      const { promise: settled, resolve } = Promise.withResolvers<void>();
      let stream: Stream | null = null;
      const options = { hostname: "localhost", port, tls, proxy: null };
      const giveUp = runtime.connect(options, {
        opened(opened) {
          stream = opened;
          events.push("opened");
          resolve();
        },
        data: (bytes) => received.push(Buffer.from(bytes)),
        drained: () => events.push("drained"),
        closed(error) {
          events.push(
            error === null ? "closed" : error.name === "TlsError" ? "untrusted" : "failed",
          );
          resolve();
        },
      });
      return { events, received, settled, giveUp, stream: () => stream };
    }

    const untilTrue = async (condition: () => boolean) => {
      const client = clients[0];
      if (client !== undefined) await client.until(condition);
    };

    check("a refused connection is closed once, with an error", async () => {
      const { events, settled } = outgoing(1);
      await settled;
      await untilTrue(() => events.length > 0);
      expect(events).toEqual(["failed"]);
    });

    check("one that is given up is closed once", async () => {
      const { events, giveUp, settled } = outgoing(listener.port);
      giveUp();
      await settled;
      expect(events).toEqual(["failed"]);
    });

    check("write() takes what the peer reads, and says when it takes no more", async () => {
      const server = await RawClient.server();
      const { events, settled, stream } = outgoing(server.port);
      await settled;
      const open = stream();
      if (open === null) throw new Error("Not opened");
      server.pause();
      const piece = new Uint8Array(1024 * 1024);
      let taken = 0;
      for (let i = 0; i < 64; i++) {
        const count = open.write(piece);
        taken += count;
        if (count < piece.length) break;
      }
      expect(taken).toBeLessThan(64 * piece.length);
      server.resume();
      await untilTrue(() => server.receivedBytes() === taken && events.includes("drained"));
      open.terminate();
      await untilTrue(() => events.at(-1) === "closed");
      expect(open.write(piece)).toBe(-1);
      server.stop();
    });

    check("pause() stops reading; what came, and the end, follow resume()", async () => {
      const server = await RawClient.server("x".repeat(300_000), true);
      const { events, received, settled, stream } = outgoing(server.port);
      await settled;
      stream()?.pause();
      await clients[0]?.rest();
      const size = () => Buffer.concat(received).length;
      expect(size()).toBeLessThan(300_000);
      expect(events).not.toContain("closed");
      stream()?.resume();
      await untilTrue(() => events.includes("closed"));
      expect(size()).toBe(300_000);
      server.stop();
    });

    for (const [what, ca, serverName, expected] of [
      ["a trusted certificate opens", LOCALHOST_CERTIFICATE.cert, "localhost", "opened"],
      ["an unknown authority does not open", null, "localhost", "untrusted"],
      ["another authority does not open", OTHER_CERTIFICATE.cert, "localhost", "untrusted"],
      ["another name does not open", LOCALHOST_CERTIFICATE.cert, "other.example", "untrusted"],
    ] as const) {
      check(`TLS with ${what}`, async () => {
        const secure = runtime.listen({
          hostname: "127.0.0.1",
          port: 0,
          tls: LOCALHOST_CERTIFICATE,
          bodyBytesMax: 1024,
          messageBytesMax: 1024,
          handle: () => new Response("ok"),
        });
        const tls = { serverName, ca, cert: null, key: null };
        const { events, settled, giveUp } = outgoing(secure.port, tls);
        await settled;
        expect(events).toEqual([expected]);
        giveUp();
        await secure.stop(true);
      });
    }
  });

  describe(`${name}: an answer that is silent for a while`, () => {
    check(
      "(trap 17) goes on where the idle time was lifted, and is cut where it was not",
      async () => {
        const goOn = Promise.withResolvers<void>();
        const server = runtime.listen({
          hostname: "127.0.0.1",
          port: 0,
          bodyBytesMax: 1024,
          messageBytesMax: 1024,
          handle(request, connection) {
            connection.setIdleTimeout(Number(new URL(request.url).searchParams.get("idle")));
            const body = new ReadableStream<Uint8Array>({
              async start(controller) {
                controller.enqueue(Buffer.from("data: first\n\n"));
                await goOn.promise;
                controller.enqueue(Buffer.from("data: last\n\n"));
                controller.close();
              },
            });
            return new Response(body, { headers: { "content-type": "text/event-stream" } });
          },
        });
        const read = async (idleS: number): Promise<string> => {
          const { body } = await fetch(`http://127.0.0.1:${server.port}/?idle=${idleS}`);
          let text = "";
          for await (const chunk of body ?? []) text += new TextDecoder().decode(chunk);
          return text;
        };
        const lifted = read(0);
        await expect(read(1)).rejects.toThrow();
        goOn.resolve();
        expect(await lifted).toBe("data: first\n\ndata: last\n\n");
        await server.stop(true);
      },
      30_000,
    );
  });

  test(`${name}: every gap names a test of this suite, and why`, () => {
    expect([...skipped].filter((title) => !titles.has(title))).toEqual([]);
    expect(gaps.every((gap) => gap.reason !== "")).toBe(true);
  });
}
