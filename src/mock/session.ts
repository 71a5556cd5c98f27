/**
 * A WebSocket session of the simulated provider: sends what a dialogue says, with the delays and
 * faults that the script asks for, and replays recorded sessions.
 *
 * Owns: order, pace, back-pressure and the end of the session. Does not own: what is said.
 * Invariant: what was sent and not taken by the kernel stays below `QUEUED_BYTES_MAX` and one
 * event; a client that reads nothing stops the turns, and loses nothing of them.
 */

import type { Message } from "../exchange.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import type { Socket, SocketHandler } from "../runtime/runtime.ts";
import type { OutputEvent } from "./answer.ts";
import type { TranscriptStep } from "./fixtures.ts";
import type { Recording } from "./recorder.ts";
import type { Script } from "./script.ts";

const QUEUED_BYTES_MAX = 1024 * 1024;
const GARBAGE_TEXT = "}{ this is no JSON";
const GARBAGE_BYTES = new Uint8Array([0x00, 0xff, 0x7b, 0xc3, 0x28]);

/** What the next event of a turn waits for. */
type Pause = "delay" | "room" | "fault" | "end";

/** How a turn ended: all was sent, or the session is over. */
type PlayResult = "played" | "over";

/** One side of a WebSocket conversation. */
export interface Dialogue {
  /** Whether what it says goes out in binary frames. */
  readonly isBinary?: true;
  opened(session: MockSession): void;
  message(session: MockSession, text: string): void;
  closed(): void;
}

export class MockSession implements SocketHandler {
  /** The script of the handshake; each turn begins from it. */
  readonly script: Script;
  readonly #clock: Clock;
  readonly #recording: Recording;
  readonly #dialogue: Dialogue;
  readonly #encoder = new TextEncoder();
  #socket: Socket | null = null;
  #over = false;
  #wakeWriters: (() => void)[] = [];
  readonly #timers = new Set<Timer>();

  constructor(clock: Clock, script: Script, recording: Recording, dialogue: Dialogue) {
    this.#clock = clock;
    this.script = script;
    this.#recording = recording;
    this.#dialogue = dialogue;
  }

  get isOver(): boolean {
    return this.#over;
  }

  opened(socket: Socket): void {
    this.#socket = socket;
    this.#dialogue.opened(this);
  }

  message(message: Message): void {
    this.#recording.addFrame(message);
    // JSON in binary frames is taken as well; a gateway must not count on its being refused.
    const text = typeof message === "string" ? message : new TextDecoder().decode(message);
    if (!this.#over) this.#dialogue.message(this, text);
  }

  drained(): void {
    for (const wake of this.#wakeWriters.splice(0)) wake();
  }

  ponged(): void {}

  closed(code: number, reason: string): void {
    this.#recording.closed = { code, reason };
    this.#recording.ended(code === 1006 ? "aborted" : "answered");
    this.#end();
    this.#dialogue.closed();
  }

  /** Sends one event at once. */
  send(message: Message): void {
    if (!this.#over) this.#socket?.send(message);
  }

  /** Sends one event at once, in the kind of frame that the dialogue speaks in. */
  say(text: string): void {
    this.send(this.#dialogue.isBinary === true ? this.#encoder.encode(text) : text);
  }

  /** @param code 1005 sends none */
  close(code: number, reason: string): void {
    if (this.#over) return;
    this.#socket?.close(code === 1005 ? null : code, reason);
    this.#end();
  }

  /**
   * Sends the events of a turn, and does in between what its script asks for. Events are made one
   * by one as they are sent, so that what happens meanwhile can change the rest.
   */
  async play(events: Iterable<OutputEvent>, script: Script): Promise<PlayResult> {
    if (script.hang) return "played";
    if (script.firstDelayMs > 0) await this.sleep(script.firstDelayMs);
    const turn = new Turn(events, script);
    while (!this.#over) {
      const pause = this.#burst(turn);
      if (pause === "end") return this.#over ? "over" : "played";
      if (pause === "delay") await this.sleep(script.eachDelayMs);
      else if (pause === "room") await this.#writable();
      else this.#fault(script);
    }
    return "over";
  }

  /** Replays a recorded session; `awaitClient` resolves with each of the client's frames. */
  async replay(steps: readonly TranscriptStep[], awaitClient: () => Promise<void>): Promise<void> {
    const encoder = new TextEncoder();
    for (const step of steps) {
      if (this.#over || step.step === "client_close") return;
      if (step.step === "await_client") {
        await awaitClient();
      } else if (step.step === "close") {
        this.close(step.code, step.reason);
      } else {
        if (this.script.eachDelayMs > 0) await this.sleep(this.script.eachDelayMs);
        this.send(step.binary ? encoder.encode(step.text) : step.text);
        if (this.#isFull()) await this.#writable();
      }
    }
  }

  /** Resolves after `delayMs`, or when the session ends. */
  sleep(delayMs: number): Promise<void> {
    if (this.#over) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        this.#timers.delete(timer);
        resolve();
      };
      const timer = this.#clock.after(delayMs, done);
      this.#timers.add({ cancel: () => (timer.cancel(), resolve()) });
    });
  }

  /** Sends in one system call what can be sent now, and says what the rest waits for. */
  #burst(turn: Turn): Pause {
    let pause: Pause = "room";
    this.#socket?.cork(() => {
      pause = this.#step(turn);
    });
    return pause;
  }

  #step(turn: Turn): Pause {
    while (!this.#over) {
      // Not here: a connection that is dropped while corked would lose what was sent before.
      if (turn.faultDue) return "fault";
      const step = turn.next();
      if (step === "end" || step === "delay") return step;
      this.say(step.text);
      if (this.#isFull()) return "room";
    }
    return "end";
  }

  #fault(script: Script): void {
    if (script.drop) {
      this.#socket?.terminate();
      this.#end();
    } else if (script.close !== null) {
      this.close(script.close, "as scripted");
    } else if (script.garbage !== null) {
      this.send(script.garbage === "binary" ? GARBAGE_BYTES : GARBAGE_TEXT);
    }
  }

  #isFull(): boolean {
    return (this.#socket?.bufferedBytes ?? 0) > QUEUED_BYTES_MAX;
  }

  #writable(): Promise<void> {
    if (this.#over || !this.#isFull()) return Promise.resolve();
    return new Promise((resolve) => this.#wakeWriters.push(resolve));
  }

  #end(): void {
    this.#over = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.drained();
  }
}

/** The events of a turn with its script: where the next one waits, and when a fault is due. */
class Turn {
  readonly script: Script;
  readonly #events: Iterator<OutputEvent>;
  #ahead: IteratorResult<OutputEvent> | null = null;
  #waited = false;
  #count = 0;
  #faulted: boolean;

  constructor(events: Iterable<OutputEvent>, script: Script) {
    this.script = script;
    this.#events = events[Symbol.iterator]();
    this.#faulted = !script.drop && script.close === null && script.garbage === null;
  }

  /** True once: where the script's fault belongs. */
  get faultDue(): boolean {
    if (this.#faulted) return false;
    this.#ahead ??= this.#events.next();
    // A turn that is shorter than `after` has it at its end.
    const due = this.#count === (this.script.after ?? 1) || this.#ahead.done === true;
    this.#faulted = due;
    return due;
  }

  next(): OutputEvent | "delay" | "end" {
    this.#ahead ??= this.#events.next();
    if (this.#ahead.done === true) return "end";
    const event = this.#ahead.value;
    if (event.delta && this.script.eachDelayMs > 0 && !this.#waited) {
      this.#waited = true;
      return "delay";
    }
    this.#waited = false;
    this.#ahead = null;
    this.#count += 1;
    return event;
  }
}
