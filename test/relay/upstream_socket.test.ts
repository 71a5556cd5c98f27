import { describe, expect, test } from "bun:test";

import { Outbox } from "../../src/relay/outbox.ts";
import { UpstreamSocket } from "../../src/relay/upstream_socket.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { serverClose, serverFrame, serverMessage } from "../support/reference_codec.ts";
import { MemoryStream } from "../support/socket_pair.ts";

function world(kernelBytes = 1024) {
  const clock = new FakeClock();
  const stream = new MemoryStream((run) => clock.soon(run), kernelBytes);
  const socket = new UpstreamSocket(stream, new Outbox(clock), 0);
  stream.handOver(socket);
  return { clock, stream, socket };
}

describe("UpstreamSocket", () => {
  test("keeps what the kernel does not take, and writes it when it does", () => {
    const { clock, stream, socket } = world();
    stream.freeze();
    for (let i = 0; i < 5; i++) socket.send(`${i}`.repeat(500));
    clock.flushSoon();
    expect(socket.queuedBytes).toBe(5 * 508 - 1024);
    stream.thaw();
    expect(socket.queuedBytes).toBe(0);
    expect(stream.received).toEqual([0, 1, 2, 3, 4].map((i) => `${i}`.repeat(500)));
  });

  test("loseQueue() says how many messages did not reach the kernel", () => {
    const { clock, stream, socket } = world();
    stream.freeze();
    for (let i = 0; i < 5; i++) socket.send("x".repeat(500));
    clock.flushSoon();
    socket.send("not even collected");
    expect([socket.loseQueue(), socket.loseQueue(), socket.queuedBytes]).toEqual([6, 0, 0]);
  });

  test("sends nothing after its close frame", () => {
    const { clock, stream, socket } = world();
    stream.answersClose = false;
    socket.send("before");
    socket.close(4000, "bye");
    socket.send("after");
    socket.ping();
    socket.close(1000, "");
    clock.flushSoon();
    expect(stream.received).toEqual(["before"]);
    expect(stream.closeFrame).toEqual({ code: 4000, reason: "bye" });
  });

  test("stops queueing pongs for a peer that pings and does not read", () => {
    const { clock, stream, socket } = world();
    socket.attach({
      upstreamReadable: () => void socket.next(),
      upstreamDrained() {},
      upstreamEnded() {},
    });
    stream.freeze();
    const ping = serverFrame(9, new Uint8Array(125));
    for (let i = 0; i < 2000; i++) {
      stream.upstreamWrites(ping);
      clock.flushSoon();
    }
    expect(socket.queuedBytes).toBeLessThan(70_000);
  });

  test("takePings() answers pings, whole or in pieces, and leaves what is none", () => {
    const { clock, stream, socket } = world();
    const found: boolean[] = [];
    socket.attach({
      upstreamReadable: () => void found.push(socket.takePings()),
      upstreamDrained() {},
      upstreamEnded() {},
    });
    const [ping, pong] = [serverFrame(9, Buffer.from("p")), serverFrame(10, new Uint8Array(0))];
    for (const bytes of [ping, ping.subarray(0, 1), ping.subarray(1, 2), ping.subarray(2), pong]) {
      stream.upstreamWrites(bytes);
      clock.flushSoon();
    }
    expect(found).toEqual([false, false, false, false, false, false]);
    expect(stream.received).toEqual(["pong p", "pong p"]);
    stream.upstreamWrites(serverMessage("first"));
    clock.flushSoon();
    expect(found.at(-1)).toBe(true);
    expect(socket.next()).toBe("first");
  });

  test("attach() reports an end once where reading what waits ends the connection", () => {
    const { stream, socket } = world();
    stream.upstreamCloses(1000);
    let ends = 0;
    socket.attach({
      upstreamReadable: () => socket.finish(),
      upstreamDrained() {},
      upstreamEnded: () => (ends += 1),
    });
    expect(ends).toBe(1);
  });

  test("finish() with a full queue: nothing is reported after the end", () => {
    const { clock, stream, socket } = world();
    const events: string[] = [];
    socket.attach({
      upstreamReadable() {},
      upstreamDrained: () => events.push("drained"),
      upstreamEnded: () => events.push("ended"),
    });
    stream.freeze();
    socket.send("x".repeat(2000));
    clock.flushSoon();
    socket.finish();
    expect(events).toEqual([]);
    stream.thaw();
    expect(events).toEqual(["drained", "ended"]);
  });

  test.each([
    ["messages", [serverMessage("a"), serverMessage("b")], 2, null, false],
    ["messages and a close frame", [serverMessage("a"), serverClose(4000)], 1, 4000, true],
    ["a breach of the protocol", [serverMessage("a"), Buffer.from([0xc1, 0])], 1, null, true],
  ])("discard() gives up %s", (_title, sent, messages, code, over) => {
    const { stream, socket } = world();
    stream.upstreamWrites(Buffer.concat(sent));
    const discarded = socket.discard();
    expect([discarded.messages, discarded.close?.code ?? null, discarded.over]).toEqual([
      messages,
      code,
      over,
    ]);
  });

  test("reports an end that came before anyone attached", () => {
    const { stream, socket } = world();
    stream.upstreamVanishes();
    const events: string[] = [];
    socket.attach({
      upstreamReadable: () => events.push("readable"),
      upstreamDrained() {},
      upstreamEnded: () => events.push("ended"),
    });
    expect(events).toEqual(["readable", "ended"]);
  });
});
