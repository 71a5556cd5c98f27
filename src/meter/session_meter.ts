/**
 * The meter of a WebSocket session: sees every message, and writes a row for every turn.
 *
 * Owns: what each signal of the provider's reader does to the turn table and the ledger.
 * Does not own: forwarding. The row of a turn is in the ledger when `upstreamMessage` returns, or
 * when the promise it returns resolves; only then may the caller forward that message.
 * Invariant: a turn's row is opened when it starts and closed once. A message that does not matter
 * costs no allocation.
 */

import type { ExchangeContext, Message, Reservation, SessionTap } from "../exchange.ts";
import { messageReaderOf } from "../provider/dialect.ts";
import type {
  EndedSignal,
  MessageReader,
  MeterDialect,
  RefusedSignal,
  RequestedSignal,
  SessionSignal,
  StartedSignal,
  TurnSignal,
  UsageReading,
} from "../provider/provider.ts";
import type { AskedTurn, Charge, TurnAdmission } from "./turn_admission.ts";
import type { MeterOptions, ParseFailure } from "./row.ts";
import { NO_TRAFFIC, rowOf, tokensOf } from "./row.ts";
import { type Ending, factsOf, interruption } from "./session_row.ts";
import { TrafficCount } from "./traffic_count.ts";
import type { Turn, TurnRequest } from "./turn.ts";
import { TurnTable } from "./turn.ts";

export interface SessionMeterOptions extends MeterOptions {
  readonly context: ExchangeContext;
  readonly dialect: MeterDialect;
  readonly admission: TurnAdmission;
  /** The client's name of a model, by the upstream's. */
  readonly callerModel: (name: string) => string;
  /** The session's, under the upstream's name, before the upstream says it; null: not known. */
  readonly sessionModel: string | null;
}

/** Requests kept while the upstream has not begun their responses (`at_answer`). */
const REQUESTS_MAX = 64;

/** A request whose response begins a turn only with the upstream's answer. */
interface PendingRequest {
  readonly request: TurnRequest;
  readonly asked: AskedTurn;
  readonly timeMs: number;
  /** Null: given back, because an upstream's error may have been about it. */
  readonly reservation: Reservation | null;
}

/** A tier as the client wrote it, and as it goes upstream; null: not at all. */
interface DecidedTiers {
  readonly requested: string;
  readonly decided: string | null;
}

/** What is metered of a session: all that its tap sees. */
export interface SessionMeterTap extends Omit<SessionTap, "clientMessage" | "upstreamMessage"> {
  /**
   * @param message as it goes upstream
   * @param tiers of the turns that it asks for, where a policy judged them, else as it says itself;
   *   of any other message those that the session holds
   * @param isQuiet whether it is known to mean nothing here, so that it need not be read
   */
  clientMessage(
    message: Message,
    tiers?: DecidedTiers | null,
    isQuiet?: boolean,
  ): Promise<void> | undefined;
  upstreamMessage(message: Message): Promise<void> | undefined;
}

/**
 * @returns the meter of one session
 * @throws from its methods what the ledger throws; the message must then not be forwarded
 */
export function createSessionMeter(options: SessionMeterOptions): SessionMeterTap {
  return new SessionMeter(options);
}

class SessionMeter implements SessionMeterTap {
  readonly #options: SessionMeterOptions;
  readonly #reader: MessageReader | null;
  readonly #table: TurnTable;
  #sessionModel: string | null;
  #transcriptionModel: string | null = null;
  /** What the session holds for turns that nobody asks for by a message. */
  #heldTiers: DecidedTiers | null = null;
  #requests: PendingRequest[] = [];
  /** Why a turn that the upstream began by itself ends the session. */
  #refusal: unknown = null;
  #ended = false;
  /** Since the last turn ended, or the session began. The ended turn is charged with all of it. */
  readonly #traffic = new TrafficCount();
  #closing: Promise<void> | undefined;

  constructor(options: SessionMeterOptions) {
    this.#options = options;
    this.#reader = messageReaderOf(options.dialect);
    this.#sessionModel = options.sessionModel;
    this.#table = new TurnTable(
      (turn, isOver) => this.#open(turn, isOver),
      (turn) => this.#close(turn, interruption(turn)),
    );
  }

  get turns(): number {
    return this.#table.count;
  }

  get turnsRunning(): number {
    return this.#table.runningCount + this.#requests.length;
  }

  clientMessage(
    message: Message,
    tiers: DecidedTiers | null = null,
    isQuiet = false,
  ): Promise<void> | undefined {
    const bytes = this.#traffic.up(message);
    const reader = this.#reader;
    const signal = (isQuiet ? reader?.quietSignal : reader?.clientSignal(message)) ?? null;
    if (signal?.signal === "requested") return this.#asked(signal, tiers, bytes);
    this.#heldTiers = tiers;
    if (signal?.signal === "other") this.#table.otherSent();
    else if (signal?.signal === "session") this.#session(signal);
    return undefined;
  }

  upstreamMessage(message: Message): Promise<void> | undefined {
    this.#traffic.down(message);
    const signal = this.#reader?.upstreamSignal(message) ?? null;
    if (signal === null) return undefined;
    if (signal.signal === "output") {
      if (this.#table.awaitsOutput) this.#output(message);
      return undefined;
    }
    this.#apply(signal);
    return this.#takeClosing();
  }

  /** One turn whose record fails keeps no other from its own; the first failure is thrown. */
  end(): Promise<void> | undefined {
    this.#ended = true;
    const failures: unknown[] = [];
    for (const request of this.#requests.splice(0)) {
      try {
        this.#begin(request);
      } catch (error) {
        failures.push(error);
      }
    }
    for (const turn of this.#table.drain()) {
      try {
        this.#close(turn, interruption(turn));
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    return this.#takeClosing();
  }

  /** What has to be on disk before more is forwarded. */
  #takeClosing(): Promise<void> | undefined {
    const closing = this.#closing;
    this.#closing = undefined;
    return closing;
  }

  #apply(signal: TurnSignal): void {
    if (signal.signal === "started") this.#started(signal);
    else if (signal.signal === "ended") this.#turnEnded(signal);
    else if (signal.signal === "refused") this.#refused(signal);
    else if (signal.signal === "session") this.#session(signal);
  }

  #asked(
    signal: RequestedSignal,
    tiers: DecidedTiers | null,
    frameBytes: number,
  ): Promise<void> | undefined {
    const nowMs = this.#options.clock.monotonicMs();
    const { outputTokensMax } = signal;
    const serviceTier = tiers === null ? signal.serviceTier : tiers.decided;
    const model = signal.model ?? (signal.isModelOpen === true ? null : this.#sessionModel);
    const requestedModel = this.#named(signal.model);
    const asked = { requestedModel, model, serviceTier, frameBytes, outputTokensMax };
    const admitted = this.#options.admission.admit(asked);
    const requestedTier = tiers?.requested ?? serviceTier;
    const request = { ...signal, model: requestedModel, serviceTier, requestedTier };
    const pending = { request, asked, timeMs: nowMs };
    if (!(admitted instanceof Promise))
      return this.#requested({ ...pending, reservation: admitted });
    return admitted.then((reservation) => this.#requested({ ...pending, reservation }));
  }

  /** A model as the client named it. */
  #named(model: string | null): string | null {
    return model === null ? null : this.#options.callerModel(model);
  }

  /** @throws what the ledger throws */
  #requested(pending: PendingRequest): undefined {
    if (this.#ended) pending.reservation?.release();
    else if (this.#reader?.turnsBegin === "at_request") this.#begin(pending);
    else this.#requests.push(pending);
    const oldest = this.#requests.length > REQUESTS_MAX ? this.#requests.shift() : undefined;
    if (oldest !== undefined) this.#begin(oldest);
  }

  /** A turn of its own from here on, whether or not the upstream answers. */
  #begin({ request, asked, timeMs, reservation }: PendingRequest): void {
    this.#table.requested(request, asked, timeMs, reservation);
  }

  /**
   * Which of them an upstream's error was about is not said. None keeps its place; one that is
   * answered all the same is charged for then.
   */
  #doubtRequests(): void {
    for (const { reservation } of this.#requests) reservation?.settle(0, 0);
    this.#requests = [];
  }

  #started(signal: StartedSignal): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (signal.kind === "transcription") {
      // Committed input is transcribed only where the session says so.
      if (this.#transcriptionModel === null) return;
      this.#table.started({ ...signal, model: this.#transcriptionModel }, nowMs);
    } else {
      const request = this.#requests.shift();
      const started = {
        ...signal,
        model: signal.model ?? this.#sessionModel,
        requestedModel: this.#named(signal.requestedModel ?? null),
      };
      const since = request?.timeMs ?? nowMs;
      const origin = request === undefined ? heldBy(this.#heldTiers) : originOf(request);
      const turn = this.#table.started(started, since, origin);
      if (turn.reservation === null) this.#take(turn);
    }
    if (signal.isOutput === true) this.#table.output({ key: signal.key, lane: signal.lane }, nowMs);
    this.#throwRefusal();
  }

  /** Whether the upstream has no names for its turns. */
  get #isNameless(): boolean {
    return this.#reader?.namesTurns === "reader";
  }

  /** A turn that nobody asked for is on record and charged for before it may end the session. */
  #throwRefusal(): void {
    const refusal = this.#refusal;
    this.#refusal = null;
    if (refusal !== null) throw refusal;
  }

  #output(message: Message): void {
    const nowMs = this.#options.clock.monotonicMs();
    const owner = this.#table.isAlone ? null : (this.#reader?.outputOf(message) ?? null);
    this.#table.output(owner, nowMs);
  }

  #turnEnded(signal: EndedSignal): void {
    const known = this.#table.count;
    const turn = this.#table.ended(signal, this.#options.clock.monotonicMs());
    // An end with a name that is no turn's repeats one.
    const isStray = turn === null ? signal.key === null : !this.#isNameless && turn.number > known;
    if (isStray) this.#parseFailed(turn?.number ?? 0, "unmatched_terminal");
    if (turn === null) return;
    turn.key ??= signal.key;
    turn.model = signal.model ?? turn.model ?? this.#modelOf(signal);
    turn.serviceTier = signal.serviceTier ?? turn.serviceTier;
    const { status, usage, terminal, errorCode } = signal;
    this.#close(turn, { status, usage, terminal, errorCode, httpStatus: null });
  }

  #modelOf(signal: EndedSignal): string | null {
    return signal.kind === "transcription" ? this.#transcriptionModel : this.#sessionModel;
  }

  #refused(signal: RefusedSignal): void {
    if (this.#reader?.turnsBegin === "at_answer") {
      // A response that comes late all the same is timed and charged for from its start.
      this.#doubtRequests();
      return;
    }
    const refusal = this.#table.refused(signal);
    if (refusal === null) return;
    const { turn } = refusal;
    if (!refusal.isCertain) return this.#doubt(turn);
    const { terminal, errorCode, httpStatus } = signal;
    // What was refused before it began cost nothing.
    const usage: UsageReading = { reading: "none_billed" };
    this.#close(turn, { status: "error", usage, terminal, errorCode, httpStatus });
  }

  /** It may never be answered, and must not keep its place until the session ends. */
  #doubt(turn: Turn): void {
    if (turn.key !== null) return;
    turn.reservation?.settle(0, 0);
    turn.reservation = null;
  }

  #session(signal: SessionSignal): void {
    if (signal.model !== null) {
      this.#options.admission.confirmModel(signal.model);
      this.#sessionModel = signal.model;
    }
    if (signal.transcriptionModel !== undefined) {
      if (signal.transcriptionModel !== null) {
        this.#options.admission.confirmTranscriptionModel(signal.transcriptionModel);
      }
      this.#transcriptionModel = signal.transcriptionModel;
    }
  }

  #open(turn: Turn, isOver: boolean): void {
    if (turn.reservation === null) this.#take(turn);
    // One that is over is paid for, and the next one is judged by itself.
    if (isOver) this.#refusal = null;
    const facts = factsOf(turn, interruption(turn), null, NO_TRAFFIC, this.#isNameless);
    try {
      this.#options.ledger.open(rowOf(this.#options, this.#options.context, facts));
    } catch (error) {
      // A turn that is over was billed: there is no refusing it, and its row is closed next.
      if (isOver) return;
      turn.reservation?.release();
      throw error;
    }
  }

  /** Charges for a turn that runs already. */
  #take(turn: Turn): void {
    const { reservation, refusal } = this.#charge(turn);
    turn.reservation = reservation;
    this.#refusal = refusal;
  }

  #charge({ asked, model, decidedServiceTier: serviceTier }: Turn): Charge {
    const unasked = {
      requestedModel: null,
      model,
      serviceTier,
      frameBytes: 0,
      outputTokensMax: null,
    };
    return this.#options.admission.charge(asked ?? unasked);
  }

  #parseFailed(turn: number, cause: ParseFailure): void {
    this.#options.report({ event: "usage_parse_failed", turn, cause });
  }

  #close(turn: Turn, ending: Ending): void {
    const { ledger, report, clock, context } = this.#options;
    if (ending.usage.reading === "malformed") {
      this.#parseFailed(turn.number, "malformed_usage");
    }
    if (turn.reservation === null && ending.usage.reading !== "none_billed") {
      turn.reservation = this.#charge(turn).reservation;
    }
    const durationMs = clock.monotonicMs() - turn.startedMs;
    const facts = factsOf(turn, ending, durationMs, this.#traffic.take(), this.#isNameless);
    const row = rowOf(this.#options, context, facts);
    turn.reservation?.settle(tokensOf(row), row.settled_micros);
    const written = ledger.close(row);
    if (written !== undefined) {
      this.#closing = Promise.all([this.#closing, written]).then(() => undefined);
    }
    report({ event: "relay_turn_completed", row, terminal: ending.terminal });
  }
}

/** What a turn that begins with its answer has of its request. */
function originOf({ request, asked, reservation }: PendingRequest) {
  return {
    asked,
    reservation,
    requestedServiceTier: request.requestedTier,
    decidedServiceTier: request.serviceTier,
  };
}

/** The same of a turn without a request, in a session that holds these tiers. */
function heldBy(tiers: DecidedTiers | null) {
  if (tiers === null) return {};
  return { requestedServiceTier: tiers.requested, decidedServiceTier: tiers.decided };
}
