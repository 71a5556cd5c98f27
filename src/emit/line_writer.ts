/**
 * Lines on their way to a stream that may be slow: a pipe whose reader stalls, a disk that is busy.
 *
 * Owns: one write for all lines of a turn of the event loop, and what happens when the stream lags.
 * Does not own: the lines. Invariant: writing never blocks and never throws, memory is bounded, and
 * lines that are dropped are counted and reported.
 */

import type { Clock } from "../runtime/clock.ts";

/** As much as may wait for the stream. */
const QUEUE_BYTES_MAX = 4 * 1024 * 1024;

/** A stream as Node.js has them. */
interface LineSink {
  write(text: string): boolean;
  /** Bytes taken by `write` and not passed on yet. */
  readonly writableLength: number;
}

export class LineWriter {
  readonly #sink: LineSink;
  readonly #clock: Pick<Clock, "soon">;
  readonly #onDropped: (count: number) => void;
  #pending = "";
  #scheduled = false;
  #dropped = 0;
  readonly #flush = () => this.flush();

  /** @param onDropped hears how many are missing once lines are taken again; may write one */
  constructor(sink: LineSink, clock: Pick<Clock, "soon">, onDropped: (count: number) => void) {
    this.#sink = sink;
    this.#clock = clock;
    this.#onDropped = onDropped;
  }

  /** @param line with its line break */
  write(line: string): void {
    if (this.#pending.length + this.#sink.writableLength > QUEUE_BYTES_MAX) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) {
      const count = this.#dropped;
      this.#dropped = 0;
      this.#onDropped(count);
    }
    this.#pending += line;
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.soon(this.#flush);
  }

  /** Hands over what has been collected. */
  flush(): void {
    this.#scheduled = false;
    const text = this.#pending;
    this.#pending = "";
    if (text !== "") this.#sink.write(text);
  }
}
