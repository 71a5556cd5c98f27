/**
 * The upstream leg of a session: a raw connection on which we are the WebSocket client.
 *
 * Owns: the connection, its decoder, the bytes that the kernel has not taken, pings and the closing
 * handshake of this leg. Does not own: when to read or close; the session decides.
 * Invariant: nothing is read before `attach`; frames leave in the order of the calls, and after a
 * close frame none does.
 */

import { ByteQueue } from "../lib/bytes.ts";
import type { Message } from "../exchange.ts";
import type { Stream, StreamHandler } from "../runtime/runtime.ts";
import { type CloseFrame, FrameDecoder, OPCODE } from "./frame_codec.ts";
import type { Outbox, OutboxTarget } from "./outbox.ts";

/**
 * Answers to pings are only queued up to here: a peer that floods us with pings and reads nothing.
 */
const PONG_QUEUE_BYTES_MAX = 64 * 1024;

/** What happens on the upstream leg. */
export interface UpstreamHandler {
  /** Something came: take it with `next`. */
  upstreamReadable(): void;
  /** The queue became shorter. */
  upstreamDrained(): void;
  /** The connection is gone, with or without a close frame. Called once, last. */
  upstreamEnded(): void;
}

export class UpstreamSocket implements StreamHandler, OutboxTarget {
  readonly #stream: Stream;
  readonly #outbox: Outbox;
  readonly #decoder: FrameDecoder;
  #handler: UpstreamHandler | null = null;
  #queue: ByteQueue | null = null;
  #queuedFrames = 0;
  #sentFrames = 0;
  #paused = true;
  #closeSent = false;
  #finishing = false;
  #ended = false;
  /** Set by every read: the peer is alive. The owner clears it. */
  heard = true;

  /** @param stream paused; its handler must be handed over to this */
  constructor(stream: Stream, outbox: Outbox, messageBytesMax: number) {
    this.#stream = stream;
    this.#outbox = outbox;
    this.#decoder = new FrameDecoder(messageBytesMax);
  }

  /** Frames that came together with the handshake. */
  prepend(bytes: Uint8Array): void {
    this.#decoder.push(bytes);
    this.#decoder.keep();
  }

  /** Reports what has come already. Reading starts with the first `resume`. */
  attach(handler: UpstreamHandler): void {
    const { ended } = this;
    this.#handler = handler;
    handler.upstreamReadable();
    // Where reading it made the session end the connection, that has been reported.
    if (ended) handler.upstreamEnded();
  }

  /** Bytes that the kernel has not taken. */
  get queuedBytes(): number {
    return this.#queue?.size ?? 0;
  }

  /**
   * Gives up what is queued. Returns how many messages did not, or not wholly, reach the kernel.
   */
  loseQueue(): number {
    const frames = this.#queuedFrames + this.#sentFrames;
    this.#queue = null;
    this.#queuedFrames = 0;
    this.#sentFrames = 0;
    return frames;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** The connection is gone. What was read before may still wait in `next`. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Payload bytes of the message that `next` returned last. */
  get messageBytes(): number {
    return this.#decoder.messageBytes;
  }

  /** Whether there may be more to `next`. */
  get hasMore(): boolean {
    return this.#decoder.hasMore;
  }

  /**
   * The next message or the close frame, or null for now. Pings are answered on the way. A view is
   * valid until the current read is over.
   * @throws FrameError
   */
  next(): Message | CloseFrame | null {
    for (;;) {
      const item = this.#decoder.next();
      if (item === null || typeof item === "string" || item instanceof Uint8Array) return item;
      if (item.kind === "close") return item;
      if (item.kind === "ping") this.#pong(item.payload);
    }
  }

  /**
   * Answers the pings that nothing else came before.
   * @returns whether something else has come behind them, to be taken with `next`
   */
  takePings(): boolean {
    while (this.#decoder.isPingNext) {
      const item = this.#decoder.next();
      // Not all of it has come.
      if (item === null) return false;
      if (typeof item === "object" && "kind" in item && item.kind === "ping") {
        this.#pong(item.payload);
      }
    }
    return this.hasMore;
  }

  #pong(payload: Uint8Array): void {
    if (this.queuedBytes < PONG_QUEUE_BYTES_MAX) this.#append(OPCODE.pong, payload);
  }

  /**
   * Gives up what has come, up to a close frame.
   * @returns how many messages, the close frame, and whether nothing may follow: after a close
   * frame, and where the peer broke the protocol
   */
  discard(): {
    readonly messages: number;
    readonly close: CloseFrame | null;
    readonly over: boolean;
  } {
    let messages = 0;
    try {
      for (;;) {
        const item = this.next();
        if (item === null) return { messages, close: null, over: false };
        if (typeof item !== "string" && !(item instanceof Uint8Array)) {
          return { messages, close: item, over: true };
        }
        messages += 1;
      }
    } catch {
      return { messages, close: null, over: true };
    }
  }

  /** Queues a message and returns its size in bytes. It leaves with those of the same read. */
  send(message: Message): number {
    this.#sentFrames += 1;
    return this.#append(typeof message === "string" ? OPCODE.text : OPCODE.binary, message);
  }

  ping(): void {
    this.#append(OPCODE.ping, new Uint8Array(0));
  }

  /** Sends a close frame after what is queued. Code null sends one without a code. */
  close(code: number | null, reason: string): void {
    if (this.#closeSent) return;
    const payload = new Uint8Array(code === null ? 0 : 2 + reason.length * 3);
    let size = 0;
    if (code !== null) {
      payload[0] = code >>> 8;
      payload[1] = code & 0xff;
      size = 2 + new TextEncoder().encodeInto(reason, payload.subarray(2)).written;
    }
    this.#append(OPCODE.close, payload.subarray(0, size));
    this.#closeSent = true;
    this.#outbox.flush(this);
  }

  /** Ends the connection once the queue is written: both sides have said close. */
  finish(): void {
    this.#finishing = true;
    if (this.queuedBytes === 0) this.#stream.end();
  }

  /** Drops the connection at once. */
  terminate(): void {
    this.#stream.terminate();
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#stream.resume();
  }

  #append(opcode: number, payload: Message): number {
    if (this.#closeSent || this.#ended) return 0;
    return this.#outbox.append(this, opcode, payload);
  }

  writeFrames(bytes: Uint8Array, shared: boolean): void {
    if (this.#ended) return;
    const sent = this.#sentFrames;
    this.#sentFrames = 0;
    const written = this.#queue === null ? Math.max(0, this.#stream.write(bytes)) : 0;
    if (written === bytes.length) return;
    const rest = bytes.subarray(written);
    this.#queue ??= new ByteQueue();
    this.#queue.push(shared ? new Uint8Array(rest) : rest);
    this.#queuedFrames += sent;
  }

  opened(): void {
    throw new Error("An upstream socket is made from an open connection");
  }

  data(bytes: Uint8Array): void {
    this.heard = true;
    this.#decoder.push(bytes);
    this.#handler?.upstreamReadable();
    this.#decoder.keep();
  }

  drained(): void {
    const queue = this.#queue;
    if (queue === null) return;
    for (let view = queue.peek(); view !== null; view = queue.peek()) {
      const written = Math.max(0, this.#stream.write(view));
      queue.drop(written);
      if (written < view.length) break;
    }
    if (queue.size === 0) {
      this.#queue = null;
      this.#queuedFrames = 0;
    }
    this.#handler?.upstreamDrained();
    if (this.#finishing && this.queuedBytes === 0) this.#stream.end();
  }

  closed(): void {
    this.#ended = true;
    this.#handler?.upstreamEnded();
  }
}
