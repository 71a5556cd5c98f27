/**
 * Keeps a connection open on which the server tells of changes.
 *
 * Owns: opening it again, with growing pauses, and finding out that it died without a word.
 * Does not own: the connection, and what is done about a change.
 * Invariant: after each opening the listener is called, because what happened before was missed.
 */

import type { Clock, Timer } from "../runtime/clock.ts";

const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 5_000;
const CHECK_EVERY_MS = 10_000;

/** A connection that listens. */
interface Listening {
  /** Rejects once it has ended. */
  readonly ended: Promise<never>;
  /** Finds out whether the server is still there; ends the connection where it is not. */
  check(): Promise<void>;
  destroy(): void;
}

interface WatchOptions {
  /** Opens one that listens already. */
  open(): Promise<Listening>;
  /** Called after each opening. */
  listening(): void;
  readonly clock: Pick<Clock, "after" | "every">;
}

/** @returns what ends it */
export function keepListening(options: WatchOptions): () => void {
  const watch = new Watch(options);
  watch.start();
  return () => watch.end();
}

class Watch {
  readonly #options: WatchOptions;
  #connection: Listening | null = null;
  #timer: Timer | null = null;
  #pauseMs = PAUSE_FIRST_MS;
  #isOver = false;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = null;
    this.#listen().catch(() => this.#startLater());
  }

  end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#connection?.destroy();
  }

  /** Rejects when the connection cannot be opened or has ended. */
  async #listen(): Promise<never> {
    const { open, listening, clock } = this.#options;
    const connection = await open();
    if (this.#isOver) connection.destroy();
    this.#connection = connection;
    this.#pauseMs = PAUSE_FIRST_MS;
    // Ends the connection where it fails, which is what is waited for below.
    const check = clock.every(CHECK_EVERY_MS, () => connection.check().catch(() => undefined));
    try {
      if (!this.#isOver) listening();
      return await connection.ended;
    } finally {
      check.cancel();
      connection.destroy();
      this.#connection = null;
    }
  }

  #startLater(): void {
    if (this.#isOver) return;
    this.#timer = this.#options.clock.after(this.#pauseMs, () => this.start());
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
  }
}
