/**
 * What a session is given, and what is to be told about it when it has ended.
 *
 * Owns: these shapes; who ended it and why, its close codes, every frame that was not delivered.
 * Does not own: deciding any of it (`session.ts`). Invariant: a close code is recorded once, the
 * first.
 */

import type { TimeoutsConfig } from "../config/config.ts";
import type { GatewayError } from "../errors.ts";
import type { SessionTap } from "../exchange.ts";
import type { Clock } from "../runtime/clock.ts";
import type { SessionSweep } from "./session_sweep.ts";
import type { UpstreamSocket } from "./upstream_socket.ts";

export interface SessionOptions {
  readonly upstream: UpstreamSocket;
  readonly tap: SessionTap;
  readonly timeouts: TimeoutsConfig;
  /** Bytes that may wait for a side before the other is not read any more; 0 is no limit. */
  readonly queueBytesMax: number;
  /** Of a client's message; 0 is no limit. */
  readonly messageBytesMax: number;
  /** Whether clients of this provider understand an error event. */
  readonly sendsErrorEvents: boolean;
  readonly clock: Clock;
  readonly sweep: SessionSweep;
  /** Called once, last. */
  onEnd(outcome: SessionOutcome): void;
}

/**
 * Why a frame was not delivered. Counts are upper bounds where a peer vanished: how much its kernel
 * still handed out cannot be known.
 */
type DropReason =
  "downstream_gone" | "upstream_gone" | "write_timeout" | "session_ended" | "turn_refused";

/** Who ended a session: one of its peers, or sluice. */
export type SessionStage = "downstream" | "upstream" | "gateway";

/** What a session came to. */
export interface SessionOutcome {
  /** `failed`: it ended with `error`. */
  readonly result: "completed" | "failed";
  readonly stage: SessionStage;
  readonly error: GatewayError | null;
  /** As sent or received; 1005 without a code, 1006 without a close frame. */
  readonly closeCodeDownstream: number;
  readonly closeCodeUpstream: number;
  readonly framesUp: number;
  readonly framesDown: number;
  /** Payload bytes. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly droppedFrames: Readonly<Partial<Record<DropReason, number>>>;
  /** No turn was running when it ended, and no error ended it. */
  readonly graceful: boolean;
}

/** Messages and payload bytes of one direction. */
interface Counted {
  readonly frames: number;
  readonly bytes: number;
}

export class SessionRecord {
  stage: SessionStage = "gateway";
  error: GatewayError | null = null;
  graceful = false;
  #closeCodeDownstream: number | null = null;
  #closeCodeUpstream: number | null = null;
  #dropped: Partial<Record<DropReason, number>> = {};

  /** Whether a close code of the client's side is known. */
  get clientClosed(): boolean {
    return this.#closeCodeDownstream !== null;
  }

  /** @param code null: a close frame without one */
  closedDownstream(code: number | null): void {
    this.#closeCodeDownstream ??= code ?? 1005;
  }

  /** @param code null: a close frame without one */
  closedUpstream(code: number | null): void {
    this.#closeCodeUpstream ??= code ?? 1005;
  }

  drop(reason: DropReason, frames: number): void {
    if (frames > 0) this.#dropped[reason] = (this.#dropped[reason] ?? 0) + frames;
  }

  /** What became of frames for the client that nobody was there to take. */
  dropForClient(frames: number): void {
    this.drop(this.stage === "downstream" ? "downstream_gone" : "session_ended", frames);
  }

  /** What became of a frame from the client that was not sent on. */
  dropFromClient(): void {
    this.drop(this.stage === "upstream" ? "upstream_gone" : "session_ended", 1);
  }

  outcome(up: Counted | null, down: Counted): SessionOutcome {
    return {
      result: this.error === null ? "completed" : "failed",
      stage: this.stage,
      error: this.error,
      closeCodeDownstream: this.#closeCodeDownstream ?? 1006,
      closeCodeUpstream: this.#closeCodeUpstream ?? 1006,
      framesUp: up?.frames ?? 0,
      framesDown: down.frames,
      bytesUp: up?.bytes ?? 0,
      bytesDown: down.bytes,
      droppedFrames: this.#dropped,
      graceful: this.graceful,
    };
  }
}
