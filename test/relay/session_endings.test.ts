/**
 * Every way in which a session ends, against a connection that reports its end from inside the call
 * that ends it, as Bun's does, and against one that reports it afterwards.
 *
 * Reveals a session that ends twice, with another code, or never.
 */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { SessionOutcome } from "../../src/relay/session_record.ts";
import { serverFrame } from "../support/reference_codec.ts";
import {
  errorEvents,
  openSession,
  type World,
  type WorldOptions,
} from "../support/session_world.ts";

const KIB = 1024;

interface Ending {
  readonly title: string;
  readonly options?: WorldOptions;
  readonly end: (world: World) => void;
  readonly outcome: Partial<SessionOutcome>;
  /** Error events that the client got. */
  readonly told: readonly string[];
}

/** Fills what the node may hold for a client that reads nothing. */
function stallClient({ client, upstream }: World): void {
  client.freeze();
  upstream.upstreamSends(...Array.from({ length: 5 }, () => "d".repeat(2 * KIB)));
}

function stallUpstream({ client, upstream, settle }: World): void {
  upstream.freeze();
  client.clientSends(...Array.from({ length: 5 }, () => "u".repeat(2 * KIB)));
  settle();
}

const ENDINGS: readonly Ending[] = [
  {
    title: "the upstream closes with a code",
    end: ({ upstream }) => upstream.upstreamCloses(4123, "as asked"),
    outcome: {
      result: "completed",
      stage: "upstream",
      closeCodeDownstream: 4123,
      closeCodeUpstream: 4123,
    },
    told: [],
  },
  {
    title: "the upstream closes without a code",
    end: ({ upstream }) => upstream.upstreamCloses(null),
    outcome: {
      result: "completed",
      stage: "upstream",
      closeCodeDownstream: 1005,
      closeCodeUpstream: 1005,
    },
    told: [],
  },
  {
    title: "the upstream closes and vanishes in one read",
    end: ({ upstream }) => {
      upstream.upstreamCloses(1000, "bye");
      upstream.upstreamVanishes();
    },
    outcome: { stage: "upstream", closeCodeDownstream: 1000, closeCodeUpstream: 1000 },
    told: [],
  },
  {
    title: "the upstream closes while it does not read",
    options: { kernelBytes: 4 * KIB },
    end: (world) => {
      stallUpstream(world);
      world.upstream.upstreamCloses(1000);
      world.settle();
      world.upstream.thaw();
    },
    outcome: { stage: "upstream", closeCodeDownstream: 1000, closeCodeUpstream: 1000 },
    told: [],
  },
  {
    title: "the upstream closes while the client does not read",
    options: { kernelBytes: 4 * KIB },
    end: (world) => {
      stallClient(world);
      world.upstream.upstreamCloses(1000, "bye");
      world.settle();
      world.client.thaw();
    },
    outcome: { stage: "upstream", closeCodeDownstream: 1000, closeCodeUpstream: 1000 },
    told: [],
  },
  {
    title: "the upstream closes after the client left in the middle of a turn",
    options: { timeouts: { drainAfterDisconnectMs: 1_000 } },
    end: ({ client, upstream, tap }) => {
      tap.turnsRunning = 1;
      client.clientCloses(4000, "later");
      upstream.upstreamCloses(1000);
    },
    outcome: { stage: "upstream", closeCodeDownstream: 4000, closeCodeUpstream: 1000 },
    told: [],
  },
  {
    title: "the upstream vanishes",
    end: ({ upstream }) => upstream.upstreamVanishes(),
    outcome: {
      result: "failed",
      stage: "upstream",
      closeCodeDownstream: 1011,
      closeCodeUpstream: 1006,
    },
    told: ["upstream_closed"],
  },
  {
    title: "the upstream breaks the protocol",
    end: ({ upstream }) => upstream.upstreamWrites(serverFrame(1, new Uint8Array([0xff]))),
    outcome: {
      result: "failed",
      stage: "upstream",
      closeCodeDownstream: 1011,
      closeCodeUpstream: 1007,
    },
    told: ["upstream_closed"],
  },
  {
    title: "fail()",
    end: ({ session }) => session.fail(new GatewayError("token_revoked")),
    outcome: {
      result: "failed",
      stage: "gateway",
      closeCodeDownstream: 1008,
      closeCodeUpstream: 1001,
    },
    told: ["token_revoked"],
  },
  {
    title: "fail() while the upstream's close frame waits behind a message held back",
    end: ({ session, upstream, tap }) => {
      tap.onUpstream = () => Promise.withResolvers<void>().promise;
      upstream.upstreamSends("held");
      session.fail(new GatewayError("token_revoked"));
      upstream.upstreamCloses(1000);
    },
    outcome: { stage: "gateway", closeCodeDownstream: 1008, closeCodeUpstream: 1001 },
    told: ["token_revoked"],
  },
  {
    title: "fail() after that close frame was read",
    end: ({ session, upstream, tap }) => {
      tap.onUpstream = () => Promise.withResolvers<void>().promise;
      upstream.upstreamWrites(Buffer.concat([serverFrame(1, "held"), serverFrame(8, CLOSE_1000)]));
      session.fail(new GatewayError("token_revoked"));
    },
    outcome: { stage: "gateway", closeCodeDownstream: 1008, closeCodeUpstream: 1000 },
    told: ["token_revoked"],
  },
  {
    title: "the client closes",
    end: ({ client }) => client.clientCloses(4321, "done"),
    outcome: {
      result: "completed",
      stage: "downstream",
      closeCodeDownstream: 4321,
      closeCodeUpstream: 4321,
    },
    told: [],
  },
  {
    title: "the client vanishes",
    end: ({ client }) => client.clientVanishes(),
    outcome: { stage: "downstream", closeCodeDownstream: 1006, closeCodeUpstream: 1001 },
    told: [],
  },
  {
    title: "the client leaves and the upstream answers no close frame",
    end: ({ client, upstream, clock }) => {
      upstream.answersClose = false;
      client.clientCloses(1000);
      clock.advance(2_500);
    },
    outcome: { stage: "downstream", closeCodeDownstream: 1000, closeCodeUpstream: 1000 },
    told: [],
  },
  {
    title: "the client reads nothing for too long",
    options: { kernelBytes: 4 * KIB, timeouts: { writeMs: 5_000 } },
    end: (world) => {
      stallClient(world);
      world.clock.advance(6_000);
    },
    outcome: {
      result: "failed",
      stage: "downstream",
      closeCodeDownstream: 1006,
      closeCodeUpstream: 1001,
    },
    told: [],
  },
  {
    title: "the upstream reads nothing for too long",
    options: { kernelBytes: 4 * KIB, timeouts: { writeMs: 5_000 } },
    end: (world) => {
      stallUpstream(world);
      world.clock.advance(6_000);
    },
    outcome: {
      result: "failed",
      stage: "upstream",
      closeCodeDownstream: 1011,
      closeCodeUpstream: 1006,
    },
    told: ["upstream_closed"],
  },
  {
    title: "neither reads for too long",
    options: { kernelBytes: 4 * KIB, timeouts: { writeMs: 5_000 } },
    end: (world) => {
      stallUpstream(world);
      stallClient(world);
      world.clock.advance(6_000);
    },
    outcome: { result: "failed", stage: "downstream", closeCodeDownstream: 1006 },
    told: [],
  },
  {
    title: "the upstream answers no ping",
    options: { timeouts: { pingMs: 1_000 } },
    end: ({ upstream, clock }) => {
      upstream.answersPings = false;
      clock.advance(4_500);
    },
    outcome: { stage: "upstream", closeCodeDownstream: 1011, closeCodeUpstream: 1006 },
    told: ["upstream_closed"],
  },
  {
    title: "neither answers a ping",
    options: { timeouts: { pingMs: 1_000 } },
    end: ({ client, upstream, clock }) => {
      upstream.answersPings = false;
      client.answersPings = false;
      clock.advance(4_500);
    },
    outcome: { stage: "upstream", closeCodeDownstream: 1011, closeCodeUpstream: 1006 },
    told: ["upstream_closed"],
  },
  {
    title: "the client's socket never opens",
    options: { unopened: true },
    end: ({ session }) => session.closed(1006, "", false),
    outcome: { stage: "downstream", closeCodeDownstream: 1006, closeCodeUpstream: 1001 },
    told: [],
  },
];

const CLOSE_1000 = new Uint8Array([0x03, 0xe8]);

describe.each([
  ["inside the call that ends it", true],
  ["afterwards", false],
])("Session ends once, with the right codes, on a connection that says so %s, when", (...row) => {
  const [, endsInside] = row;

  test.each(ENDINGS.map((ending) => [ending.title, ending] as const))("%s", (_title, ending) => {
    const world = openSession({ ...ending.options, endsInside });
    ending.end(world);
    world.settle();
    expect(world.outcomes).toHaveLength(1);
    expect(world.outcomes[0]).toMatchObject(ending.outcome);
    expect(errorEvents(world.client).map((event) => event.error.code)).toEqual([...ending.told]);
    expect([world.tap.ends, world.clock.pendingTimers]).toEqual([1, 0]);
    // Nothing that comes late wakes it up again.
    world.session.fail(new GatewayError("draining"));
    world.session.drain();
    world.session.tick(1e9);
    world.settle();
    expect(world.outcomes).toHaveLength(1);
  });
});
