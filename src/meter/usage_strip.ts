/**
 * The tap of a chat stream that sluice itself asked for usage: the usage chunk is taken out again.
 *
 * Owns: cutting that one event out, wherever the chunks of the body end.
 * Does not own: recognising it (the provider's reader does).
 * Invariant: every other byte goes on unchanged and in order, `"usage":null` of the other chunks
 * included. An event that is not complete is held, because it may be the one.
 */

import type { BodyTap } from "../exchange.ts";
import { joined } from "../lib/bytes.ts";
import { USAGE_CHUNK } from "../provider/openai_chat.ts";
import type { MessageReader } from "../provider/provider.ts";
import { SseSplitter } from "../provider/sse.ts";
import type { BodyTurn } from "./body_turn.ts";
import type { Soon } from "./body_tap.ts";
import { after } from "./body_tap.ts";

const LF = 0x0a;
const EMPTY = new Uint8Array(0);

export class UsageStripTap implements BodyTap {
  readonly #turn: BodyTurn;
  readonly #splitter: SseSplitter;
  /** The beginning of the event that is not complete yet, from the chunks before. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  readonly #bytesMax: number;
  /** What is taken out of the current chunk, in order. */
  #cuts: { readonly start: number; readonly end: number }[] = [];
  /** Whether the event was taken out whose blank line ended the last chunk. */
  #cutBefore = false;

  /** @param bytesMax longest event that is held; a longer one goes on as it is */
  constructor(turn: BodyTurn, messages: MessageReader, bytesMax: number) {
    this.#turn = turn;
    this.#bytesMax = bytesMax;
    this.#splitter = new SseSplitter((source, start, end) => {
      turn.eventReceived();
      const signal = messages.upstreamSignal(source.subarray(start, end));
      if (signal === null) return;
      turn.signal(signal);
      if (signal.signal === "ended" && signal.terminal === USAGE_CHUNK) this.#take();
    }, bytesMax);
  }

  chunk(bytes: Uint8Array): Soon<Uint8Array | null> {
    if (bytes.length === 0) return null;
    this.#turn.received(bytes.length);
    // An LF that belongs to the CR of a blank line goes the way of that event.
    const skipped = this.#cutBefore && this.#splitter.awaitsLf && bytes[0] === LF ? 1 : 0;
    this.#splitter.push(bytes);
    const out = this.#release(bytes, skipped);
    return after(this.#turn.takeClosing(), out.length === 0 ? null : out);
  }

  end(): Soon<Uint8Array | null> {
    this.#splitter.end();
    if (!this.#turn.isOver) this.#turn.interrupted();
    const held = this.#cuts.length === 0 ? joined(this.#held) : EMPTY;
    this.#held = [];
    return after(this.#turn.takeClosing(), held.length === 0 ? null : held);
  }

  abort(): void {
    this.#held = [];
    // The line of a usage chunk may have come without its blank line.
    this.#splitter.end();
    this.#turn.interrupted();
    // The exchange is over: nothing waits for this record, and the ledger reports its failures.
    this.#turn.takeClosing()?.catch(() => undefined);
  }

  #take(): void {
    const from = this.#splitter.eventFrom;
    if (from === -1) this.#drop();
    this.#cuts.push({ start: Math.max(from, 0), end: this.#splitter.eventNext });
  }

  #drop(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** What goes on now: all that is held and complete, without what was cut. */
  #release(bytes: Uint8Array, skipped: number): Uint8Array {
    const cuts = this.#cuts;
    this.#cuts = [];
    this.#cutBefore = cuts.at(-1)?.end === bytes.length;
    const openFrom = this.#splitter.eventFrom;
    const from = openFrom === -1 ? 0 : openFrom;
    const parts = openFrom === -1 ? [] : this.#held;
    if (openFrom !== -1) this.#drop();
    let at = skipped;
    for (const { start, end } of cuts) {
      parts.push(bytes.subarray(at, start));
      at = end;
    }
    parts.push(bytes.subarray(at, Math.max(from, at)));
    this.#hold(bytes.subarray(Math.max(from, skipped)));
    if (this.#heldBytes > this.#bytesMax) {
      parts.push(...this.#held);
      this.#drop();
    }
    return joined(parts);
  }

  #hold(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
  }
}
