/**
 * A client that is accepted before it is known which upstream it stays with: its first message
 * says.
 *
 *     accepted ──first message──▶ choose, dial ──▶ session
 *        └──▶ ended: it left, said nothing, or nobody is there for it
 *
 * Owns: the wait and who is still there in it, what came meanwhile, and handing all of it over to
 * the session.
 * Does not own: dialling (`dial.ts`), relaying (`relay/session.ts`).
 * Invariant: no message is lost or seen twice, and what waits is bounded. Its place among the open
 * sessions goes on to the session, or is given back, once. Nothing goes upstream before the session
 * judged it.
 */

import { Buffer } from "node:buffer";

import { asGatewayError, GatewayError } from "../errors.ts";
import type { Message } from "../exchange.ts";
import { missingFirstMessage, readFirstMessage } from "../provider/first_message.ts";
import { breachError, cutReason, DialFailed, newErrorEvent } from "../relay/close.ts";
import { ClientGone } from "../relay/ending.ts";
import type { LiveExchange } from "../relay/live.ts";
import { PeerWatch, uploadMsMax, UseWatch } from "../relay/liveness.ts";
import type { UpstreamHandler } from "../relay/upstream_socket.ts";
import type { Candidate } from "../route/choose.ts";
import type { Timer } from "../runtime/clock.ts";
import type { Socket, SocketHandler } from "../runtime/runtime.ts";
import { noteRefusal } from "./admission.ts";
import {
  type Admitted,
  type Asked,
  type Candidates,
  type GatewayParts,
  reportInternal,
} from "./arrival.ts";
import { DialedInVain, dialFirst, reportDialFailure } from "./dial.ts";
import { RegisteredSession } from "./registered.ts";
import { type Agreement, type Allowance, idleMsOf, limitLifetime, LiveSession } from "./session.ts";

/** What a message that waits takes beside its content, about: empty ones are bounded too. */
const MESSAGE_BYTES = 64;

export class Opening
  extends RegisteredSession
  implements SocketHandler, UpstreamHandler, LiveExchange
{
  readonly turns = 0;
  readonly #parts: GatewayParts;
  readonly #admitted: Admitted;
  readonly #allowance: Allowance;
  /** Ends what is being dialled. */
  readonly #left = new AbortController();
  /** An upstream that agreed, as long as another one may have to take its place; null: none yet. */
  #agreed: Agreement | null;
  /** Whether there was one when the client was accepted. */
  readonly #hasAgreed: boolean;
  #socket: Socket | null = null;
  /** What the client sent so far. */
  #messages: Message[] = [];
  #waitingBytes = 0;
  /** Whether the session has taken over, or there will be none. */
  #isOver = false;
  #error: GatewayError | null = null;
  #isDraining = false;
  #timer: Timer | null = null;
  readonly #lifetime: Timer | null;
  readonly #use = new UseWatch();
  readonly #client = new PeerWatch();
  readonly #server = new PeerWatch();

  /** @param agreed an upstream that was dialled already; null: the first message decides */
  constructor(
    parts: GatewayParts,
    admitted: Admitted,
    allowance: Allowance,
    agreed: Agreement | null,
  ) {
    const candidate = agreed?.candidate ?? admitted.candidates[0];
    super(parts, admitted, candidate);
    const { provider } = candidate;
    this.#parts = parts;
    this.#admitted = admitted;
    this.#allowance = allowance;
    this.#agreed = agreed;
    this.#hasAgreed = agreed !== null;
    const idleMs = idleMsOf(provider.timeouts, allowance.limits);
    const waitMs = agreed === null ? provider.timeouts.firstFrameMs : idleMs;
    if (waitMs > 0) this.#timer = parts.clock.after(waitMs, () => this.#waitedInVain());
    this.#lifetime = limitLifetime(parts.clock, allowance, (error) => this.end(error));
    parts.sweep.add(this);
  }

  // The client's side.

  opened(socket: Socket): void {
    this.#socket = socket;
    if (this.#error !== null) {
      this.#tell(this.#error);
      return;
    }
    const upstream = this.#agreed?.dialed.socket;
    upstream?.resume();
    upstream?.attach(this);
  }

  message(message: Message): void {
    if (this.#isOver) return;
    this.#client.heard = true;
    this.#messages.push(typeof message === "string" ? message : new Uint8Array(message));
    this.#waitingBytes += Buffer.byteLength(message) + MESSAGE_BYTES;
    const { frameQueueBytesMax } = this.#parts.config.limits;
    // Not before: that a client leaves shows only while it is read.
    if (frameQueueBytesMax > 0 && this.#waitingBytes > frameQueueBytesMax) this.#socket?.pause();
    if (this.#messages.length > 1) return;
    this.#timer?.cancel();
    try {
      this.#decide(message);
    } catch (thrown) {
      this.#refuse(thrown);
    }
  }

  drained(): void {}

  ponged(): void {
    this.#client.heard = true;
  }

  closed(code: number, reason: string, rejected: boolean): void {
    if (rejected) this.#error ??= breachError(code, reason);
    this.#left.abort();
    this.#ended(code);
  }

  // The side of an upstream that agreed already, where it speaks first, or leaves. While another
  // one is dialled in its place, what it says has to wait.

  upstreamReadable(): void {
    const agreed = this.#agreed;
    // That it is there is no word of it.
    const hasSpoken = agreed?.dialed.socket.takePings() ?? false;
    if (agreed !== null && hasSpoken && !this.#isDialling) this.#goOn(agreed, null);
  }

  upstreamDrained(): void {}

  upstreamEnded(): void {
    const agreed = this.#agreed;
    if (agreed === null || this.#isOver || this.#isDialling) return;
    if (agreed.dialed.socket.hasMore) {
      this.#goOn(agreed, null);
      return;
    }
    // Nothing was begun on it: another one is dialled when the client speaks.
    this.#agreed = null;
    const failure = new DialFailed("closed", "The upstream left before the first message");
    reportDialFailure(this.#parts, this.#admitted, agreed.candidate, failure);
  }

  // From outside.

  end(error: GatewayError): void {
    if (this.#isOver) return;
    this.#error ??= error;
    this.#left.abort();
    if (this.#socket !== null) this.#tell(this.#error);
  }

  /** What was asked for already is still answered. */
  drain(): void {
    if (this.#isDialling) this.#isDraining = true;
    else this.end(new GatewayError("draining"));
  }

  /** Called by the sweep. */
  tick(nowMs: number): void {
    const { timeouts } = this.#admitted.candidates[0].provider;
    this.#use.look(nowMs, 0);
    // A dial ends by itself.
    if (this.#socket === null || this.#isDialling) return;
    if (this.#use.pingDue(nowMs, timeouts.pingMs)) this.#ping(this.#socket, nowMs);
  }

  #ping(socket: Socket, nowMs: number): void {
    const upstream = this.#agreed?.dialed.socket;
    if (upstream !== undefined) {
      if (upstream.heard) this.#server.heard = true;
      upstream.heard = false;
      if (this.#server.silent(false, nowMs, 0)) return upstream.terminate();
      upstream.ping();
    }
    const { frameBytesMax } = this.#parts.config.limits;
    if (this.#client.silent(false, nowMs, uploadMsMax(frameBytesMax))) socket.terminate();
    else socket.ping();
  }

  /** The client was not accepted after all. */
  abandon(): void {
    this.closed(1006, "", false);
  }

  get #isDialling(): boolean {
    return this.#messages.length > 0;
  }

  #waitedInVain(): void {
    const message = missingFirstMessage(this.#admitted.candidates[0].endpoint.dialect);
    this.end(
      this.#hasAgreed
        ? new GatewayError("idle_timeout")
        : new GatewayError("first_frame_timeout", { message }),
    );
  }

  /** @throws GatewayError why nobody is there for what the message asks for */
  #decide(first: Message): void {
    const { candidates, decidesByModel, chooseFor } = this.#admitted;
    const asked = readFirstMessage(candidates[0].endpoint.dialect, first);
    const agreed = this.#agreed;
    if (agreed !== null) {
      const maker = this.#makerOf(asked);
      if (maker === null || isSame(maker, agreed.candidate)) this.#goOn(agreed, asked.model);
      else this.#dial([maker], asked.model);
      return;
    }
    const isOpen = decidesByModel || asked.previousResponseId !== null || this.#hasAgreed;
    this.#dial(isOpen ? chooseFor(asked) : candidates, asked.model);
  }

  /**
   * Who made the response that a message goes on from; null: none, or nobody who could be asked.
   * Any other upstream tells the client that it does not know the response, so that it sends all
   * of the conversation again.
   */
  #makerOf(asked: Asked): Candidate | null {
    const { affinity } = this.#parts;
    const { principal, chooseFor } = this.#admitted;
    const { previousResponseId } = asked;
    if (previousResponseId === null) return null;
    if (affinity.find(principal.projectId, previousResponseId) === null) return null;
    try {
      return chooseFor(asked)[0];
    } catch {
      return null;
    }
  }

  #dial(candidates: Candidates, model: string | null): void {
    dialFirst(this.#parts, this.#admitted, candidates, this.#left.signal).then(
      (agreement) => {
        if (this.#isOver || this.#error !== null) agreement.dialed.socket.terminate();
        else this.#dialed(agreement, model);
      },
      (thrown: unknown) => {
        if (this.#agreed === null) this.#refuse(thrown);
        else this.#goOn(this.#agreed, model);
      },
    );
  }

  #dialed(agreement: Agreement, model: string | null): void {
    try {
      // Dialling takes time, in which the token may have been revoked.
      this.#parts.authenticator.recheck(this.#admitted.principal);
    } catch (thrown) {
      agreement.dialed.socket.terminate();
      this.#refuse(thrown);
      return;
    }
    const other = this.#agreed;
    // Its end is no news any more.
    this.#agreed = null;
    other?.dialed.socket.terminate();
    this.#goOn(agreement, model);
  }

  /** From here on everything is the session's. */
  #goOn(agreement: Agreement, model: string | null): void {
    const socket = this.#socket;
    // One that is told why it ends does not go on.
    if (this.#isOver || this.#error !== null || socket === null) return;
    this.#over();
    const live = new LiveSession(this.#parts, this.#admitted, this.#allowance, agreement, model);
    this.#parts.live.replace(live);
    socket.handOver(live.session);
    live.session.takeOver(socket, this.#messages);
    if (this.#isDraining) live.drain();
  }

  #over(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#lifetime?.cancel();
    this.#parts.sweep.remove(this);
  }

  #refuse(thrown: unknown): void {
    if (thrown instanceof ClientGone) return;
    const error = thrown instanceof DialedInVain ? thrown.closing : asGatewayError(thrown);
    noteRefusal(this.#parts, this.#admitted.principal, error);
    reportInternal(this.#parts, this.id, error);
    this.end(error);
  }

  #tell(error: GatewayError): void {
    const socket = this.#socket;
    if (socket === null) return;
    const { provider } = this.#admitted.candidates[0];
    if (provider.type === "openai") socket.send(newErrorEvent(error));
    socket.close(error.closeCode, cutReason(error.closeReason));
  }

  #ended(code: number): void {
    if (this.#isOver) return;
    this.#over();
    this.#agreed?.dialed.socket.terminate();
    this.#parts.live.remove(this);
    this.#allowance.place.release();
    const error = this.#error;
    const dropped = this.#messages.length;
    this.tellEnd(this.#parts, null, {
      result: error === null ? "completed" : "failed",
      stage: error === null ? "downstream" : "gateway",
      error,
      closeCodeDownstream: code,
      droppedFrames: dropped === 0 ? {} : { session_ended: dropped },
      graceful: error === null,
    });
  }
}

function isSame(one: Candidate, other: Candidate): boolean {
  return one.provider === other.provider && one.apiKey === other.apiKey;
}
