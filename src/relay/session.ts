/**
 * One relayed WebSocket session, from its two open sockets to its outcome.
 *
 *     client ──▶ Socket ──▶ UpPump ──▶ UpstreamSocket ──▶ upstream
 *     client ◀── Socket ◀── DownPump ◀── UpstreamSocket ◀── upstream
 *
 *     open ──────────────▶ ending ──▶ ended     `onEnd`
 *       └──▶ leaving ────▶                      client gone, turns still read
 *
 * Owns: the life of the session: who may still be written to, closing of both sides, timeouts.
 * Does not own: moving messages (`pump.ts`), dialling, metering (the tap), who may be connected.
 * Invariant: a session ends once. What tells the client why is sent before its close frame, which
 * is sent when all before it is written; only the write timeout cuts that short.
 */

import { asGatewayError, GatewayError } from "../errors.ts";
import type { Message } from "../exchange.ts";
import type { Socket, SocketHandler } from "../runtime/runtime.ts";
import {
  breachError,
  cutReason,
  leavesSession,
  newErrorEvent,
  UPSTREAM_FAILED,
  wireCloseCode,
} from "./close.ts";
import { type CloseFrame, FrameError } from "./frame_codec.ts";
import {
  CLOSE_TIMEOUT_MS,
  ENDING_WRITE_TIMEOUT_MS,
  PeerWatch,
  uploadMsMax,
  UseWatch,
  WriteWatch,
} from "./liveness.ts";
import { DownPump, type PullEnd, UpPump } from "./pump.ts";
import { type SessionOptions, SessionRecord, type SessionStage } from "./session_record.ts";
import type { UpstreamHandler } from "./upstream_socket.ts";

type Phase = "open" | "leaving" | "ending" | "ended";

/** To be given to `Connection.upgrade`; where that fails, call `closed(1006, "", false)`. */
export class Session implements SocketHandler, UpstreamHandler {
  readonly #options: SessionOptions;
  readonly #down: DownPump;
  /** Null before the client's socket is open. */
  #up: UpPump | null = null;
  /** Null before it is open and after it is closed. */
  #socket: Socket | null = null;
  #phase: Phase = "open";
  #draining = false;
  /** To be sent to the client once its buffer is written. */
  #closeFrame: { readonly code: number | null; readonly reason: string } | null = null;
  /** What the upstream gets when the client's last turn ended. */
  #farewell: { readonly code: number | null; readonly reason: string } | null = null;
  #tapEnded = false;
  /** When `leaving` or `ending` is over at the latest. */
  #deadlineMs = 0;
  readonly #record = new SessionRecord();
  readonly #use = new UseWatch();
  readonly #client = new PeerWatch();
  readonly #server = new PeerWatch();
  readonly #writesDown = new WriteWatch();
  readonly #writesUp = new WriteWatch();

  constructor(options: SessionOptions) {
    this.#options = options;
    const { upstream, tap, queueBytesMax } = options;
    this.#down = new DownPump(upstream, tap, queueBytesMax, (end) => this.#pulled(end ?? "pull"));
    options.sweep.add(this);
  }

  // The client's side.

  opened(socket: Socket): void {
    const { upstream, tap, queueBytesMax } = this.#options;
    this.#socket = socket;
    const refused = (thrown: unknown) => this.#refused(asGatewayError(thrown));
    this.#up = new UpPump(socket, upstream, tap, queueBytesMax, refused);
    this.#down.attach(socket);
    if (this.#record.error !== null) {
      this.#tell(this.#record.error);
      return;
    }
    upstream.resume();
    upstream.attach(this);
    if (this.#draining) this.drain();
  }

  /**
   * Goes on with a client that was accepted before, and may not be read at the moment.
   * @param messages that came from it meanwhile
   */
  takeOver(socket: Socket, messages: readonly Message[]): void {
    this.opened(socket);
    for (const message of messages) this.message(message);
    if (this.#up?.paused !== true) socket.resume();
  }

  message(message: Message): void {
    this.#client.heard = true;
    if (this.#phase !== "open" || this.#up === null) {
      this.#record.dropFromClient();
      return;
    }
    this.#use.used = true;
    this.#up.message(message);
  }

  /** Where the client can be told of a refused message, that one alone may be lost. */
  #refused(error: GatewayError): void {
    if (this.#phase !== "open") return this.#record.drop("session_ended", 1);
    const { tap, sendsErrorEvents } = this.#options;
    const goesOn = sendsErrorEvents && leavesSession(error, tap.turns);
    this.#record.drop(goesOn ? "turn_refused" : "session_ended", 1);
    if (!goesOn) return this.fail(error);
    this.#up?.answer(error.events.length > 0 ? error.events : [newErrorEvent(error)]);
  }

  drained(): void {
    this.#writesDown.progressed = true;
    this.#down.drained();
    this.#up?.clientDrained();
    this.#closeWhenWritten();
  }

  ponged(): void {
    this.#client.heard = true;
  }

  closed(code: number, reason: string, rejected: boolean): void {
    if (!this.#record.clientClosed) {
      this.#record.closedDownstream(code);
      this.#record.drop("downstream_gone", this.#down.unwritten);
    }
    this.#socket = null;
    this.#down.detach();
    if (this.#phase === "open") this.#clientLeft(code, reason, rejected);
    else this.#finish();
  }

  // The upstream's side.

  upstreamReadable(): void {
    if (this.#phase === "open" || this.#phase === "leaving") this.#pulled("pull");
    else this.#discard();
  }

  upstreamDrained(): void {
    this.#writesUp.progressed = true;
    this.#up?.drained();
  }

  upstreamEnded(): void {
    if (this.#phase === "open" || this.#phase === "leaving") this.#pulled("pull");
    else this.#finish();
  }

  // From outside.

  /** Ends the session as soon as no turn is running; `fail` at the deadline is the caller's. */
  drain(): void {
    this.#draining = true;
    if (this.#phase === "open" && this.#socket !== null) this.#drainIfQuiet();
  }

  /** Ends it now and tells the client why. Without effect on one that is ending already. */
  fail(error: GatewayError): void {
    this.#fail(error, "gateway");
  }

  /** Called by the sweep. */
  tick(nowMs: number): void {
    if (this.#phase === "ended") return;
    this.#watchWrites(nowMs);
    if (this.#phase === "open") this.#watchUse(nowMs);
    else if (this.#phase === "leaving" && nowMs >= this.#deadlineMs) this.#sayFarewell();
    else if (this.#phase === "ending") this.#watchClosing(nowMs);
  }

  /** Forwards what came from the upstream and acts on what else came with it. */
  #pulled(what: "pull" | PullEnd): void {
    const before = this.#down.seen;
    const end = what === "pull" ? this.#down.pull() : what;
    if (this.#down.seen !== before) this.#use.used = true;
    if (this.#phase !== "open" && this.#phase !== "leaving") return;
    if (end === "held") return;
    if (end === "nothing_more") this.#afterPull();
    else if ("thrown" in end) this.#pullFailed(end.thrown);
    else this.#upstreamClosed(end);
  }

  #afterPull(): void {
    const { upstream, tap } = this.#options;
    if (upstream.ended) this.#upstreamVanished();
    else if (this.#phase === "leaving" && tap.turnsRunning === 0) this.#sayFarewell();
    else if (this.#draining) this.#drainIfQuiet();
  }

  #drainIfQuiet(): void {
    if (this.#options.tap.turnsRunning === 0) this.fail(new GatewayError("draining"));
  }

  #pullFailed(thrown: unknown): void {
    if (!(thrown instanceof FrameError)) {
      this.#record.drop("session_ended", 1);
      this.fail(asGatewayError(thrown));
      return;
    }
    this.#closeUpstream(thrown.code, "");
    const error =
      thrown.code === 1009
        ? new GatewayError("frame_too_large", { cause: thrown })
        : new GatewayError("upstream_closed", { closeReason: UPSTREAM_FAILED, cause: thrown });
    this.#fail(error, "upstream");
  }

  #upstreamClosed(frame: CloseFrame): void {
    const { upstream } = this.#options;
    this.#record.closedUpstream(frame.code);
    const open = this.#phase === "open";
    // First, because closing a connection may report its end from inside the call.
    this.#end("upstream");
    upstream.close(frame.code, "");
    upstream.finish();
    if (open) this.#closeClient(wireCloseCode(frame.code), frame.reason);
    this.#finish();
  }

  #upstreamVanished(): void {
    this.#record.closedUpstream(1006);
    const error = new GatewayError("upstream_closed", { closeReason: UPSTREAM_FAILED });
    this.#fail(error, "upstream");
  }

  #clientLeft(code: number, reason: string, rejected: boolean): void {
    const { tap, timeouts, clock, upstream } = this.#options;
    this.#record.stage = "downstream";
    if (rejected) {
      this.#record.error = breachError(code, reason);
    }
    const gone = rejected || code === 1006;
    this.#farewell = gone
      ? { code: 1001, reason: "" }
      : { code: wireCloseCode(code), reason: cutReason(reason) };
    this.#phase = "leaving";
    this.#deadlineMs = clock.monotonicMs() + timeouts.drainAfterDisconnectMs;
    const wait = timeouts.drainAfterDisconnectMs > 0 && tap.turnsRunning > 0 && !upstream.ended;
    if (!wait) this.#sayFarewell();
  }

  #sayFarewell(): void {
    this.#end("downstream");
    this.#closeUpstream(this.#farewell?.code ?? null, this.#farewell?.reason ?? "");
    this.#finish();
  }

  #fail(error: GatewayError, stage: SessionStage): void {
    if (this.#phase !== "open" && this.#phase !== "leaving") return;
    // A client that left is told nothing, and its leaving stays the reason.
    const leaving = this.#phase === "leaving";
    if (!leaving) this.#record.error = error;
    this.#end(leaving ? "downstream" : stage);
    this.#closeUpstream(1001, "");
    if (!leaving) this.#tell(error);
    this.#finish();
  }

  /** Sends the client why it is closed, behind all that waits for it. */
  #tell(error: GatewayError): void {
    const socket = this.#socket;
    if (socket === null) return;
    if (this.#options.sendsErrorEvents) {
      socket.send(newErrorEvent(error));
    }
    this.#closeClient(error.closeCode, error.closeReason);
  }

  #closeClient(code: number | null, reason: string): void {
    this.#closeFrame = { code, reason: cutReason(reason) };
    this.#closeWhenWritten();
  }

  /** A socket that is closed while its buffer is full cannot be dropped any more: so not before. */
  #closeWhenWritten(): void {
    const frame = this.#closeFrame;
    const socket = this.#socket;
    if (frame === null || socket === null || socket.bufferedBytes > 0) return;
    this.#closeFrame = null;
    this.#record.closedDownstream(frame.code);
    socket.close(frame.code, frame.reason);
  }

  #closeUpstream(code: number | null, reason: string): void {
    const { upstream } = this.#options;
    this.#record.closedUpstream(upstream.ended ? 1006 : code);
    upstream.close(code, reason);
  }

  /** Nothing is relayed from here on. */
  #end(stage: SessionStage): void {
    const { tap, clock, upstream } = this.#options;
    this.#phase = "ending";
    this.#record.stage = stage;
    this.#record.graceful = this.#record.error === null && tap.turnsRunning === 0;
    this.#deadlineMs = clock.monotonicMs() + CLOSE_TIMEOUT_MS;
    this.#down.stop();
    this.#record.dropForClient(this.#down.dropped);
    this.#record.drop("session_ended", this.#up?.held ?? 0);
    this.#up?.stop();
    // From here on it is read only to see its close frame.
    upstream.resume();
    upstream.attach(this);
    const ended = () => {
      this.#tapEnded = true;
      this.#finish();
    };
    let until: Promise<void> | undefined;
    try {
      until = tap.end();
    } catch (thrown) {
      this.#record.error ??= asGatewayError(thrown);
    }
    if (until === undefined) this.#tapEnded = true;
    else until.then(ended, ended);
  }

  #discard(): void {
    const { upstream } = this.#options;
    const { messages, close, over } = upstream.discard();
    this.#record.dropForClient(messages);
    if (close !== null) {
      this.#record.closedUpstream(close.code);
      upstream.close(close.code, "");
    }
    if (over) upstream.finish();
  }

  #finish(): void {
    const { upstream, sweep, onEnd } = this.#options;
    if (this.#phase !== "ending" || this.#socket !== null) return;
    if (!upstream.ended || !this.#tapEnded) return;
    this.#phase = "ended";
    this.#record.drop("upstream_gone", upstream.loseQueue());
    sweep.remove(this);
    onEnd(this.#record.outcome(this.#up, this.#down));
  }

  #watchUse(nowMs: number): void {
    const { tap, timeouts, upstream, messageBytesMax } = this.#options;
    this.#use.look(nowMs, tap.turnsRunning);
    if (this.#draining && this.#socket !== null) this.#drainIfQuiet();
    if (this.#phase !== "open") return;
    if (this.#use.idle(nowMs, tap.turns, timeouts)) {
      this.fail(new GatewayError("idle_timeout"));
      return;
    }
    const socket = this.#socket;
    if (socket === null || !this.#use.pingDue(nowMs, timeouts.pingMs)) return;
    if (upstream.heard) this.#server.heard = true;
    upstream.heard = false;
    // A side that is not read, or does not read, cannot answer; the write timeout is about that.
    const deaf = upstream.paused || upstream.queuedBytes > 0;
    if (this.#server.silent(deaf, nowMs, 0)) return upstream.terminate();
    upstream.ping();
    const blind = (this.#up?.paused ?? false) || socket.bufferedBytes > 0;
    if (this.#client.silent(blind, nowMs, uploadMsMax(messageBytesMax))) socket.terminate();
    else if (!blind) socket.ping();
  }

  #watchWrites(nowMs: number): void {
    const { timeouts, upstream } = this.#options;
    const ending = this.#phase === "ending" && timeouts.writeMs === 0;
    const timeoutMs = ending ? ENDING_WRITE_TIMEOUT_MS : timeouts.writeMs;
    const socket = this.#socket;
    // Asking the runtime is what a sweep over idle sessions would spend its time on.
    const answered = this.#up?.answered ?? false;
    const waits = this.#down.unwritten > 0 || answered || this.#closeFrame !== null;
    const buffered = waits ? (socket?.bufferedBytes ?? 0) : 0;
    if (this.#up !== null && buffered === 0) this.#up.answered = false;
    if (socket !== null && this.#writesDown.stuck(buffered, nowMs, timeoutMs)) {
      this.#record.drop("write_timeout", this.#down.unwritten);
      this.#record.closedDownstream(1006);
      this.#record.error ??= new GatewayError("write_timeout");
      socket.terminate();
    }
    if (this.#writesUp.stuck(upstream.queuedBytes, nowMs, timeoutMs)) {
      this.#record.drop("write_timeout", upstream.loseQueue());
      upstream.terminate();
    }
  }

  #watchClosing(nowMs: number): void {
    const { upstream } = this.#options;
    // The close frame waits behind the queue; its progress is watched above.
    if (upstream.queuedBytes > 0) this.#deadlineMs = nowMs + CLOSE_TIMEOUT_MS;
    else if (nowMs >= this.#deadlineMs) upstream.terminate();
  }
}
