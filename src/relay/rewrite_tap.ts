/**
 * The tap of an answer in which words are changed on their way down: in each event of a stream, or
 * in a body of one piece.
 *
 * Owns: cutting the answer into what can be changed as a whole, and holding what is not complete.
 * Does not own: what is changed (`provider/model_field.ts`), the tap that sees the answer first.
 * Invariant: all that is not changed goes on as it came and in order. What is held is bounded; what
 * is larger goes on as it is.
 */

import { Buffer } from "node:buffer";

import type { BodyTap } from "../exchange.ts";
import { JsonArraySplitter } from "../provider/json_array.ts";
import type { MaybePromise } from "../runtime/runtime.ts";

/** Takes a JSON text and returns the one to go on in its place; the same where nothing changes. */
type Rewrite = (json: string) => string;

/** `events`: an SSE stream; `array`: a stream that is one JSON array; `body`: one piece. */
export type AnswerShape = "events" | "array" | "body";

const LF = 0x0a;
const DATA_LINE = /^(data: ?)(.*?)(\r?)$/s;

/** Cuts what passes. Bytes given to it belong to it. */
interface Cutter {
  /** What may go on now. */
  push(bytes: Buffer): Buffer;
  /** The rest. */
  end(): Buffer;
}

export class RewriteTap implements BodyTap {
  readonly #inner: BodyTap;
  readonly #cutter: Cutter;

  /**
   * @param inner sees the answer before it is changed
   * @param bytesMax longest event or body that is changed
   */
  constructor(inner: BodyTap, shape: AnswerShape, rewrite: Rewrite, bytesMax: number) {
    this.#inner = inner;
    this.#cutter = cutterOf(shape, rewrite, bytesMax);
  }

  chunk(bytes: Uint8Array): MaybePromise<Uint8Array | null> {
    const out = this.#inner.chunk(bytes);
    return out instanceof Promise ? out.then((it) => this.#push(it)) : this.#push(out);
  }

  end(): MaybePromise<Uint8Array | null> {
    const out = this.#inner.end();
    return out instanceof Promise ? out.then((it) => this.#finish(it)) : this.#finish(out);
  }

  abort(): void {
    this.#inner.abort();
  }

  #push(bytes: Uint8Array | null): Uint8Array | null {
    return bytes === null ? null : filled(this.#cutter.push(viewOf(bytes)));
  }

  #finish(bytes: Uint8Array | null): Uint8Array | null {
    const before = bytes === null ? EMPTY : this.#cutter.push(viewOf(bytes));
    return filled(joined(before, this.#cutter.end()));
  }
}

function cutterOf(shape: AnswerShape, rewrite: Rewrite, bytesMax: number): Cutter {
  if (shape === "events") return new LineCutter(rewrite, bytesMax);
  return shape === "array"
    ? new ObjectCutter(rewrite, bytesMax)
    : new WholeCutter(rewrite, bytesMax);
}

/** Of events the data, line by line: no provider breaks the JSON of an event over two. */
class LineCutter implements Cutter {
  readonly #rewrite: Rewrite;
  readonly #bytesMax: number;
  #held = EMPTY;

  constructor(rewrite: Rewrite, bytesMax: number) {
    this.#rewrite = rewrite;
    this.#bytesMax = bytesMax;
  }

  push(bytes: Buffer): Buffer {
    const all = joined(this.#held, bytes);
    const next = all.lastIndexOf(LF) + 1;
    const isTooLong = all.length - next > this.#bytesMax;
    this.#held = isTooLong ? EMPTY : Buffer.from(all.subarray(next));
    const lines = this.#changed(all.subarray(0, next));
    return isTooLong ? joined(lines, all.subarray(next)) : lines;
  }

  end(): Buffer {
    const rest = this.#held;
    this.#held = EMPTY;
    return this.#changed(rest);
  }

  #changed(bytes: Buffer): Buffer {
    const text = bytes.toString("utf8");
    const changed = text.split("\n").map((line) => {
      const [, name, json = "", end = ""] = DATA_LINE.exec(line) ?? [];
      return name === undefined ? line : name + this.#rewrite(json) + end;
    });
    return edited(bytes, text, changed.join("\n"));
  }
}

/** The objects of a JSON array, each when it is complete. */
class ObjectCutter implements Cutter {
  readonly #splitter: JsonArraySplitter;
  readonly #rewrite: Rewrite;
  /** The objects that ended in the current chunk, and how much lies behind each. */
  #objects: { readonly json: string; readonly bytes: number; readonly end: number }[] = [];
  /** The beginning of an object that is not complete. */
  #held = EMPTY;

  constructor(rewrite: Rewrite, bytesMax: number) {
    this.#rewrite = rewrite;
    this.#splitter = new JsonArraySplitter((source, start, end) => {
      const json = viewOf(source.subarray(start, end)).toString("utf8");
      this.#objects.push({ json, bytes: end - start, end: this.#splitter.objectEnd });
    }, bytesMax);
  }

  push(bytes: Buffer): Buffer {
    this.#splitter.push(bytes);
    const all = joined(this.#held, bytes);
    const shift = this.#held.length;
    const parts: Buffer[] = [];
    let at = 0;
    for (const { json, bytes: length, end } of this.#objects) {
      const start = shift + end - length;
      const object = all.subarray(start, shift + end);
      parts.push(all.subarray(at, start), edited(object, json, this.#rewrite(json)));
      at = shift + end;
    }
    this.#objects = [];
    const open = Math.max(at, all.length - this.#splitter.openBytes);
    this.#held = Buffer.from(all.subarray(open));
    return joined(...parts, all.subarray(at, open));
  }

  end(): Buffer {
    const rest = this.#held;
    this.#held = EMPTY;
    return rest;
  }
}

/** Everything, when all of it has come. */
class WholeCutter implements Cutter {
  readonly #rewrite: Rewrite;
  readonly #bytesMax: number;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isTooLong = false;

  constructor(rewrite: Rewrite, bytesMax: number) {
    this.#rewrite = rewrite;
    this.#bytesMax = bytesMax;
  }

  push(bytes: Buffer): Buffer {
    if (this.#isTooLong) return bytes;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes <= this.#bytesMax) return EMPTY;
    this.#isTooLong = true;
    return this.#take();
  }

  end(): Buffer {
    const bytes = this.#take();
    if (this.#isTooLong) return bytes;
    const text = bytes.toString("utf8");
    return edited(bytes, text, this.#rewrite(text));
  }

  #take(): Buffer {
    const bytes = joined(...this.#held);
    this.#held = [];
    return bytes;
  }
}

const EMPTY = Buffer.alloc(0);

/** The very bytes where the text did not change: what is no UTF-8 reads as what it is not. */
function edited(bytes: Buffer, text: string, changed: string): Buffer {
  return changed === text ? bytes : Buffer.from(changed, "utf8");
}

function joined(...parts: readonly Buffer[]): Buffer {
  const some = parts.filter((part) => part.length > 0);
  return some.length > 1 ? Buffer.concat(some) : (some[0] ?? EMPTY);
}

function filled(bytes: Buffer): Uint8Array | null {
  return bytes.length === 0 ? null : bytes;
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
