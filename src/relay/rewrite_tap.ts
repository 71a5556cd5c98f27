/**
 * The tap of an answer in which words are changed on their way down: in each event of a stream, or
 * in a body of one piece.
 *
 * Owns: cutting the answer into what can be changed as a whole, and holding what is not complete.
 * Does not own: what is changed (`provider/model_field.ts`), the tap that sees the answer first.
 * Invariant: all that is not changed goes on as it came and in order. What is held is bounded; what
 * is larger goes on as it is.
 */

import { Buffer, isUtf8 } from "node:buffer";

import type { BodyTap } from "../exchange.ts";
import { asBuffer } from "../lib/bytes.ts";
import { JsonArraySplitter } from "../provider/json_array.ts";
import type { MaybePromise } from "../runtime/runtime.ts";

/** Takes a JSON text and returns the one to go on in its place; the same where nothing changes. */
type Rewrite = (json: string) => string;

/** `events`: an SSE stream; `array`: a stream that is one JSON array; `body`: one piece. */
export type AnswerShape = "events" | "array" | "body";

const LF = 0x0a;
/** `data:` */
const DATA = [0x64, 0x61, 0x74, 0x61, 0x3a] as const;
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
    return bytes === null ? null : filled(this.#cutter.push(asBuffer(bytes)));
  }

  #finish(bytes: Uint8Array | null): Uint8Array | null {
    const before = bytes === null ? EMPTY : this.#cutter.push(asBuffer(bytes));
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
  readonly #held: Held;

  constructor(rewrite: Rewrite, bytesMax: number) {
    this.#rewrite = rewrite;
    this.#held = new Held(bytesMax);
  }

  push(bytes: Buffer): Buffer {
    const next = bytes.lastIndexOf(LF) + 1;
    const lines = next === 0 ? EMPTY : joined(this.#held.take(), bytes.subarray(0, next));
    this.#held.push(bytes.subarray(next));
    const out = this.#changed(lines);
    return this.#held.isTooLong ? joined(out, this.#held.take()) : out;
  }

  end(): Buffer {
    return this.#changed(this.#held.take());
  }

  #changed(bytes: Buffer): Buffer {
    const parts: Buffer[] = [];
    let from = 0;
    for (let start = 0; start < bytes.length;) {
      const lf = bytes.indexOf(LF, start);
      const end = lf === -1 ? bytes.length : lf;
      const line = bytes.subarray(start, end);
      const text = isData(line) ? line.toString("utf8") : "";
      const [, name = "", json = "", cr = ""] = DATA_LINE.exec(text) ?? [];
      const changed = edited(line, text, name + this.#rewrite(json) + cr);
      if (changed !== line) {
        parts.push(bytes.subarray(from, start), changed);
        from = end;
      }
      start = end + 1;
    }
    return joined(...parts, bytes.subarray(from));
  }
}

/** The objects of a JSON array, each when it is complete. */
class ObjectCutter implements Cutter {
  readonly #splitter: JsonArraySplitter;
  readonly #rewrite: Rewrite;
  /** The objects that ended in the current chunk, and how much lies behind each. */
  #objects: { readonly json: string; readonly bytes: number; readonly end: number }[] = [];
  /** The beginning of an object that is not complete, as much as the splitter keeps of it. */
  readonly #held = new Held(Number.MAX_SAFE_INTEGER);

  constructor(rewrite: Rewrite, bytesMax: number) {
    this.#rewrite = rewrite;
    this.#splitter = new JsonArraySplitter((source, start, end) => {
      const json = asBuffer(source.subarray(start, end)).toString("utf8");
      this.#objects.push({ json, bytes: end - start, end: this.#splitter.objectEnd });
    }, bytesMax);
  }

  push(bytes: Buffer): Buffer {
    this.#splitter.push(bytes);
    const shift = this.#held.bytes;
    if (shift > 0 && this.#splitter.openBytes === shift + bytes.length) {
      this.#held.push(bytes);
      return EMPTY;
    }
    const all = joined(this.#held.take(), bytes);
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
    this.#held.push(all.subarray(open));
    return joined(...parts, all.subarray(at, open));
  }

  end(): Buffer {
    return this.#held.take();
  }
}

/** Everything, when all of it has come. */
class WholeCutter implements Cutter {
  readonly #rewrite: Rewrite;
  readonly #held: Held;
  #isGivenUp = false;

  constructor(rewrite: Rewrite, bytesMax: number) {
    this.#rewrite = rewrite;
    this.#held = new Held(bytesMax);
  }

  push(bytes: Buffer): Buffer {
    if (this.#isGivenUp) return bytes;
    this.#held.push(bytes);
    this.#isGivenUp = this.#held.isTooLong;
    return this.#isGivenUp ? this.#held.take() : EMPTY;
  }

  end(): Buffer {
    const bytes = this.#held.take();
    const text = bytes.toString("utf8");
    return edited(bytes, text, this.#rewrite(text));
  }
}

/** What waits for the rest of it: pieces, joined once, so that many small ones cost no more. */
class Held {
  readonly #bytesMax: number;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isTooLong(): boolean {
    return this.#bytes > this.#bytesMax;
  }

  push(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#bytes += piece.length;
  }

  take(): Buffer {
    const all = joined(...this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    return all;
  }
}

const EMPTY = Buffer.alloc(0);

/** The very bytes where the text did not change, or is none: then it cannot be written back. */
function edited(bytes: Buffer, text: string, changed: string): Buffer {
  if (changed === text || (text.includes("\ufffd") && !isUtf8(bytes))) return bytes;
  return Buffer.from(changed, "utf8");
}

function isData(line: Buffer): boolean {
  return line.length > DATA.length && DATA.every((code, at) => line[at] === code);
}

function joined(...parts: readonly Buffer[]): Buffer {
  const some = parts.filter((part) => part.length > 0);
  return some.length > 1 ? Buffer.concat(some) : (some[0] ?? EMPTY);
}

function filled(bytes: Buffer): Uint8Array | null {
  return bytes.length === 0 ? null : bytes;
}
