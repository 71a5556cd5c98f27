/** The life of a session: how each way of ending looks from both sides, and its timers. */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { serverFrame } from "../support/reference_codec.ts";
import { errorEvents, openSession } from "../support/session_world.ts";

const KIB = 1024;
const FAILED = "upstream websocket proxy failed";

describe("Session passes closing on", () => {
  test.each([
    ["1000 and a reason", 1000, "bye", 1000, "bye"],
    ["an application's code", 4123, "own", 4123, "own"],
    ["no code", null, "", null, ""],
    ["1012", 1012, "restart", 1012, "restart"],
  ])("from the upstream: %s", (_title, code, reason, toClient, clientReason) => {
    const { client, upstream, outcomes, settle } = openSession();
    upstream.upstreamSends("last words");
    upstream.upstreamCloses(code, reason);
    settle();
    expect(client.received).toEqual(["last words"]);
    expect(client.closeFrame).toEqual({ code: toClient, reason: clientReason });
    // RFC 6455 section 5.5.1: the answer has the same code.
    expect(upstream.closeFrame?.code).toBe(code);
    expect(outcomes).toHaveLength(1);
    expect(outcomes[0]).toMatchObject({
      result: "completed",
      stage: "upstream",
      graceful: true,
      closeCodeDownstream: code ?? 1005,
      closeCodeUpstream: code ?? 1005,
    });
  });

  test.each([
    ["1000 and a reason", 1000, "bye", 1000, "bye"],
    ["an application's code", 4321, "own", 4321, "own"],
    ["no code", 1005, "", null, ""],
    ["vanishing", 1006, "", 1001, ""],
    ["a code that is not allowed", 1015, "", 1011, ""],
  ])("from the client: %s", (_title, code, reason, toUpstream, upstreamReason) => {
    const { client, upstream, outcomes, settle } = openSession();
    client.clientSends("last words");
    client.clientCloses(code, reason);
    settle();
    expect(upstream.received).toEqual(["last words"]);
    expect(upstream.closeFrame).toEqual({ code: toUpstream, reason: upstreamReason });
    expect(outcomes[0]).toMatchObject({
      result: "completed",
      stage: "downstream",
      closeCodeDownstream: code,
      closeCodeUpstream: toUpstream ?? 1005,
    });
  });

  test("an upstream that vanishes: error event, then 1011", () => {
    const { client, upstream, outcomes, settle } = openSession();
    upstream.upstreamVanishes();
    settle();
    expect(errorEvents(client).map((event) => event.error.code)).toEqual(["upstream_closed"]);
    expect(client.closeFrame).toEqual({ code: 1011, reason: FAILED });
    expect(outcomes[0]).toMatchObject({
      result: "failed",
      stage: "upstream",
      closeCodeUpstream: 1006,
      closeCodeDownstream: 1011,
      graceful: false,
    });
  });

  test.each([
    ["masked", Buffer.from([0x81, 0x80, 0, 0, 0, 0]), 1002, 1011],
    ["compressed", Buffer.from([0xc1, 0]), 1002, 1011],
    ["invalid UTF-8", serverFrame(1, new Uint8Array([0xff])), 1007, 1011],
    ["over the limit", serverFrame(2, new Uint8Array(5000)), 1009, 1009],
  ])("an upstream's frame that is %s", (_title, bytes, toUpstream, toClient) => {
    const { client, upstream, outcomes, settle } = openSession({ messageBytesMax: 4096 });
    upstream.upstreamSends("good");
    upstream.upstreamWrites(bytes);
    settle();
    expect(client.received[0]).toBe("good");
    expect(errorEvents(client)).toHaveLength(1);
    expect(client.closeFrame?.code).toBe(toClient);
    expect(upstream.closeFrame?.code).toBe(toUpstream);
    expect(outcomes).toHaveLength(1);
    expect(outcomes[0]).toMatchObject({ result: "failed", closeCodeUpstream: toUpstream });
  });

  test("a client that broke the protocol is 1001 to the upstream, which gets no part of it", () => {
    const { client, upstream, outcomes, settle } = openSession();
    client.clientRejected(1009, "Received too big message");
    settle();
    expect(upstream.closeFrame?.code).toBe(1001);
    expect(upstream.received).toEqual([]);
    expect(outcomes[0]?.error?.code).toBe("frame_too_large");
    expect(outcomes[0]?.closeCodeDownstream).toBe(1009);
  });

  test("what is queued for the client goes before the close frame", () => {
    const { client, upstream, outcomes, settle } = openSession({ kernelBytes: 8 * KIB });
    client.freeze();
    const sent = Array.from({ length: 20 }, (_, i) => `${i}`.padEnd(4 * KIB, "."));
    upstream.upstreamSends(...sent);
    upstream.upstreamCloses(1000, "done");
    settle();
    expect([client.closeFrame, outcomes.length]).toEqual([null, 0]);
    client.thaw();
    settle();
    expect(client.received).toEqual(sent);
    expect(client.closeFrame).toEqual({ code: 1000, reason: "done" });
    expect(outcomes[0]).toMatchObject({ framesDown: 20, bytesDown: 80 * KIB, droppedFrames: {} });
  });

  test("what the client said last reaches a slow upstream before the close frame", () => {
    const { client, upstream, clock, outcomes, settle } = openSession({ kernelBytes: 8 * KIB });
    upstream.freeze();
    const sent = Array.from({ length: 10 }, (_, i) => `${i}`.padEnd(4 * KIB, "."));
    client.clientSends(...sent);
    settle();
    client.clientCloses(1000);
    settle();
    clock.advance(60_000);
    expect(outcomes).toHaveLength(0);
    upstream.thaw();
    settle();
    expect(upstream.received).toEqual(sent);
    expect(upstream.closeFrame?.code).toBe(1000);
    expect(outcomes[0]?.droppedFrames).toEqual({});
  });

  test("an upstream that does not answer the close frame is dropped", () => {
    const { client, upstream, clock, outcomes, settle } = openSession();
    upstream.answersClose = false;
    client.clientCloses(1000);
    settle();
    expect(outcomes).toHaveLength(0);
    clock.advance(2_500);
    expect([upstream.terminated, outcomes.length]).toEqual([true, 1]);
    expect(clock.pendingTimers).toBe(0);
  });

  test("a reason is cut to 123 bytes between characters", () => {
    const { client, session } = openSession();
    session.fail(new GatewayError("tier_blocked", { message: `${"x".repeat(121)}€` }));
    expect(client.closeFrame).toEqual({ code: 1008, reason: "x".repeat(121) });
  });
});

describe("Session.fail()", () => {
  test("sends the error event, then the close frame, and closes the upstream", () => {
    const { client, upstream, session, outcomes, tap, settle } = openSession();
    session.fail(new GatewayError("token_revoked"));
    settle();
    expect(errorEvents(client)).toMatchObject([{ status: 401, error: { code: "token_revoked" } }]);
    expect(client.closeFrame).toEqual({ code: 1008, reason: "The token was revoked" });
    expect(upstream.closeFrame?.code).toBe(1001);
    expect([outcomes.length, tap.ends]).toEqual([1, 1]);
    session.fail(new GatewayError("draining"));
    expect(outcomes).toHaveLength(1);
  });

  test("sends the close frame alone where clients know no error event", () => {
    const { client, session, settle } = openSession({ sendsErrorEvents: false });
    session.fail(new GatewayError("token_revoked"));
    settle();
    expect(client.received).toEqual([]);
    expect(client.closeFrame?.code).toBe(1008);
  });

  test("(trap 10) tells a client that reads nothing why, once it reads, behind what it got", () => {
    const { client, upstream, session, outcomes, clock, settle } = openSession({
      kernelBytes: 8 * KIB,
      queueBytesMax: 16 * KIB,
      timeouts: { writeMs: 10_000 },
    });
    client.freeze();
    for (let i = 0; i < 20; i++) upstream.upstreamSends("y".repeat(4 * KIB));
    session.fail(new GatewayError("project_inactive"));
    settle();
    clock.advance(9_000);
    expect([client.closeFrame, outcomes.length]).toEqual([null, 0]);
    client.thaw();
    settle();
    expect(client.received.slice(0, -1).every((one) => one === "y".repeat(4 * KIB))).toBe(true);
    expect(errorEvents(client)).toHaveLength(1);
    expect(client.closeFrame?.code).toBe(1008);
    const [outcome] = outcomes;
    expect(outcome?.framesDown).toBe(client.received.length - 1);
    // Sent by the upstream and read by nobody: counted.
    expect(outcome?.droppedFrames).toEqual({ session_ended: 20 - (client.received.length - 1) });
  });

  test("drops a client that still reads nothing when the write timeout is over", () => {
    const { client, upstream, session, outcomes, clock, settle } = openSession({
      kernelBytes: 8 * KIB,
      timeouts: { writeMs: 10_000 },
    });
    client.freeze();
    upstream.upstreamSends(...Array.from({ length: 10 }, () => "y".repeat(4 * KIB)));
    session.fail(new GatewayError("project_inactive"));
    settle();
    clock.advance(11_000);
    expect(client.terminated).toBe(true);
    expect(outcomes[0]).toMatchObject({
      error: { code: "project_inactive" },
      closeCodeDownstream: 1006,
      droppedFrames: { write_timeout: 10 },
    });
  });

  test("drops what the client still sends, and counts it", () => {
    const { client, upstream, session, outcomes, settle } = openSession({ kernelBytes: KIB });
    client.freeze();
    upstream.upstreamSends("z".repeat(2 * KIB));
    session.fail(new GatewayError("token_revoked"));
    settle();
    client.clientSends("too late");
    settle();
    client.thaw();
    settle();
    expect(upstream.received).toEqual([]);
    expect(outcomes[0]?.droppedFrames).toEqual({ session_ended: 1 });
  });

  test("before the client's socket is open reaches the client when it opens", () => {
    const { client, session, settle } = openSession({ unopened: true });
    session.fail(new GatewayError("token_revoked"));
    settle();
    client.open(session);
    expect(errorEvents(client)).toHaveLength(1);
    expect(client.closeFrame?.code).toBe(1008);
  });
});

describe("Session and its tap", () => {
  test.each([
    ["a GatewayError", new GatewayError("invalid_json"), "invalid_json", 1008],
    ["anything else", new TypeError("secret"), "internal", 1011],
  ])("a tap that throws %s over a client's message", (_title, thrown, code, close) => {
    const { client, upstream, tap, settle } = openSession();
    tap.onClient = () => {
      throw thrown;
    };
    client.clientSends("x", "y");
    settle();
    expect(errorEvents(client).map((event) => event.error.code)).toEqual([code]);
    expect(client.closeFrame?.code).toBe(close);
    expect(JSON.stringify(client.received)).not.toContain("secret");
    expect(upstream.received).toEqual([]);
  });

  test.each([
    ["ledger_unavailable", 1, "goes on"],
    ["ledger_unavailable", 0, "ends"],
    ["invalid_json", 1, "ends"],
    ["ambiguous_json", 1, "ends"],
    ["session_limit", 1, "ends"],
    ["model_not_allowed", 0, "ends"],
    ["rate_limited", 0, "goes on"],
    ["quota_exhausted", 0, "goes on"],
    ["budget_exhausted", 0, "goes on"],
    ["limits_unavailable", 0, "goes on"],
  ] as const)("a turn refused with %s after %d turns: the session %s", (code, turns, then) => {
    const { client, upstream, tap, outcomes, settle } = openSession();
    tap.turns = turns;
    tap.onClient = (message) => {
      if (message === "refused") throw new GatewayError(code);
    };
    client.clientSends("refused", "next");
    settle();
    expect(errorEvents(client)).toMatchObject([{ status: new GatewayError(code).status }]);
    expect(client.closeFrame === null).toBe(then === "goes on");
    expect(upstream.received).toEqual(then === "goes on" ? ["next"] : []);
    if (then === "ends") return;
    upstream.upstreamCloses(1000);
    settle();
    expect(outcomes[0]?.droppedFrames).toEqual({ turn_refused: 1 });
  });

  test.each([
    ["its events", { events: ["begun", "failed"] }, true, ["begun", "failed"]],
    ["an error event", {}, true, [expect.stringContaining("policy_violation")]],
    ["nothing, for it knows no such events", {}, false, []],
  ])("a refusal that says the session goes on: the client is sent %s", (_title, ...row) => {
    const [options, sendsErrorEvents, received] = row;
    const { client, upstream, tap, settle } = openSession({ sendsErrorEvents });
    tap.onClient = (message) => {
      if (message === "refused")
        throw new GatewayError("tier_blocked", { ...options, goesOn: true });
    };
    client.clientSends("refused", "next");
    settle();
    expect(client.received).toEqual(received);
    // One that cannot be told would wait for ever.
    expect(client.closeFrame?.code).toBe(sendsErrorEvents ? undefined : 1008);
    expect(upstream.received).toEqual(sendsErrorEvents ? ["next"] : []);
  });

  test("a tap that throws over an upstream's message: what came before is delivered", () => {
    const { client, upstream, tap, outcomes, settle } = openSession();
    tap.onUpstream = (message) => {
      if (message === "bad") throw new GatewayError("ledger_unavailable");
      return undefined;
    };
    upstream.upstreamSends("good", "bad", "later");
    settle();
    expect(client.received[0]).toBe("good");
    expect(client.received).toHaveLength(2);
    expect(client.closeFrame?.code).toBe(1013);
    expect(outcomes[0]?.droppedFrames).toEqual({ session_ended: 2 });
  });

  test("a tap whose promise fails ends the session with its error", async () => {
    const { client, upstream, tap, outcomes, settle } = openSession();
    tap.onUpstream = () => Promise.reject(new GatewayError("ledger_unavailable"));
    upstream.upstreamSends("held");
    await Promise.resolve();
    await Promise.resolve();
    settle();
    expect(errorEvents(client).map((event) => event.error.code)).toEqual(["ledger_unavailable"]);
    expect(outcomes[0]?.droppedFrames).toEqual({ session_ended: 1 });
  });

  test.each([
    ["closes", true, { code: 1000, reason: "bye" }],
    ["vanishes", false, { code: 1011, reason: FAILED }],
  ])("an upstream that %s behind a message held back: the message comes first", async (...row) => {
    const [, closes, expected] = row;
    const { client, upstream, tap, settle } = openSession();
    const ledger = Promise.withResolvers<void>();
    tap.onUpstream = () => ledger.promise;
    upstream.upstreamSends("terminal");
    if (closes) upstream.upstreamCloses(1000, "bye");
    upstream.upstreamVanishes();
    settle();
    expect(client.closeFrame).toBeNull();
    ledger.resolve();
    await ledger.promise;
    await Promise.resolve();
    settle();
    expect(client.received[0]).toBe("terminal");
    expect(client.closeFrame).toEqual(expected);
  });

  test("sees every message of both sides before it is forwarded", () => {
    const { client, upstream, tap, settle } = openSession();
    const seen: string[] = [];
    tap.onUpstream = (message) => {
      seen.push(`${String(message)} after ${client.received.length}`);
      return undefined;
    };
    upstream.upstreamSends("a", "b");
    client.clientSends("c");
    settle();
    expect(seen).toEqual(["a after 0", "b after 1"]);
    expect(tap.fromClient).toEqual(["c"]);
  });
});

describe("a client that leaves mid-turn", () => {
  const timeouts = { drainAfterDisconnectMs: 1_200 };

  test("is drained for until its turns have ended; nothing is written to it", () => {
    const { client, upstream, tap, outcomes, clock, settle } = openSession({ timeouts });
    tap.turnsRunning = 1;
    client.clientVanishes();
    settle();
    clock.advance(500);
    expect(upstream.closeFrame).toBeNull();
    tap.onUpstream = (message) => {
      if (message === "terminal") tap.turnsRunning = 0;
      return undefined;
    };
    upstream.upstreamSends("delta", "terminal");
    settle();
    expect(tap.fromUpstream).toEqual(["delta", "terminal"]);
    expect(client.received).toEqual([]);
    expect(upstream.closeFrame?.code).toBe(1001);
    expect(outcomes[0]).toMatchObject({
      result: "completed",
      stage: "downstream",
      graceful: true,
      droppedFrames: { downstream_gone: 2 },
    });
  });

  test("is drained for no longer than drainAfterDisconnectMs", () => {
    const { client, upstream, tap, outcomes, clock } = openSession({ timeouts });
    tap.turnsRunning = 1;
    client.clientCloses(1000, "bye");
    clock.advance(1_000);
    expect(upstream.closeFrame).toBeNull();
    clock.advance(500);
    expect(upstream.closeFrame).toEqual({ code: 1000, reason: "bye" });
    expect(outcomes[0]).toMatchObject({ graceful: false });
    expect(tap.ends).toBe(1);
  });

  test("with a full buffer lets the upstream be read again", () => {
    const { client, upstream, tap, outcomes, settle } = openSession({
      timeouts,
      kernelBytes: 4 * KIB,
      queueBytesMax: 8 * KIB,
    });
    client.freeze();
    tap.turnsRunning = 1;
    for (let i = 0; i < 20; i++) upstream.upstreamSends("d".repeat(2 * KIB));
    expect(upstream.paused).toBe(true);
    client.clientVanishes();
    settle();
    expect(upstream.paused).toBe(false);
    expect(tap.fromUpstream).toHaveLength(20);
    tap.turnsRunning = 0;
    upstream.upstreamSends("terminal");
    settle();
    const dropped = outcomes[0]?.droppedFrames.downstream_gone ?? 0;
    expect(dropped).toBeGreaterThan(14);
    expect(dropped).toBeLessThanOrEqual(21);
  });

  test("while idle closes the upstream at once", () => {
    const { client, upstream, settle } = openSession({ timeouts });
    client.clientVanishes();
    settle();
    expect(upstream.closeFrame?.code).toBe(1001);
  });
});

describe("Session.drain()", () => {
  test("ends an idle session at once with 1012", () => {
    const { client, session, settle } = openSession();
    session.drain();
    settle();
    expect(errorEvents(client).map((event) => event.error.code)).toEqual(["draining"]);
    expect(client.closeFrame).toEqual({ code: 1012, reason: "service restart" });
  });

  test("lets a running turn end first, its terminal event included", () => {
    const { client, upstream, session, tap, clock, settle } = openSession();
    tap.turnsRunning = 1;
    session.drain();
    settle();
    clock.advance(5_000);
    upstream.upstreamSends("delta");
    expect(client.closeFrame).toBeNull();
    tap.onUpstream = () => {
      tap.turnsRunning = 0;
      return undefined;
    };
    upstream.upstreamSends("terminal");
    settle();
    expect(client.received.slice(0, 2)).toEqual(["delta", "terminal"]);
    expect(client.closeFrame?.code).toBe(1012);
  });
});

describe("timers", () => {
  test("idleMs without a message either way is 1008", () => {
    const { client, upstream, clock } = openSession({ timeouts: { idleMs: 10_000 } });
    clock.advance(9_000);
    client.clientSends("x");
    clock.advance(9_000);
    upstream.upstreamSends("y");
    clock.advance(9_000);
    expect(client.closeFrame).toBeNull();
    clock.advance(1_500);
    expect(client.closeFrame).toEqual({ code: 1008, reason: "client websocket idle timeout" });
    expect(errorEvents(client)[0]?.error.code).toBe("idle_timeout");
  });

  test("pings and pongs do not count as use", () => {
    const { client, upstream, clock } = openSession({
      timeouts: { idleMs: 10_000, pingMs: 1_000 },
    });
    for (let i = 0; i < 11; i++) {
      upstream.upstreamWrites(serverFrame(9, "hi"));
      clock.advance(1_000);
    }
    expect(client.closeFrame?.code).toBe(1008);
  });

  test("betweenTurnsMs counts from the end of a turn, and not before the first", () => {
    const { client, tap, clock } = openSession({ timeouts: { betweenTurnsMs: 5_000 } });
    clock.advance(20_000);
    expect(client.closeFrame).toBeNull();
    tap.turns = 1;
    tap.turnsRunning = 1;
    client.clientSends("create");
    clock.advance(20_000);
    expect(client.closeFrame).toBeNull();
    tap.turnsRunning = 0;
    clock.advance(5_500);
    expect(client.closeFrame?.code).toBe(1008);
  });

  test("an upstream's ping is answered here", () => {
    const { upstream, tap, settle } = openSession();
    upstream.upstreamWrites(serverFrame(9, "are you there"));
    settle();
    expect(upstream.received).toEqual(["pong are you there"]);
    expect(tap.fromUpstream).toEqual([]);
  });

  test("both sides are pinged, and live while they answer", () => {
    const { client, upstream, clock } = openSession({ timeouts: { pingMs: 1_000 } });
    clock.advance(60_000);
    expect(client.pings).toBeGreaterThan(40);
    expect([client.closeFrame, upstream.terminated]).toEqual([null, false]);
  });

  test("a client that answers no ping is dropped after two intervals", () => {
    const { client, upstream, clock, outcomes } = openSession({ timeouts: { pingMs: 1_000 } });
    client.answersPings = false;
    clock.advance(2_500);
    expect(client.terminated).toBe(false);
    clock.advance(2_000);
    expect([client.terminated, upstream.closeFrame?.code]).toEqual([true, 1001]);
    expect(outcomes[0]).toMatchObject({ stage: "downstream", closeCodeDownstream: 1006 });
  });

  test("a client is left the time that its largest message may take to upload", () => {
    const { client, clock } = openSession({
      timeouts: { pingMs: 1_000 },
      clientMessageBytesMax: 2_560 * KIB,
    });
    client.answersPings = false;
    clock.advance(10_000);
    client.clientSends("uploaded in ten seconds");
    clock.advance(11_000);
    expect(client.terminated).toBe(false);
    clock.advance(2_000);
    expect(client.terminated).toBe(true);
  });

  test("an upstream that answers no ping is dropped, and the client told", () => {
    const { client, upstream, clock } = openSession({ timeouts: { pingMs: 1_000 } });
    upstream.answersPings = false;
    clock.advance(4_500);
    expect(upstream.terminated).toBe(true);
    expect(client.closeFrame).toEqual({ code: 1011, reason: FAILED });
  });

  test("a side that is stopped is not taken for dead", () => {
    const { client, upstream, clock, settle } = openSession({
      timeouts: { pingMs: 1_000 },
      kernelBytes: 4 * KIB,
      queueBytesMax: 8 * KIB,
    });
    client.freeze();
    for (let i = 0; i < 20; i++) upstream.upstreamSends("d".repeat(2 * KIB));
    clock.advance(20_000);
    expect([client.terminated, upstream.terminated]).toEqual([false, false]);
    client.thaw();
    settle();
    expect(client.received).toHaveLength(20);
  });

  test("writeMs without progress drops the client; with progress it does not", () => {
    const { client, upstream, clock, outcomes } = openSession({
      timeouts: { writeMs: 5_000 },
      kernelBytes: 4 * KIB,
    });
    client.freeze();
    upstream.upstreamSends(...Array.from({ length: 20 }, () => "d".repeat(2 * KIB)));
    for (let i = 0; i < 5; i++) {
      clock.advance(4_000);
      client.clientReads(2);
    }
    expect(client.terminated).toBe(false);
    clock.advance(5_500);
    expect(client.terminated).toBe(true);
    expect(outcomes[0]?.error?.code).toBe("write_timeout");
  });

  test("writeMs counts for answers too, with nothing forwarded and nothing over the bound", () => {
    const { client, tap, clock, outcomes } = openSession({
      timeouts: { writeMs: 5_000 },
      kernelBytes: KIB,
    });
    tap.onClient = () => {
      throw new GatewayError("rate_limited");
    };
    client.freeze();
    client.clientSends(...Array.from({ length: 20 }, () => "ask"));
    expect(client.paused).toBe(false);
    for (let i = 0; i < 3; i++) {
      clock.advance(4_000);
      client.clientReads(2);
    }
    expect(client.terminated).toBe(false);
    clock.advance(5_500);
    expect(client.terminated).toBe(true);
    expect(outcomes[0]).toMatchObject({
      error: { code: "write_timeout" },
      closeCodeDownstream: 1006,
      droppedFrames: { turn_refused: 20 },
    });
  });

  test("writeMs without progress drops the upstream, and the client is told", () => {
    const { client, upstream, clock, outcomes, settle } = openSession({
      timeouts: { writeMs: 5_000 },
      kernelBytes: 4 * KIB,
    });
    upstream.freeze();
    client.clientSends(...Array.from({ length: 5 }, () => "u".repeat(2 * KIB)));
    settle();
    clock.advance(5_500);
    expect(upstream.terminated).toBe(true);
    expect(client.closeFrame).toEqual({ code: 1011, reason: FAILED });
    expect(outcomes[0]?.droppedFrames).toEqual({ write_timeout: 5 });
  });

  test("no timer is left when the last session has ended", () => {
    const { client, clock, settle } = openSession({ timeouts: { idleMs: 1_000, pingMs: 1_000 } });
    expect(clock.pendingTimers).toBe(1);
    client.clientCloses(1000);
    settle();
    expect(clock.pendingTimers).toBe(0);
  });
});

test("Session counts messages and payload bytes of both directions", () => {
  const { client, upstream, outcomes, settle } = openSession();
  client.clientSends("é", new Uint8Array(3));
  upstream.upstreamSends("€€", "x");
  settle();
  client.clientCloses(1000);
  settle();
  expect(outcomes[0]).toMatchObject({ framesUp: 2, bytesUp: 5, framesDown: 2, bytesDown: 7 });
});

test("a session whose upgrade failed closes its upstream and ends", () => {
  const { session, upstream, outcomes, settle } = openSession({ unopened: true });
  session.closed(1006, "", false);
  settle();
  expect(upstream.closeFrame?.code).toBe(1001);
  expect(outcomes).toHaveLength(1);
});

test("Session.takeOver() goes on with what came before it, in order, and reads again", () => {
  const { session, client, upstream, settle } = openSession({ unopened: true });
  client.open(session);
  client.pause();
  session.takeOver(client, ["a", "b"]);
  client.clientSends("c");
  settle();
  expect(upstream.received).toEqual(["a", "b", "c"]);
  expect(client.paused).toBe(false);
});

test("Session.takeOver() leaves a client unread whose message the tap holds back", async () => {
  const { session, client, upstream, tap, settle } = openSession({ unopened: true });
  client.open(session);
  const admitted = Promise.withResolvers<void>();
  tap.onClient = () => admitted.promise;
  client.pause();
  session.takeOver(client, ["a"]);
  expect(client.paused).toBe(true);
  admitted.resolve();
  await admitted.promise;
  await Promise.resolve();
  settle();
  expect(upstream.received).toEqual(["a"]);
  expect(client.paused).toBe(false);
});
