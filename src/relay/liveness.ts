/**
 * The timers of one session, as arithmetic on the sweep's time.
 *
 * Owns: when a session is idle, a peer dead, a ping due, a write stuck. Does not own: what follows.
 * Invariant: the paths that messages take only set flags; time is looked at once a sweep.
 */

import type { TimeoutsConfig } from "../config/config.ts";

/** How long an upstream may take to answer our close frame. */
export const CLOSE_TIMEOUT_MS = 2_000;
/** The write timeout of an ending session where none is configured: it must end. */
export const ENDING_WRITE_TIMEOUT_MS = 120_000;
/** Pings without any answer after which a peer is dead. */
const SILENT_PINGS_MAX = 2;
/** 2 Mbit/s: a client that uploads a message at this rate is not cut. */
const UPLOAD_BYTES_PER_MS_MIN = 256;

/**
 * How long a client may be silent for the sake of one message: no pong can come inside a frame (RFC
 * 6455 section 5.5), and the runtime shows a message only when it is whole. So one whose machine
 * is gone is noticed this much later than two pings.
 * @param messageBytesMax 0 is no limit
 */
export function uploadMsMax(messageBytesMax: number): number {
  if (messageBytesMax === 0) return Number.POSITIVE_INFINITY;
  return messageBytesMax / UPLOAD_BYTES_PER_MS_MIN;
}

/** Watches one side for an answer to our pings. */
export class PeerWatch {
  /** Something came from the peer. Set by whoever reads. */
  heard = true;
  #silentPings = 0;
  #silentSinceMs = 0;

  /**
   * To be called when a ping is due.
   * @param blind the peer cannot answer or we do not read: it is not judged
   * @param silenceMs what a living peer may take between two signs of life
   * @returns whether the peer is dead
   */
  silent(blind: boolean, nowMs: number, silenceMs: number): boolean {
    if (this.heard || blind) {
      this.#silentPings = 0;
      this.#silentSinceMs = nowMs;
    } else this.#silentPings += 1;
    this.heard = false;
    return this.#silentPings >= SILENT_PINGS_MAX && nowMs - this.#silentSinceMs >= silenceMs;
  }
}

/** Watches an outgoing queue for progress. */
export class WriteWatch {
  /** The queue became shorter. Set by whoever writes. */
  progressed = false;
  #stuckSinceMs = -1;

  /** Whether nothing of the queue was written for `timeoutMs`. */
  stuck(queuedBytes: number, nowMs: number, timeoutMs: number): boolean {
    if (queuedBytes === 0) {
      this.#stuckSinceMs = -1;
      return false;
    }
    if (this.progressed || this.#stuckSinceMs < 0) this.#stuckSinceMs = nowMs;
    this.progressed = false;
    return timeoutMs > 0 && nowMs - this.#stuckSinceMs >= timeoutMs;
  }
}

/** Watches a session for use. */
export class UseWatch {
  /** A message passed, either way. Set by whoever relays. */
  used = true;
  #usedMs = 0;
  #betweenSinceMs = 0;
  #pingedMs = -1;

  /** To be called once a sweep, first. */
  look(nowMs: number, turnsRunning: number): void {
    if (this.used) this.#usedMs = nowMs;
    if (this.used || turnsRunning > 0) this.#betweenSinceMs = nowMs;
    this.used = false;
    if (this.#pingedMs < 0) this.#pingedMs = nowMs;
  }

  /** No message passed for too long; `betweenTurns` counts only after the first turn. */
  idle(nowMs: number, turns: number, timeouts: TimeoutsConfig): boolean {
    const { idleMs, betweenTurnsMs } = timeouts;
    if (idleMs > 0 && nowMs - this.#usedMs >= idleMs) return true;
    return betweenTurnsMs > 0 && turns > 0 && nowMs - this.#betweenSinceMs >= betweenTurnsMs;
  }

  /** Whether a ping is due; then the next one is due an interval later. */
  pingDue(nowMs: number, pingMs: number): boolean {
    if (pingMs === 0 || nowMs - this.#pingedMs < pingMs) return false;
    this.#pingedMs = nowMs;
    return true;
  }
}
