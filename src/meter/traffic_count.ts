/**
 * Frames and bytes of a session, both ways.
 *
 * Owns: counting them. Does not own: which turn they are charged to.
 * Invariant: what was taken once is not counted again.
 */

import { Buffer } from "node:buffer";

import type { Message } from "../exchange.ts";
import type { Traffic } from "./row.ts";

export class TrafficCount {
  #framesUp = 0;
  #framesDown = 0;
  #bytesUp = 0;
  #bytesDown = 0;

  /** Counts a message of the client's, and returns its bytes. */
  up(message: Message): number {
    const bytes = byteLengthOf(message);
    this.#framesUp++;
    this.#bytesUp += bytes;
    return bytes;
  }

  /** Counts a message of the upstream's. */
  down(message: Message): void {
    this.#framesDown++;
    this.#bytesDown += byteLengthOf(message);
  }

  /** What was counted since the last time. */
  take(): Traffic {
    const traffic = {
      framesUp: this.#framesUp,
      framesDown: this.#framesDown,
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
    };
    this.#framesUp = 0;
    this.#framesDown = 0;
    this.#bytesUp = 0;
    this.#bytesDown = 0;
    return traffic;
  }
}

function byteLengthOf(message: Message): number {
  return typeof message === "string" ? Buffer.byteLength(message) : message.length;
}
