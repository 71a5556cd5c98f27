/** A session between two in-memory sockets, on a clock that stands still. */

import type { TimeoutsConfig } from "../../src/config/config.ts";
import type { Message, SessionTap } from "../../src/exchange.ts";
import { Outbox } from "../../src/relay/outbox.ts";
import { Session } from "../../src/relay/session.ts";
import type { SessionOutcome } from "../../src/relay/session_record.ts";
import { SessionSweep } from "../../src/relay/session_sweep.ts";
import { UpstreamSocket } from "../../src/relay/upstream_socket.ts";
import { FakeClock } from "./fake_clock.ts";
import { MemorySocket, MemoryStream } from "./socket_pair.ts";

/** Everything off, so that a test turns on what it is about. */
export const NO_TIMEOUTS: TimeoutsConfig = {
  requestMs: 0,
  dialMs: 0,
  responseHeaderMs: 0,
  idleMs: 0,
  writeMs: 0,
  firstFrameMs: 0,
  betweenTurnsMs: 0,
  pingMs: 0,
  drainAfterDisconnectMs: 0,
};

/** A tap that keeps what it saw and does as the test says. */
export class RecordingTap implements SessionTap {
  readonly fromClient: Message[] = [];
  readonly fromUpstream: Message[] = [];
  turnsRunning = 0;
  turns = 0;
  ends = 0;
  /** A promise holds the message back; a message goes up in place of the one that came. */
  onClient: (message: Message) => Promise<void> | Message | undefined | void = () => {};
  onUpstream: (message: Message) => Promise<void> | undefined = () => undefined;

  clientMessage(message: Message): Message | Promise<Message> {
    this.fromClient.push(message);
    const said = this.onClient(message);
    if (said instanceof Promise) return said.then(() => message);
    return said ?? message;
  }

  upstreamMessage(message: Message): Message | Promise<Message> {
    this.fromUpstream.push(message);
    const kept = typeof message === "string" ? message : new Uint8Array(message);
    return this.onUpstream(message)?.then(() => kept) ?? message;
  }

  end(): undefined {
    this.ends += 1;
    return undefined;
  }
}

export interface World {
  readonly clock: FakeClock;
  readonly client: MemorySocket;
  readonly upstream: MemoryStream;
  readonly tap: RecordingTap;
  readonly session: Session;
  readonly outcomes: SessionOutcome[];
  /** Lets happen what follows from what was done. */
  readonly settle: () => void;
}

export interface WorldOptions {
  readonly timeouts?: Partial<TimeoutsConfig>;
  readonly queueBytesMax?: number;
  readonly kernelBytes?: number;
  readonly sendsErrorEvents?: boolean;
  readonly messageBytesMax?: number;
  readonly clientMessageBytesMax?: number;
  /** Shared by several sessions of one node. */
  readonly node?: Node;
  /** Leaves the client's socket unopened. */
  readonly unopened?: boolean;
  /** See `MemoryStream.endsInside`. */
  readonly endsInside?: boolean;
}

/** What the sessions of one node share. */
export interface Node {
  readonly clock: FakeClock;
  readonly outbox: Outbox;
  readonly sweep: SessionSweep;
}

export function newNode(): Node {
  const clock = new FakeClock();
  return { clock, outbox: new Outbox(clock), sweep: new SessionSweep(clock) };
}

export function openSession(options: WorldOptions = {}): World {
  const { clock, outbox, sweep } = options.node ?? newNode();
  const client = new MemorySocket(options.kernelBytes);
  const stream = new MemoryStream((run) => clock.soon(run), options.kernelBytes);
  const upstream = new UpstreamSocket(stream, outbox, options.messageBytesMax ?? 0);
  stream.endsInside = options.endsInside ?? true;
  stream.pause();
  stream.handOver(upstream);
  const tap = new RecordingTap();
  const outcomes: SessionOutcome[] = [];
  const session = new Session({
    upstream,
    tap,
    timeouts: { ...NO_TIMEOUTS, ...options.timeouts },
    queueBytesMax: options.queueBytesMax ?? 256 * 1024,
    messageBytesMax: options.clientMessageBytesMax ?? 4096,
    sendsErrorEvents: options.sendsErrorEvents ?? true,
    clock,
    sweep,
    onEnd: (outcome) => outcomes.push(outcome),
  });
  if (options.unopened !== true) client.open(session);
  return {
    clock,
    client,
    upstream: stream,
    tap,
    session,
    outcomes,
    settle: () => clock.flushSoon(),
  };
}

/** The error events among what a client received. */
export function errorEvents(client: MemorySocket): { status: number; error: { code: string } }[] {
  return client.received
    .filter((message) => typeof message === "string" && message.includes('"type":"error"'))
    .map((message) => JSON.parse(String(message)));
}
