/**
 * The one turn of an HTTP exchange: its row is opened when the request goes out and closed once.
 *
 * Owns: what the signals of the answer add up to, and both records.
 * Does not own: the bytes (`body_tap.ts`, `usage_strip.ts`).
 * Invariant: the first ending counts; whatever comes after it changes nothing.
 */

import type { ExchangeContext, Reservation, Transport, TurnKind, TurnStatus } from "../exchange.ts";
import type {
  EndedSignal,
  ProgressSignal,
  RefusedSignal,
  RequestedTurn,
  TurnSignal,
  UsageReading,
} from "../provider/provider.ts";
import { storable } from "../provider/wire_text.ts";
import type { MeterOptions, ParseFailure, RowFacts, Traffic } from "./row.ts";
import { NO_TRAFFIC, rowOf, tokensOf } from "./row.ts";

export interface BodyTurnOptions extends MeterOptions {
  readonly context: ExchangeContext;
  readonly kind: TurnKind;
  /** Null: not known yet, or the endpoint has no such thing. */
  readonly requested: RequestedTurn | null;
  /** The tier that is sent upstream; null: none. */
  readonly decidedServiceTier: string | null;
  /** The model under the upstream's name; null: not known yet, or none. */
  readonly sentModel: string | null;
  /** Settled when the turn ends. */
  readonly reservation: Reservation;
}

/** What of a request depends on whom it goes to. */
export interface SentTurn {
  /** Null: none. */
  readonly decidedTier: string | null;
  /** Under the upstream's name; null: none. */
  readonly model: string | null;
}

/** What the head of the answer says of the turn. */
interface TurnAnswer {
  readonly context: ExchangeContext;
  readonly httpStatus: number;
  /** The tier that was served, where a header says it; null: none does. */
  readonly serviceTier: string | null;
}

/** How the turn ended, beside what it knows itself. */
interface BodyEnding {
  readonly status: TurnStatus;
  readonly usage: UsageReading;
  readonly terminal: string;
  readonly errorCode: string | null;
}

export class BodyTurn {
  readonly #options: BodyTurnOptions;
  readonly #startedMs: number;
  #context: ExchangeContext;
  #decidedServiceTier: string | null;
  #sentModel: string | null;
  #requested: RequestedTurn | null;
  #transport: Transport;
  #httpStatus: number | null = null;
  #responseId: string | null = null;
  #model: string | null = null;
  #serviceTier: string | null = null;
  #background = false;
  /** Usage that was seen before the end. */
  #seen: UsageReading = { reading: "absent" };
  #begun = false;
  #firstTokenMs: number | null = null;
  #isOver = false;
  #closing: Promise<void> | undefined;
  #bytesUp = 0;
  #bytesDown = 0;
  #framesDown = 0;

  /** Opens the row. @throws what the ledger throws; the request must then not be sent */
  constructor(options: BodyTurnOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#decidedServiceTier = options.decidedServiceTier;
    this.#sentModel = options.sentModel;
    this.#requested = options.requested;
    this.#transport = options.requested?.stream === true ? "sse" : "http";
    this.#background = options.requested?.background ?? false;
    this.#startedMs = options.clock.monotonicMs();
    options.ledger.open(rowOf(options, this.#context, this.#facts(this.#interruption(), null)));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get asksForStream(): boolean {
    return this.#requested?.stream ?? false;
  }

  /** Whether output would still be noted. */
  get awaitsOutput(): boolean {
    return this.#firstTokenMs === null && !this.#isOver;
  }

  /** Known while the body streams by, and sent as it came. */
  requested(requested: RequestedTurn): void {
    this.#requested = requested;
    this.#decidedServiceTier = requested.serviceTier;
    this.#sentModel = requested.model;
  }

  /** Another upstream is asked. */
  sentTo(context: ExchangeContext, { decidedTier, model }: SentTurn): void {
    this.#context = context;
    this.#decidedServiceTier = decidedTier;
    this.#sentModel = model;
  }

  answered({ context, httpStatus, serviceTier }: TurnAnswer, transport: Transport): void {
    this.#context = context;
    this.#httpStatus = httpStatus;
    this.#serviceTier = serviceTier === null ? null : storable(serviceTier);
    this.#transport = transport;
  }

  sent(byteCount: number): void {
    this.#bytesUp += byteCount;
  }

  received(byteCount: number): void {
    this.#bytesDown += byteCount;
  }

  eventReceived(): void {
    this.#framesDown++;
  }

  parseFailed(cause: ParseFailure): void {
    this.#options.report({ event: "usage_parse_failed", turn: 1, cause });
  }

  signal(signal: TurnSignal): void {
    if (signal.signal === "output") this.#output();
    else if (signal.signal === "progress") this.#progress(signal);
    else if (signal.signal === "ended") this.#ended(signal);
    else if (signal.signal === "refused") this.#refused(signal);
    else if (signal.signal === "started") {
      this.#learn(signal.key, signal.model, signal.serviceTier);
      this.#background ||= signal.background;
    }
  }

  /** The answer broke off, or came to its end without saying how it ended. */
  interrupted(): void {
    this.end(this.#interruption());
  }

  end(ending: BodyEnding): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { ledger, report, clock, reservation } = this.#options;
    if (ending.usage.reading === "malformed") this.parseFailed("malformed_usage");
    const facts = this.#facts(ending, clock.monotonicMs() - this.#startedMs);
    const row = rowOf(this.#options, this.#context, facts);
    reservation.settle(tokensOf(row), row.settled_micros);
    this.#closing = ledger.close(row);
    report({ event: "relay_turn_completed", row, terminal: ending.terminal });
  }

  /** What has to be on disk before more is forwarded; undefined: nothing. */
  takeClosing(): Promise<void> | undefined {
    const closing = this.#closing;
    this.#closing = undefined;
    return closing;
  }

  #learn(key: string | null, model: string | null, serviceTier: string | null): void {
    this.#begun = true;
    this.#responseId = key ?? this.#responseId;
    this.#model = model ?? this.#model;
    this.#serviceTier = serviceTier ?? this.#serviceTier;
  }

  #output(): void {
    if (!this.awaitsOutput) return;
    this.#begun = true;
    this.#firstTokenMs = this.#options.clock.monotonicMs() - this.#startedMs;
  }

  #progress(signal: ProgressSignal): void {
    if (this.#isOver) return;
    this.#learn(signal.key, signal.model, signal.serviceTier);
    if (signal.usage.reading !== "absent") this.#seen = signal.usage;
    if (signal.output) this.#output();
  }

  #ended(signal: EndedSignal): void {
    if (this.#isOver) return;
    this.#learn(signal.key, signal.model, signal.serviceTier);
    const usage = signal.usage.reading === "absent" ? this.#seen : signal.usage;
    this.end({ ...signal, usage });
  }

  #refused(signal: RefusedSignal): void {
    // What was refused before it began cost nothing; what broke off may have cost something.
    const usage: UsageReading = this.#begun ? this.#seen : { reading: "none_billed" };
    const { terminal, errorCode } = signal;
    this.end({ status: "error", usage, terminal, errorCode });
  }

  /** A response in the background goes on without us; its usage is fetched later. */
  #interruption(): BodyEnding {
    const status = this.#background ? "pending" : "interrupted";
    return { status, usage: this.#seen, terminal: "none", errorCode: null };
  }

  #facts(ending: BodyEnding, durationMs: number | null): RowFacts {
    const brokeOff = ending.status === "interrupted" || ending.status === "error";
    return {
      turn: 1,
      kind: this.#options.kind,
      transport: this.#transport,
      requestedModel: this.#requested?.model ?? null,
      model: this.#model ?? this.#sentModel,
      requestedServiceTier: this.#requested?.serviceTier ?? null,
      decidedServiceTier: this.#decidedServiceTier,
      serviceTier: this.#serviceTier,
      status: ending.status,
      errorCode: ending.errorCode,
      httpStatus: this.#httpStatus,
      responseId: this.#responseId,
      usage: ending.usage,
      reservedMicros: this.#options.reservation.costMicros,
      isPartial: brokeOff && ending.usage.reading === "usage",
      details: {},
      firstTokenMs: this.#firstTokenMs,
      durationMs,
      traffic: durationMs === null ? NO_TRAFFIC : this.#traffic(),
    };
  }

  /** Frames are SSE events; a body in one piece has none. */
  #traffic(): Traffic {
    return {
      framesUp: 0,
      framesDown: this.#framesDown,
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
    };
  }
}
