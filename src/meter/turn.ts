/**
 * The turns of a session: which of them run, and which one an upstream event is about.
 *
 *   request ──▶ unanswered ──started──▶ running ──ended──▶ gone
 *
 * Owns: numbers, matching by response id, item id and lane, and the time of the first output.
 * Does not own: the ledger. Whoever calls opens and closes the rows.
 * Invariant: a turn is numbered once, when it starts, and leaves the table once, when it ends.
 * Creates and responses are never paired by their order across lanes; within one lane the protocol
 * is FIFO. An error never takes out a turn that the upstream has begun, nor a request that it may
 * still be going to answer: clients can provoke errors at will, and what comes after one still
 * costs.
 */

import type { Reservation, TurnKind } from "../exchange.ts";
import type {
  EndedSignal,
  OutputOwner,
  RefusedSignal,
  RequestedSignal,
  StartedSignal,
} from "../provider/provider.ts";
import type { AskedTurn } from "./turn_admission.ts";

/** Turns kept of a session. An upstream that begins more without ending any is not believed. */
const TURNS_RUNNING_MAX = 1024;
/** Keys of ended turns kept, to know a second terminal event for what it is. */
const ENDED_KEYS_MAX = 256;

/** An error that may have ended a turn, or may have been about something else. */
interface NotedError extends Pick<RefusedSignal, "terminal" | "errorCode" | "httpStatus"> {
  /** The turn was refused before it began: its lane has answered a later request since. */
  readonly isCertain: boolean;
}

/** What an error event is about. */
interface Refusal {
  readonly turn: Turn;
  /** False: maybe; the turn stays in the table. */
  readonly isCertain: boolean;
}

/** A request as it goes upstream, with the tier that the client asked for. */
export interface TurnRequest extends RequestedSignal {
  readonly requestedTier: string | null;
}

export interface Turn {
  readonly number: number;
  readonly kind: TurnKind;
  readonly lane: string | null;
  /** Monotonic time of the request, or of the upstream's first event where nobody asked. */
  readonly startedMs: number;
  readonly requestedModel: string | null;
  readonly requestedServiceTier: string | null;
  readonly decidedServiceTier: string | null;
  readonly warmup: boolean;
  /** Null: nobody asked for it. */
  readonly asked: AskedTurn | null;
  /** Null until it is charged for: nobody asked, or it was given back when an error came. */
  reservation: Reservation | null;
  /** Response id or item id; null: not answered yet. */
  key: string | null;
  /** What the last event of the turn carried. */
  model: string | null;
  serviceTier: string | null;
  background: boolean;
  firstTokenMs: number | null;
  /** Counts if nothing else is heard of the turn; its own terminal event always wins. */
  error: NotedError | null;
}

/** What a turn that begins with its answer has of its request. */
type TurnOrigin = Partial<
  Pick<Turn, "asked" | "requestedServiceTier" | "decidedServiceTier" | "reservation">
>;

/** What a new turn begins with. */
type TurnSeed = Pick<
  Turn,
  | "asked"
  | "kind"
  | "lane"
  | "startedMs"
  | "requestedModel"
  | "requestedServiceTier"
  | "decidedServiceTier"
> &
  Pick<Turn, "warmup" | "reservation" | "key" | "model" | "serviceTier" | "background">;

export class TurnTable {
  readonly #opened: (turn: Turn, isOver: boolean) => void;
  readonly #abandoned: (turn: Turn) => void;
  readonly #running: Turn[] = [];
  readonly #endedKeys = new Set<string>();
  /** Lanes in which the upstream goes on by itself, with the tier the next response inherits. */
  readonly #successors = new Map<string | null, string | null>();
  #count = 0;
  /** Answered turns without output so far. */
  #silent = 0;
  #answered = 0;
  /** Whether the client sent something else that an error may be the answer to. */
  #otherSent = false;

  /**
   * @param opened called with each new turn before it counts, and whether it is over at once; what
   *   it throws keeps the turn out
   * @param abandoned called with a turn that was taken out without a terminal event
   */
  constructor(opened: (turn: Turn, isOver: boolean) => void, abandoned: (turn: Turn) => void) {
    this.#opened = opened;
    this.#abandoned = abandoned;
  }

  /** Turns started so far. */
  get count(): number {
    return this.#count;
  }

  get runningCount(): number {
    return this.#running.length;
  }

  /** Whether output still has to be looked at: some answered turn has none yet. */
  get awaitsOutput(): boolean {
    return this.#silent > 0;
  }

  /** Whether output can only belong to one turn, so that it need not be parsed. */
  get isAlone(): boolean {
    return this.#answered === 1;
  }

  /** A request that the upstream will answer, and what was set aside for it. */
  requested(
    signal: TurnRequest,
    asked: AskedTurn,
    nowMs: number,
    reservation: Reservation | null,
  ): void {
    this.#open({
      kind: "response",
      lane: signal.lane,
      startedMs: nowMs,
      requestedModel: signal.model,
      requestedServiceTier: signal.requestedTier,
      decidedServiceTier: signal.serviceTier,
      warmup: signal.warmup,
      asked,
      reservation,
      key: null,
      model: null,
      serviceTier: null,
      background: false,
    });
  }

  /** A message that asks for no turn. From now on an error may be the answer to such a one. */
  otherSent(): void {
    this.#otherSent = true;
  }

  /**
   * The upstream began `signal.key`: an answer to a request of its lane, or a turn of its own.
   * @param request what is known of the request, where a turn begins with its answer
   */
  started(signal: StartedSignal, startedMs: number, request: TurnOrigin = {}): Turn {
    const known = this.#byKey(signal.key, signal.kind);
    const turn =
      known ??
      this.#answerable(signal) ??
      this.#open({ ...seedOf(signal, startedMs, this), ...request });
    if (turn.key === null) {
      turn.key = signal.key;
      turn.error = null;
      this.#answered++;
      this.#silent++;
    }
    this.#endedKeys.delete(signal.key);
    turn.model = signal.model ?? turn.model;
    turn.serviceTier = signal.serviceTier ?? turn.serviceTier;
    turn.background ||= signal.background;
    if (known === null && turn.kind === "response") this.#abandonBroken(turn);
    return turn;
  }

  /** Notes the first output of a turn. `owner` is null where only one turn is answered. */
  output(owner: OutputOwner | null, nowMs: number): void {
    const turn = this.#running.find((each) =>
      owner === null
        ? each.key !== null
        : each.key !== null &&
          (owner.key === null ? each.lane === owner.lane : each.key === owner.key),
    );
    if (turn === undefined || turn.firstTokenMs !== null) return;
    turn.firstTokenMs = nowMs - turn.startedMs;
    this.#silent--;
  }

  /**
   * Takes the turn that a terminal event ends out of the table.
   * @param nowMs when it began, if this event is the first that is heard of it
   * @returns null: the event is about no turn, or repeats an end
   */
  ended(signal: EndedSignal, nowMs: number): Turn | null {
    const turn = this.#endedTurn(signal, nowMs);
    if (turn === null) return null;
    if (signal.continues) this.#successors.set(turn.lane, turn.decidedServiceTier);
    if (this.#successors.size > TURNS_RUNNING_MAX) this.#successors.clear();
    this.#remove(turn);
    if (signal.key !== null) this.#rememberEnded(signal.key);
    return turn;
  }

  /**
   * Takes the request that an error refuses out of the table: its lane's oldest one that is not
   * answered, or, where the lane is what was wrong, the newest that names one, else the newest.
   * The error is only noted where it breaks off a started response, whose own terminal event may
   * follow, and where it may be about another message than that request.
   * @returns null: it is about no turn
   */
  refused(signal: RefusedSignal): Refusal | null {
    const { terminal, errorCode, httpStatus } = signal;
    const broken = signal.about === "response" ? this.#startedIn(signal.lane) : null;
    const waiting = this.#running.filter(
      (each) => each.key === null && (!signal.laneKnown || each.lane === signal.lane),
    );
    const unnoted = waiting.filter((each) => each.error === null);
    const request = signal.laneKnown
      ? unnoted[0]
      : (unnoted.findLast((each) => each.lane !== null) ?? unnoted.at(-1));
    const turn = broken ?? request ?? null;
    if (turn === null) return null;
    if (turn === broken || this.#otherSent || waiting.length > 1) {
      turn.error = { terminal, errorCode, httpStatus, isCertain: false };
      return { turn, isCertain: false };
    }
    this.#remove(turn);
    return { turn, isCertain: true };
  }

  /** Takes out all that is left. */
  drain(): Turn[] {
    this.#silent = 0;
    this.#answered = 0;
    return this.#running.splice(0);
  }

  /** The tier that a response nobody asked for inherits in this lane; null: none is expected. */
  inheritedTier(lane: string | null): string | null {
    return this.#successors.get(lane) ?? null;
  }

  #endedTurn(signal: EndedSignal, nowMs: number): Turn | null {
    const { key, lane, kind } = signal;
    if (key !== null) {
      const known = this.#byKey(key, kind);
      if (known !== null) return known;
    } else {
      const started = this.#startedIn(lane);
      if (started !== null) return started;
    }
    // Response ids repeat in the wild: an end that is known already may still be that of a new
    // request.
    const waiting = kind === "response" ? this.#unanswered(lane, signal) : null;
    if (waiting !== null) return waiting;
    if (key === null ? signal.usage.reading === "absent" : this.#endedKeys.has(key)) return null;
    return this.#open(seedOf({ ...signal, key, background: false }, nowMs, this), true);
  }

  /**
   * Takes out what an error broke off before this response, or refused: a lane answers its requests
   * in their order, and would not have begun this one before.
   */
  #abandonBroken(successor: Turn): void {
    const broken = this.#running.filter(
      (each) =>
        each.error !== null &&
        each.lane === successor.lane &&
        (each.key !== null ? each !== successor : each.number < successor.number),
    );
    for (const turn of broken) {
      if (turn.error !== null && turn.key === null) turn.error = { ...turn.error, isCertain: true };
      this.#remove(turn);
      this.#abandoned(turn);
    }
  }

  /** The request that this response answers; null: nobody asked for it. */
  #answerable(signal: StartedSignal): Turn | null {
    if (signal.kind !== "response") return null;
    if (this.#successors.has(signal.lane)) return null;
    const inLane = this.#unanswered(signal.lane, signal);
    if (inLane !== null || signal.lane !== null) return inLane;
    // An upstream that knows no lanes answers all of them in the one it has.
    const waiting = this.#running.filter((each) => each.key === null);
    return likeliest(waiting, signal);
  }

  #byKey(key: string, kind: TurnKind): Turn | null {
    return this.#running.find((turn) => turn.key === key && turn.kind === kind) ?? null;
  }

  /** The lane's request that an event with this model and tier is about. */
  #unanswered(lane: string | null, event: ModelAndTier): Turn | null {
    const waiting = this.#running.filter((turn) => turn.key === null && turn.lane === lane);
    return likeliest(waiting, event);
  }

  #startedIn(lane: string | null): Turn | null {
    const isIt = (turn: Turn) =>
      turn.key !== null && turn.lane === lane && turn.kind === "response";
    return this.#running.find(isIt) ?? null;
  }

  #open(seed: TurnSeed, isOver = false): Turn {
    const turn: Turn = { ...seed, number: this.#count + 1, firstTokenMs: null, error: null };
    this.#opened(turn, isOver);
    this.#count++;
    this.#running.push(turn);
    if (turn.key !== null) {
      this.#answered++;
      this.#silent++;
      this.#successors.delete(turn.lane);
    }
    const oldest = this.#running[0];
    if (this.#running.length > TURNS_RUNNING_MAX && oldest !== undefined) {
      this.#remove(oldest);
      this.#abandoned(oldest);
    }
    return turn;
  }

  #remove(turn: Turn): void {
    this.#running.splice(this.#running.indexOf(turn), 1);
    if (turn.key === null) return;
    this.#answered--;
    if (turn.firstTokenMs === null) this.#silent--;
  }

  #rememberEnded(key: string): void {
    this.#endedKeys.add(key);
    const oldest = this.#endedKeys.values().next().value;
    if (this.#endedKeys.size > ENDED_KEYS_MAX && oldest !== undefined) {
      this.#endedKeys.delete(oldest);
    }
  }
}

type ModelAndTier = Pick<StartedSignal, "model" | "serviceTier">;

/**
 * Which of a lane's requests, oldest first, an answer is to: the oldest. Once an error may have
 * been about one of them, the one sent with what the answer names, those without an error first.
 */
function likeliest(waiting: readonly Turn[], answer: ModelAndTier): Turn | null {
  const [oldest] = waiting;
  if (oldest === undefined) return null;
  if (waiting.every((turn) => turn.error === null)) return oldest;
  let best = oldest;
  for (const turn of waiting) if (likeness(turn, answer) > likeness(best, answer)) best = turn;
  return best;
}

/** The model weighs most: an answer names it in full, as `name-date`. A tier may be left open. */
function likeness(turn: Turn, answer: ModelAndTier): number {
  const asked = turn.asked?.model ?? turn.requestedModel;
  const model = answer.model?.startsWith(asked ?? "") === false ? 0 : 8;
  const [decided, served] = [turn.decidedServiceTier, answer.serviceTier];
  const tier = decided === served ? 4 : decided === null || served === null ? 2 : 0;
  return model + tier + (turn.error === null ? 1 : 0);
}

/** A turn that nobody asked for. It inherits what the lane's response before it was sent with. */
function seedOf(
  signal: Pick<
    StartedSignal,
    "kind" | "lane" | "model" | "serviceTier" | "background" | "requestedModel"
  > & {
    readonly key: string | null;
  },
  startedMs: number,
  table: TurnTable,
): TurnSeed {
  return {
    kind: signal.kind,
    lane: signal.lane,
    startedMs,
    requestedModel: signal.requestedModel ?? null,
    requestedServiceTier: null,
    decidedServiceTier: table.inheritedTier(signal.lane),
    warmup: false,
    asked: null,
    reservation: null,
    key: signal.key,
    model: signal.model,
    serviceTier: signal.serviceTier,
    background: signal.background,
  };
}
