/**
 * Server-sent events, cut out of a byte stream as it passes (WHATWG HTML, section 9.2.6).
 *
 * Owns: line ends (LF, CR, CRLF), the byte order mark, comments, and data of several lines.
 * Does not own: event names and ids; every dialect that is metered repeats the name in its data.
 * Invariant: the same events come out however the bytes are split. The data of an event on one line
 * that lies in one chunk is given as a range of that chunk, without a copy.
 */

/** @param source holds the event's data in `[start, end)`; valid during the call only */
type SseEventHandler = (source: Uint8Array, start: number, end: number) => void;

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;
const DATA = [0x64, 0x61, 0x74, 0x61] as const;
const BOM = [0xef, 0xbb, 0xbf] as const;
const EMPTY = new Uint8Array(0);

export class SseSplitter {
  readonly #handle: SseEventHandler;
  readonly #dataBytesMax: number;
  /** The beginning of a line that goes on in the next chunk. */
  readonly #line = new ByteBuffer();
  /** Data lines of the event so far, joined by LF, where one range is not enough. */
  readonly #data = new ByteBuffer();
  /** The event's only data line so far, as a range; null: it has none, or it is in `#data`. */
  #only: Uint8Array | null = null;
  #onlyStart = 0;
  #onlyEnd = 0;
  #hasData = false;
  #oversized = false;
  #afterCr = false;
  #begun = false;
  /** Whether bytes of an event that is not over yet lie behind. */
  #isOpen = false;
  #from = 0;
  #next = 0;
  #oversizedEvents = 0;

  /** @param dataBytesMax longest line and longest data of an event; beyond, the event is dropped */
  constructor(handle: SseEventHandler, dataBytesMax: number) {
    this.#handle = handle;
    this.#dataBytesMax = dataBytesMax;
  }

  /** Events that were dropped because they were too large. */
  get oversizedEvents(): number {
    return this.#oversizedEvents;
  }

  /** Whether an LF at the beginning of the next chunk still belongs to the line before it. */
  get awaitsLf(): boolean {
    return this.#afterCr;
  }

  /**
   * Where in the current chunk the event begins that is being handled, or, outside the handler, the
   * one that is not over yet; -1: in a chunk before it.
   */
  get eventFrom(): number {
    return this.#from;
  }

  /** In the handler: the offset in the current chunk behind the event's blank line. */
  get eventNext(): number {
    return this.#next;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    if (this.#afterCr && chunk.length > 0) {
      this.#afterCr = false;
      if (chunk[0] === LF) at = 1;
    }
    this.#from = this.#isOpen ? -1 : at;
    let cr = chunk.indexOf(CR, at);
    while (at < chunk.length) {
      if (cr !== -1 && cr < at) cr = chunk.indexOf(CR, at);
      const lf = chunk.indexOf(LF, at);
      const end = cr !== -1 && (lf === -1 || cr < lf) ? cr : lf;
      if (end === -1) break;
      let next = end + 1;
      if (end === cr) {
        if (next === chunk.length) this.#afterCr = true;
        else if (chunk[next] === LF) next++;
      }
      this.#next = next;
      this.#lineEnded(chunk, at, end);
      at = next;
    }
    if (at < chunk.length) this.#keepLine(chunk, at, chunk.length);
    this.#keepData();
    this.#isOpen = this.#from < chunk.length;
  }

  /**
   * The stream is over. An event without its blank line is given too: the standard discards it, but
   * a client that reads it has been told its usage.
   */
  end(): void {
    this.#from = this.#isOpen ? -1 : 0;
    this.#next = 0;
    if (this.#line.length > 0) this.#lineEnded(EMPTY, 0, 0);
    if (this.#hasData || this.#oversized) this.#dispatch();
  }

  #keepLine(chunk: Uint8Array, start: number, end: number): void {
    const bytesMax = this.#dataBytesMax + (this.#begun ? 0 : BOM.length);
    if (this.#line.length + end - start > bytesMax) {
      this.#oversized = true;
      // What is kept only has to show that the line is not blank.
      this.#line.clear();
      this.#line.append(chunk, start, start + 1);
      return;
    }
    this.#line.append(chunk, start, end);
  }

  #lineEnded(chunk: Uint8Array, start: number, end: number): void {
    if (this.#line.length === 0) {
      this.#takeLine(chunk, start, end);
      return;
    }
    this.#keepLine(chunk, start, end);
    const { bytes, length } = this.#line;
    this.#line.clear();
    this.#takeLine(bytes, 0, length);
    // The range points into the buffer that the next partial line will use.
    if (this.#only === bytes) this.#keepData();
  }

  #takeLine(source: Uint8Array, from: number, end: number): void {
    let start = from;
    if (!this.#begun) {
      this.#begun = true;
      if (matchesAt(source, start, end, BOM)) start += BOM.length;
    }
    if (start === end) {
      if (this.#hasData || this.#oversized) this.#dispatch();
      this.#from = this.#next;
      return;
    }
    if (end - start > this.#dataBytesMax) this.#oversized = true;
    if (this.#oversized || !matchesAt(source, start, end, DATA)) return;
    let value = start + DATA.length;
    if (value < end) {
      if (source[value] !== COLON) return;
      value++;
      if (value < end && source[value] === SPACE) value++;
    }
    this.#addData(source, value, end);
  }

  #addData(source: Uint8Array, start: number, end: number): void {
    if (!this.#hasData) {
      this.#hasData = true;
      this.#only = source;
      this.#onlyStart = start;
      this.#onlyEnd = end;
      return;
    }
    this.#keepData();
    if (this.#data.length + 1 + end - start > this.#dataBytesMax) {
      this.#oversized = true;
      return;
    }
    this.#data.append(LINE_FEED, 0, 1);
    this.#data.append(source, start, end);
  }

  /** Copies the one range that there is, because its bytes are about to go. */
  #keepData(): void {
    const only = this.#only;
    if (only === null) return;
    this.#only = null;
    this.#data.append(only, this.#onlyStart, this.#onlyEnd);
  }

  #dispatch(): void {
    const only = this.#only;
    const oversized = this.#oversized;
    const { bytes, length } = this.#data;
    this.#only = null;
    this.#hasData = false;
    this.#oversized = false;
    this.#data.clear();
    if (oversized) this.#oversizedEvents++;
    else if (only !== null) this.#handle(only, this.#onlyStart, this.#onlyEnd);
    else this.#handle(bytes, 0, length);
  }
}

const LINE_FEED = Uint8Array.of(LF);

function matchesAt(
  source: Uint8Array,
  start: number,
  end: number,
  pattern: readonly number[],
): boolean {
  if (end - start < pattern.length) return false;
  for (let index = 0; index < pattern.length; index++) {
    if (source[start + index] !== pattern[index]) return false;
  }
  return true;
}

/** Bytes that are appended to, grown by doubling. */
export class ByteBuffer {
  bytes: Uint8Array = EMPTY;
  length = 0;

  append(source: Uint8Array, start: number, end: number): void {
    const length = this.length + end - start;
    if (length > this.bytes.length) {
      const grown = new Uint8Array(Math.max(length, this.bytes.length * 2, 256));
      grown.set(this.bytes.subarray(0, this.length));
      this.bytes = grown;
    }
    this.bytes.set(source.subarray(start, end), this.length);
    this.length = length;
  }

  /** Forgets the content; the bytes stay valid until the next `append`. */
  clear(): void {
    this.length = 0;
    if (this.bytes.length > KEPT_BYTES_MAX) this.bytes = EMPTY;
  }
}

/** A buffer that once held a large event is not kept for the small ones after it. */
const KEPT_BYTES_MAX = 64 * 1024;
