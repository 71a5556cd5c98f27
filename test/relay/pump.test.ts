/**
 * Freeze tests. A client and an upstream talk through a session; one of them stops reading. What
 * waits must stay within the bound, the other direction and other sessions must go on, and when
 * reading goes on everything must arrive, once and in order.
 */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { Message } from "../../src/exchange.ts";
import { errorEvents, newNode, openSession } from "../support/session_world.ts";

const KIB = 1024;
const kernelBytes = 16 * KIB;
const queueBytesMax = 64 * KIB;
const frames = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => `${from + i} `.padEnd(4 * KIB, "x"));

/** Promises that are resolved have had their say. */
async function settled(): Promise<void> {
  for (let turns = 0; turns < 5; turns += 1) await Promise.resolve();
}

describe("DownPump", () => {
  test("stops reading upstream while the client reads nothing, and loses nothing", () => {
    const { client, upstream } = openSession({ kernelBytes, queueBytesMax });
    const sent = frames(200);
    client.freeze();
    for (const frame of sent) upstream.upstreamSends(frame);
    expect(upstream.paused).toBe(true);
    // The bound, and the message that passed it.
    expect(client.bufferedBytes).toBeLessThanOrEqual(queueBytesMax + 5 * KIB);
    expect(upstream.unread.length).toBeGreaterThan(100);
    client.thaw();
    expect(client.received).toEqual(sent);
    expect(upstream.paused).toBe(false);
  });

  test("reads on once half of the bound is free, and stops again at the bound", () => {
    const { client, upstream } = openSession({ kernelBytes, queueBytesMax });
    client.freeze();
    for (const frame of frames(200)) upstream.upstreamSends(frame);
    const waiting = upstream.unread.length;
    client.clientReads(1);
    expect([upstream.paused, upstream.unread.length]).toEqual([true, waiting]);
    for (let reads = 0; reads < 12; reads++) client.clientReads(1);
    expect(upstream.unread.length).toBeLessThan(waiting);
    expect(upstream.paused).toBe(true);
    expect(client.bufferedBytes).toBeLessThanOrEqual(queueBytesMax + 5 * KIB);
  });

  test("leaves the other direction and other sessions alone while the client reads nothing", () => {
    const node = newNode();
    const frozen = openSession({ node, kernelBytes, queueBytesMax });
    const other = openSession({ node, kernelBytes, queueBytesMax });
    frozen.client.freeze();
    for (const frame of frames(200)) frozen.upstream.upstreamSends(frame);
    frozen.client.clientSends("still here");
    other.client.clientSends("and I");
    other.upstream.upstreamSends("and you");
    node.clock.flushSoon();
    expect(frozen.upstream.received).toEqual(["still here"]);
    expect(other.upstream.received).toEqual(["and I"]);
    expect(other.client.received).toEqual(["and you"]);
  });

  test("sends the messages of one read in one write, in order, with their type", () => {
    const { client, upstream } = openSession();
    const sent: Message[] = ["one", new Uint8Array([1, 2, 3]), "", "żółw", new Uint8Array(0)];
    upstream.upstreamSends(...sent);
    expect(client.received.map((one) => (typeof one === "string" ? one : [...one]))).toEqual([
      "one",
      [1, 2, 3],
      "",
      "żółw",
      [],
    ]);
    expect(client.writes).toBe(1);
  });

  test("holds a message back, and those behind it, until the tap lets it go", async () => {
    const { client, upstream, tap, clock } = openSession();
    const ledger = Promise.withResolvers<void>();
    tap.onUpstream = (message) => (String(message) === "1,2" ? ledger.promise : undefined);
    upstream.upstreamSends("a", new Uint8Array([1, 2]), "b");
    upstream.upstreamSends("c");
    expect(client.received).toEqual(["a"]);
    expect(upstream.paused).toBe(true);
    client.clientSends("not held");
    clock.flushSoon();
    expect(upstream.received).toEqual(["not held"]);
    ledger.resolve();
    await ledger.promise;
    await Promise.resolve();
    expect(client.received.map(String)).toEqual(["a", "1,2", "b", "c"]);
    expect(upstream.paused).toBe(false);
  });
});

/** Answers of a hundred times the size of what is asked. */
const TURN_EVENTS = ["begun", "failed"].map((text) => text.padEnd(150, "x"));

describe("UpPump", () => {
  test.each([
    ["events of a turn", { events: TURN_EVENTS, goesOn: true }, 2],
    ["an error event", { goesOn: true }, 1],
  ])("stops reading a client that does not read %s", (_title, options, answers) => {
    const { client, upstream, tap, clock } = openSession({ kernelBytes, queueBytesMax });
    const asked = 2_000;
    tap.onClient = (message) => {
      if (message === "ask") throw new GatewayError("tier_blocked", options);
    };
    client.freeze();
    client.clientSends(...Array.from({ length: asked }, () => "ask"), "ordinary");
    expect(client.paused).toBe(true);
    // The bound, and the answers that passed it.
    expect(client.bufferedBytes).toBeLessThanOrEqual(queueBytesMax + KIB);
    const unread = client.unread.length;
    expect(unread).toBeGreaterThan(asked / 2);
    client.clientReads(1);
    expect([client.paused, client.unread.length]).toEqual([true, unread]);
    client.thaw();
    clock.flushSoon();
    expect(client.paused).toBe(false);
    expect(client.received).toHaveLength(asked * answers);
    expect(upstream.received).toEqual(["ordinary"]);
  });

  test("answers a client that reads, however much it asks", () => {
    const { client, tap } = openSession({ kernelBytes, queueBytesMax });
    tap.onClient = () => {
      throw new GatewayError("rate_limited");
    };
    client.clientSends(...Array.from({ length: 2_000 }, () => "ask"));
    expect([client.paused, client.received.length]).toEqual([false, 2_000]);
  });

  test("reads a client again that does not read its answers, once the session ends", () => {
    const { client, tap, session } = openSession({ kernelBytes, queueBytesMax });
    tap.onClient = () => {
      throw new GatewayError("rate_limited");
    };
    client.freeze();
    client.clientSends(...Array.from({ length: 2_000 }, () => "ask"));
    expect(client.paused).toBe(true);
    session.fail(new GatewayError("token_revoked"));
    expect([client.paused, client.unread.length]).toEqual([false, 0]);
    client.thaw();
    expect(client.closeFrame?.code).toBe(1008);
  });

  test("keeps a message and those behind it until the tap lets it go, in order", async () => {
    const { client, upstream, tap, clock } = openSession();
    const gate = Promise.withResolvers<void>();
    tap.onClient = (message) => (message === "first" ? gate.promise : undefined);
    client.clientSends("first");
    expect(client.paused).toBe(true);
    client.clientSends("second");
    clock.flushSoon();
    expect(upstream.received).toEqual([]);
    upstream.upstreamSends("the other direction");
    expect(client.received).toEqual(["the other direction"]);
    gate.resolve();
    await settled();
    clock.flushSoon();
    expect(upstream.received).toEqual(["first", "second"]);
    expect(client.paused).toBe(false);
  });

  test("keeps what came with the same read behind a message that is held", async () => {
    const { client, upstream, tap, clock, session } = openSession();
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    tap.onClient = (message) => gates[["a", "c"].indexOf(String(message))]?.promise;
    for (const message of ["a", "b", "c", "d"]) session.message(message);
    expect(tap.fromClient).toEqual(["a"]);
    for (const [index, forwarded] of [
      ["a", "b"],
      ["a", "b", "c", "d"],
    ].entries()) {
      gates[index]?.resolve();
      await settled();
      clock.flushSoon();
      expect(upstream.received).toEqual(forwarded);
    }
    expect(client.paused).toBe(false);
  });

  test("drops a held message that is refused, tells the client, and goes on", async () => {
    const { client, upstream, tap, clock, outcomes } = openSession();
    const refusal = Promise.reject(new GatewayError("budget_exhausted"));
    tap.onClient = (message) => (message === "first" ? refusal : undefined);
    client.clientSends("first", "second");
    await settled();
    clock.flushSoon();
    expect(upstream.received).toEqual(["second"]);
    expect(errorEvents(client)).toMatchObject([
      { status: 429, error: { code: "insufficient_quota" } },
    ]);
    expect(outcomes).toEqual([]);
  });

  test("counts what was held at the end of the session as dropped, and forwards none", async () => {
    const { client, upstream, tap, clock, session, outcomes } = openSession();
    const gate = Promise.withResolvers<void>();
    tap.onClient = () => gate.promise;
    session.message("a");
    session.message("b");
    session.fail(new GatewayError("token_revoked"));
    gate.resolve();
    await settled();
    client.clientCloses(1008);
    upstream.upstreamCloses(1001);
    clock.flushSoon();
    expect(upstream.received).toEqual([]);
    expect(outcomes[0]?.droppedFrames).toEqual({ session_ended: 2 });
  });

  test("stops reading the client while the upstream reads nothing, and loses nothing", () => {
    const { client, upstream, clock } = openSession({ kernelBytes, queueBytesMax });
    const sent = frames(400);
    upstream.freeze();
    for (const frame of sent) {
      client.clientSends(frame);
      clock.flushSoon();
    }
    expect(client.paused).toBe(true);
    expect(client.unread.length).toBeGreaterThan(300);
    upstream.upstreamSends("the other direction");
    expect(client.received).toEqual(["the other direction"]);
    upstream.thaw();
    clock.flushSoon();
    expect(upstream.received).toEqual(sent);
    expect(client.paused).toBe(false);
  });

  test("resumes the client where it stopped, as the upstream reads bit by bit", () => {
    const { client, upstream, clock } = openSession({ kernelBytes, queueBytesMax });
    const sent = frames(100);
    upstream.freeze();
    for (const frame of sent) {
      client.clientSends(frame);
      clock.flushSoon();
    }
    for (let reads = 0; reads < 200 && upstream.received.length < 100; reads++) {
      upstream.upstreamReadsOnce();
      clock.flushSoon();
    }
    expect(upstream.received).toEqual(sent);
  });

  test("sends the messages of one read in one write, in order, with their type", () => {
    const { client, upstream, clock } = openSession();
    client.clientSends("one", new Uint8Array([0, 255]), "", "€");
    expect(upstream.writes).toBe(0);
    clock.flushSoon();
    expect(upstream.received).toEqual(["one", new Uint8Array([0, 255]), "", "€"]);
    expect(upstream.writes).toBe(1);
  });

  test("does not wait for the end of a read that brings more than 64 KiB", () => {
    const { client, upstream } = openSession();
    client.clientSends(...frames(20));
    expect(upstream.received.length).toBeGreaterThanOrEqual(16);
  });

  test("forwards a message larger than every buffer", () => {
    const { client, upstream, clock } = openSession({ kernelBytes, queueBytesMax });
    const large = "aé€😀".repeat(100_000);
    client.clientSends("before", large, "after");
    clock.flushSoon();
    expect(upstream.received.length).toBe(3);
    expect(upstream.received[1] === large).toBe(true);
  });
});
