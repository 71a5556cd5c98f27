/**
 * The two directions of a session: each takes messages from one side, shows them to the tap and
 * gives them to the other side.
 *
 * Owns: order, holding back, back-pressure and counting. Does not own: how a session ends
 * (`session.ts`).
 * Invariant: a message is counted once, as forwarded or as dropped. While the receiving side's
 * buffer is over its bound the giving side is not read, so a direction holds at most that bound and
 * one read, or one message where that is longer. The same goes for a client that does not read what
 * its own messages are answered with.
 */

import type { Message, SessionTap } from "../exchange.ts";
import type { Socket } from "../runtime/runtime.ts";
import type { CloseFrame } from "./frame_codec.ts";
import type { UpstreamSocket } from "./upstream_socket.ts";

/** Reasons not to read a side. */
const FULL = 1;
const HELD = 2;
const UNREAD = 4;

/** Stops a source while there is any reason to. */
class Valve {
  readonly #source: { pause(): void; resume(): void };
  #reasons = 0;

  constructor(source: { pause(): void; resume(): void }) {
    this.#source = source;
  }

  get shut(): boolean {
    return this.#reasons !== 0;
  }

  close(reason: number): void {
    if (this.#reasons === 0) this.#source.pause();
    this.#reasons |= reason;
  }

  open(reason: number): void {
    const before = this.#reasons;
    this.#reasons &= ~reason;
    if (before !== 0 && this.#reasons === 0) this.#source.resume();
  }
}

/** Buffered bytes above which the giving side is not read, and below which it is again. */
class Marks {
  readonly high: number;
  readonly low: number;

  /** @param queueBytesMax 0 is no limit */
  constructor(queueBytesMax: number) {
    this.high = queueBytesMax === 0 ? Number.MAX_SAFE_INTEGER : queueBytesMax;
    this.low = this.high / 2;
  }
}

/** Client to upstream. The frames of one read leave in one write (`outbox.ts`). */
export class UpPump {
  frames = 0;
  bytes = 0;
  /** Answers may wait for the client. Reset by whoever sees its buffer empty. */
  answered = false;
  readonly #source: Socket;
  readonly #upstream: UpstreamSocket;
  readonly #tap: SessionTap;
  readonly #marks: Marks;
  readonly #valve: Valve;
  readonly #refused: (thrown: unknown) => void;
  /** What came behind a message that the tap holds back; null: nothing is held. */
  #behind: Message[] | null = null;
  #stopped = false;

  /** @param refused called with what the tap threw for a message, which was not forwarded then */
  constructor(
    source: Socket,
    upstream: UpstreamSocket,
    tap: SessionTap,
    queueBytesMax: number,
    refused: (thrown: unknown) => void,
  ) {
    this.#source = source;
    this.#upstream = upstream;
    this.#tap = tap;
    this.#marks = new Marks(queueBytesMax);
    this.#valve = new Valve(source);
    this.#refused = refused;
  }

  /** The client is not read at the moment. */
  get paused(): boolean {
    return this.#valve.shut;
  }

  /** Messages that were read and neither forwarded nor refused. */
  get held(): number {
    return this.#behind === null ? 0 : this.#behind.length + 1;
  }

  /** Forwards a message, or keeps it until the tap lets it go. */
  message(message: Message): void {
    if (this.#behind !== null) {
      // Of the same read: the valve is shut, so there are few.
      this.#behind.push(message);
      return;
    }
    try {
      const forwarded = this.#tap.clientMessage(message);
      if (forwarded instanceof Promise) this.#hold(forwarded);
      else this.#forward(forwarded);
    } catch (thrown) {
      this.#refused(thrown);
    }
  }

  #forward(message: Message): void {
    this.bytes += this.#upstream.send(message);
    this.frames += 1;
    if (this.#upstream.queuedBytes > this.#marks.high) this.#valve.close(FULL);
  }

  #hold(until: Promise<Message>): void {
    this.#behind = [];
    this.#valve.close(HELD);
    until.then(
      (message) => this.#release(() => this.#forward(message)),
      (thrown: unknown) => this.#release(() => this.#refused(thrown)),
    );
  }

  /** @param first what becomes of the message that was held */
  #release(first: () => void): void {
    if (this.#stopped) return;
    const behind = this.#behind ?? [];
    this.#behind = null;
    first();
    for (const message of behind) {
      if (this.#stopped) return;
      this.message(message);
    }
    if (this.#behind === null) this.#valve.open(HELD);
  }

  /** Sends the client what one of its messages is answered with that was not forwarded. */
  answer(events: readonly string[]): void {
    this.answered = true;
    for (const event of events) this.#source.send(event);
    if (this.#source.bufferedBytes > this.#marks.high) this.#valve.close(UNREAD);
  }

  /** The client's buffer became shorter. */
  clientDrained(): void {
    if (this.#valve.shut && this.#source.bufferedBytes <= this.#marks.low) {
      this.#valve.open(UNREAD);
    }
  }

  /** The upstream's queue became shorter. */
  drained(): void {
    if (this.#upstream.queuedBytes <= this.#marks.low) this.#valve.open(FULL);
  }

  /** Reads the client whatever the upstream does: nothing is forwarded or answered any more. */
  stop(): void {
    this.#stopped = true;
    this.#valve.open(FULL | HELD | UNREAD);
  }
}

/** What a pull came upon, besides messages. */
export type PullEnd = "nothing_more" | "held" | CloseFrame | { readonly thrown: unknown };

/** Upstream to client. The messages of one read are sent corked: one write. */
export class DownPump {
  frames = 0;
  bytes = 0;
  /** Messages that the tap saw when there was no client any more. */
  dropped = 0;
  #socket: Socket | null = null;
  #held = false;
  #stopped = false;
  /** Messages since the client's buffer was last seen empty: what is lost if it vanishes now. */
  #unwritten = 0;
  /** Nothing was kept in the socket's own buffer since this was set. */
  #allSent = true;
  readonly #upstream: UpstreamSocket;
  readonly #tap: SessionTap;
  readonly #marks: Marks;
  readonly #valve: Valve;
  readonly #released: (end: { readonly thrown: unknown } | null) => void;

  /**
   * @param released called when a message that the tap held back was forwarded, or with why it was
   * not; then `pull` again
   */
  constructor(
    upstream: UpstreamSocket,
    tap: SessionTap,
    queueBytesMax: number,
    released: (end: { readonly thrown: unknown } | null) => void,
  ) {
    this.#upstream = upstream;
    this.#tap = tap;
    this.#marks = new Marks(queueBytesMax);
    this.#valve = new Valve(upstream);
    this.#released = released;
  }

  /** Messages that came so far. */
  get seen(): number {
    return this.frames + this.dropped;
  }

  /** Messages that may not have reached the client's kernel buffer. */
  get unwritten(): number {
    return this.#unwritten;
  }

  attach(socket: Socket): void {
    this.#socket = socket;
  }

  /** The client is gone: what comes is shown to the tap and dropped. */
  detach(): void {
    this.#socket = null;
    this.#unwritten = 0;
    this.#valve.open(FULL);
  }

  /** Forwards nothing any more, not even to the tap. */
  stop(): void {
    this.#stopped = true;
    if (this.#held) this.dropped += 1;
    this.#valve.open(FULL | HELD);
  }

  /** Forwards all that has come, up to a message that the tap holds back. */
  pull(): PullEnd {
    if (this.#held || this.#stopped) return "held";
    let first: Message | CloseFrame | null;
    try {
      first = this.#upstream.next();
    } catch (thrown) {
      return { thrown };
    }
    const socket = this.#socket;
    if (socket === null) return this.#take(first);
    // Most reads have one message. Collecting what is alone costs more than it saves.
    if (this.#upstream.hasMore) return this.#takeCorked(socket, first);
    const before = this.frames;
    this.#allSent = true;
    const end = this.#take(first);
    // Asking the runtime would only confirm it.
    if (!this.#allSent || this.#unwritten > 0) this.#weigh(socket, this.frames - before);
    return end;
  }

  /** The client's buffer became shorter. */
  drained(): void {
    const buffered = this.#socket?.bufferedBytes ?? 0;
    if (buffered === 0) this.#unwritten = 0;
    if (buffered <= this.#marks.low) this.#valve.open(FULL);
  }

  #takeCorked(socket: Socket, first: Message | CloseFrame | null): PullEnd {
    const before = this.frames;
    let end: PullEnd = "nothing_more";
    socket.cork(() => {
      end = this.#take(first);
    });
    this.#weigh(socket, this.frames - before);
    return end;
  }

  #weigh(socket: Socket, sent: number): void {
    const buffered = socket.bufferedBytes;
    this.#unwritten = buffered === 0 ? 0 : this.#unwritten + sent;
    if (buffered > this.#marks.high) this.#valve.close(FULL);
  }

  #take(first: Message | CloseFrame | null): PullEnd {
    try {
      for (let item = first; ; item = this.#upstream.next()) {
        if (item === null) return "nothing_more";
        if (typeof item !== "string" && !(item instanceof Uint8Array)) return item;
        const { messageBytes } = this.#upstream;
        const forwarded = this.#tap.upstreamMessage(item);
        if (forwarded instanceof Promise) {
          this.#hold(messageBytes, forwarded);
          return "held";
        }
        this.#forward(forwarded, messageBytes);
      }
    } catch (thrown) {
      return { thrown };
    }
  }

  #forward(message: Message, messageBytes: number): void {
    const status = this.#socket?.send(message) ?? "dropped";
    if (status !== "sent") this.#allSent = false;
    if (status === "dropped") {
      this.dropped += 1;
      return;
    }
    this.frames += 1;
    this.bytes += messageBytes;
  }

  #hold(messageBytes: number, until: Promise<Message>): void {
    this.#held = true;
    this.#valve.close(HELD);
    until.then(
      (message) => this.#release(message, messageBytes),
      (thrown: unknown) => {
        this.#held = false;
        this.#released({ thrown });
      },
    );
  }

  #release(message: Message, messageBytes: number): void {
    this.#held = false;
    if (this.#stopped) return;
    this.#forward(message, messageBytes);
    if (this.#socket !== null) this.#weigh(this.#socket, 1);
    this.#valve.open(HELD);
    this.#released(null);
  }
}
