/**
 * The turns of a session: which of them run, and which one an upstream event is about.
 *
 *   request ──▶ unanswered ──started──▶ running ──ended──▶ gone
 *
 * Owns: numbers, matching by response id, item id and lane, and the time of the first output.
 * Does not own: the ledger. Whoever calls opens and closes the rows.
 * Invariant: a turn is numbered once, when it starts, and leaves the table once, when it ends. Creates
 * and responses are never paired by their order across lanes; within one lane the protocol is FIFO.
 */

import type { TurnKind } from "../exchange.ts";
import type {
  EndedSignal,
  OutputOwner,
  RefusedSignal,
  RequestedSignal,
  StartedSignal,
} from "../provider/provider.ts";

/** Turns kept of a session. An upstream that begins more without ending any is not to be believed. */
const TURNS_RUNNING_MAX = 1024;
/** Keys of ended turns kept, to know a second terminal event for what it is. */
const ENDED_KEYS_MAX = 256;

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
  /** Response id or item id; null: not answered yet. */
  key: string | null;
  /** What the last event of the turn carried. */
  model: string | null;
  serviceTier: string | null;
  background: boolean;
  firstTokenMs: number | null;
}

/** What a new turn begins with. */
export type TurnSeed = Pick<
  Turn,
  "kind" | "lane" | "startedMs" | "requestedModel" | "requestedServiceTier" | "decidedServiceTier"
> &
  Pick<Turn, "warmup" | "key" | "model" | "serviceTier" | "background">;

export class TurnTable {
  readonly #opened: (turn: Turn) => void;
  readonly #evicted: (turn: Turn) => void;
  readonly #running: Turn[] = [];
  readonly #endedKeys = new Set<string>();
  /** Lanes in which the upstream goes on by itself, with the tier that the next response inherits. */
  readonly #successors = new Map<string | null, string | null>();
  #count = 0;
  /** Answered turns without output so far. */
  #silent = 0;
  #answered = 0;

  /**
   * @param opened called with each new turn before it counts; what it throws keeps the turn out
   * @param evicted called with the oldest turn when there are too many
   */
  constructor(opened: (turn: Turn) => void, evicted: (turn: Turn) => void) {
    this.#opened = opened;
    this.#evicted = evicted;
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

  /** A request that the upstream will answer. */
  requested(signal: RequestedSignal, nowMs: number): void {
    this.#open({
      kind: "response",
      lane: signal.lane,
      startedMs: nowMs,
      requestedModel: signal.model,
      requestedServiceTier: signal.serviceTier,
      decidedServiceTier: signal.serviceTier,
      warmup: signal.warmup,
      key: null,
      model: null,
      serviceTier: null,
      background: false,
    });
  }

  /** The upstream began `signal.key`: the answer to its lane's oldest request, or a turn of its own. */
  started(signal: StartedSignal, startedMs: number): void {
    const known = this.#byKey(signal.key, signal.kind);
    const turn = known ?? this.#answerable(signal) ?? this.#open(seedOf(signal, startedMs, this));
    if (turn.key === null) {
      turn.key = signal.key;
      this.#answered++;
      this.#silent++;
    }
    this.#endedKeys.delete(signal.key);
    turn.model = signal.model ?? turn.model;
    turn.serviceTier = signal.serviceTier ?? turn.serviceTier;
    turn.background ||= signal.background;
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
   * Takes the turn that an error ends out of the table: the started response of its lane, else the
   * lane's oldest request that is not answered, else the newest unanswered one.
   */
  refused(signal: RefusedSignal): Turn | null {
    const turn =
      (signal.laneKnown ? this.#inLane(signal.lane) : null) ??
      this.#running.findLast((each) => each.key === null) ??
      null;
    if (turn === null) return null;
    this.#remove(turn);
    if (turn.key !== null) this.#rememberEnded(turn.key);
    return turn;
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
      const started = this.#inLane(lane);
      if (started !== null) return started;
    }
    // Response ids repeat in the wild: an end that is known already may still be that of a new request.
    const waiting = kind === "response" ? this.#unanswered(lane) : null;
    if (waiting !== null) return waiting;
    if (key === null ? signal.usage.reading === "absent" : this.#endedKeys.has(key)) return null;
    return this.#open(seedOf({ ...signal, key, background: false }, nowMs, this));
  }

  /** The request that this response answers; null: nobody asked for it. */
  #answerable(signal: StartedSignal): Turn | null {
    if (signal.kind !== "response") return null;
    if (this.#successors.has(signal.lane)) return null;
    const inLane = this.#unanswered(signal.lane);
    // An upstream that knows no lanes answers all of them in the one it has.
    const oldest = signal.lane === null ? this.#running.find((each) => each.key === null) : null;
    return inLane ?? oldest ?? null;
  }

  #byKey(key: string, kind: TurnKind): Turn | null {
    return this.#running.find((turn) => turn.key === key && turn.kind === kind) ?? null;
  }

  #unanswered(lane: string | null): Turn | null {
    return this.#running.find((turn) => turn.key === null && turn.lane === lane) ?? null;
  }

  /** The lane's started response, else its oldest request. */
  #inLane(lane: string | null): Turn | null {
    const started = this.#running.find(
      (turn) => turn.key !== null && turn.lane === lane && turn.kind === "response",
    );
    return started ?? this.#unanswered(lane);
  }

  #open(seed: TurnSeed): Turn {
    const turn: Turn = { ...seed, number: this.#count + 1, firstTokenMs: null };
    this.#opened(turn);
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
      this.#evicted(oldest);
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

/** A turn that nobody asked for. It inherits what the response before it in its lane was sent with. */
function seedOf(
  signal: Pick<StartedSignal, "kind" | "lane" | "model" | "serviceTier" | "background"> & {
    readonly key: string | null;
  },
  startedMs: number,
  table: TurnTable,
): TurnSeed {
  return {
    kind: signal.kind,
    lane: signal.lane,
    startedMs,
    requestedModel: null,
    requestedServiceTier: null,
    decidedServiceTier: table.inheritedTier(signal.lane),
    warmup: false,
    key: signal.key,
    model: signal.model,
    serviceTier: signal.serviceTier,
    background: signal.background,
  };
}
