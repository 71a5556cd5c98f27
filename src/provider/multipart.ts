/**
 * The values of small form fields, found while a multipart body streams by (RFC 7578; RFC 2046,
 * section 5.1.1).
 *
 * Owns: finding parts by name wherever they stand, before or after the file.
 * Does not own: the body, which is forwarded as it comes.
 * Invariant: memory is bounded by one chunk, `PART_HEAD_BYTES_MAX` and the values asked for; of a
 * body in which another parser could find other fields that is told, and it is never an error.
 */

import { Buffer } from "node:buffer";

import { asBuffer } from "../lib/bytes.ts";
import { otherCharset } from "../lib/charset.ts";
import { sameButForCase, type Span } from "../lib/json_scan.ts";

const PART_HEAD_BYTES_MAX = 16 * 1024;
const HEAD_END = Buffer.from("\r\n\r\n");
const EMPTY = Buffer.alloc(0);

/** What ends a line to some parsers, and what ends a text. */
const UNCLEAR_LINES = /(?<!\r)\n|\r(?!\n)|\0/;
const DISPOSITION = /^\s*content-disposition\s*:/i;
const CONTENT_TYPE = /^\s*content-type\s*:/i;
const TRANSFER_CODED = /^\s*content-transfer-encoding\s*:(?!\s*(?:7bit|8bit|binary)\s*$)/i;

const FORM_TYPE = /^\s*multipart\/form-data((?:\s*;\s*[^\s;="]+=(?:"[^"\\]*"|[^\s;"]*))*)[\s;]*$/i;

/**
 * The boundary of a `content-type: multipart/form-data; boundary=…`; null: it has none, or none
 * that everybody reads in the same way.
 */
export function multipartBoundary(contentType: string | null): string | null {
  const params = FORM_TYPE.exec(contentType ?? "")?.[1]?.matchAll(
    /([^\s;="]+)=("[^"]*"|[^\s;"]*)/g,
  );
  const found = [...(params ?? [])].filter(([, name]) => /^boundary(?:\*|$)/i.test(name ?? ""));
  const [, name, value = ""] = found[0] ?? [];
  const boundary = value.replaceAll('"', "");
  // RFC 2046: up to 70 characters, and no space at the end.
  const isClear = found.length === 1 && name?.length === "boundary".length;
  return isClear && /^.{0,69}\S$/.test(boundary) ? boundary : null;
}

export class MultipartFields {
  readonly #names: readonly string[];
  readonly #valueBytesMax: number;
  readonly #delimiter: Buffer;
  /** As it is where a line ends in one character. */
  readonly #bareDelimiters: readonly Buffer[];
  readonly #values = new Map<string, string>();
  readonly #spans = new Map<string, Span>();
  /** Bytes of the body so far. */
  #pushed = 0;
  readonly #oversized = new Set<string>();
  #duplicate: string | null = null;
  #isUnread = false;
  /** Bytes not understood yet. Begins as if a line had just ended, for the first delimiter. */
  #rest: Buffer = Buffer.from("\r\n");
  #state: "content" | "delimiter" | "head" | "over" = "content";
  /** The field whose content is passing; null: one that nobody asked for. */
  #field: string | null = null;
  #content: Buffer[] = [];
  #contentBytes = 0;
  /** Where in the body the content begins that is passing. */
  #contentStart = 0;

  /** @param valueBytesMax a longer value is not kept */
  constructor(boundary: string, names: readonly string[], valueBytesMax: number) {
    this.#names = names;
    this.#valueBytesMax = valueBytesMax;
    this.#delimiter = Buffer.from(`\r\n--${boundary}`);
    this.#bareDelimiters = ["\n", "\r"].map((end) => Buffer.from(`${end}--${boundary}`));
  }

  /** Values by field name, so far. Of a field that is sent twice, the last. */
  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** Where in the body a value of `values` stands. */
  spanOf(name: string): Span | null {
    return this.#spans.get(name) ?? null;
  }

  /** A field that was sent twice, or in other letter case; null: none. */
  get duplicate(): string | null {
    return this.#duplicate;
  }

  /** Fields whose value was too long to be kept. */
  get oversized(): ReadonlySet<string> {
    return this.#oversized;
  }

  /**
   * Whether another parser may find fields that are not found here: the headers of a part are too
   * long or not clear, or a boundary stands where it is none to all.
   */
  get isUnread(): boolean {
    return this.#isUnread;
  }

  /** Whether the closing boundary was there. */
  get isComplete(): boolean {
    return this.#state === "over" && !this.#isUnread;
  }

  push(chunk: Uint8Array): void {
    if (this.#state === "over") return;
    this.#pushed += chunk.length;
    this.#rest = this.#rest.length === 0 ? asBuffer(chunk) : Buffer.concat([this.#rest, chunk]);
    while (this.#step());
    // The rest is part of the caller's chunk, which may be reused.
    this.#rest = Buffer.from(this.#rest);
  }

  /** Whether it got further; false: it needs more bytes. */
  #step(): boolean {
    if (this.#state === "content") return this.#passContent();
    if (this.#state === "delimiter") return this.#passDelimiter();
    return this.#state === "head" && this.#passHead();
  }

  #passContent(): boolean {
    const at = this.#rest.indexOf(this.#delimiter);
    if (this.#hasBareDelimiter(at)) return this.#giveUp();
    if (at === -1) {
      const kept = Math.min(this.#rest.length, this.#delimiter.length - 1);
      this.#keep(this.#rest.subarray(0, this.#rest.length - kept));
      this.#rest = this.#rest.subarray(this.#rest.length - kept);
      return false;
    }
    this.#keep(this.#rest.subarray(0, at));
    this.#fieldEnded(this.#at + at);
    this.#rest = this.#rest.subarray(at + this.#delimiter.length);
    this.#state = "delimiter";
    return true;
  }

  /** @param end where the next whole delimiter begins; -1: there is none yet */
  #hasBareDelimiter(end: number): boolean {
    // The line feed of the whole one has the boundary behind it too.
    const length = end === -1 ? this.#rest.length : end + this.#delimiter.length - 1;
    const before = this.#rest.subarray(0, length);
    return this.#bareDelimiters.some((bare) => before.includes(bare));
  }

  /** Behind the boundary: `--` ends the body, white space and a line end begin a part. */
  #passDelimiter(): boolean {
    let at = 0;
    while (this.#rest[at] === 0x20 || this.#rest[at] === 0x09) at++;
    if (this.#rest.length < at + 2) return this.#giveUpWhenLong();
    const isPart = this.#rest[at] === 0x0d && this.#rest[at + 1] === 0x0a;
    const isEnd = this.#rest[at] === 0x2d && this.#rest[at + 1] === 0x2d;
    if (isEnd) return this.#end();
    if (!isPart) return this.#giveUp();
    // The line end stays: with no headers it is the first half of the blank line.
    this.#rest = this.#rest.subarray(at);
    this.#state = "head";
    return true;
  }

  #passHead(): boolean {
    const at = this.#rest.indexOf(HEAD_END);
    if (at === -1) return this.#giveUpWhenLong();
    const head = readHead(this.#rest.subarray(0, at).toString("utf8"));
    const name = head?.name ?? null;
    const isWanted = name !== null && this.#names.includes(name);
    if (head === null || (isWanted && head.isCoded)) return this.#giveUp();
    if (name !== null && !isWanted) this.#duplicate ??= sameButForCase(this.#names, name);
    this.#field = isWanted ? name : null;
    this.#contentStart = this.#at + at + HEAD_END.length;
    // The line end before the content may be the one that begins the next delimiter.
    this.#rest = this.#rest.subarray(at + 2);
    this.#contentBytes = -2;
    this.#state = "content";
    return true;
  }

  #giveUpWhenLong(): boolean {
    return this.#rest.length > PART_HEAD_BYTES_MAX && this.#giveUp();
  }

  #giveUp(): false {
    this.#isUnread = true;
    return this.#end();
  }

  #end(): false {
    this.#state = "over";
    this.#rest = EMPTY;
    return false;
  }

  #keep(bytes: Buffer): void {
    if (this.#field === null || bytes.length === 0) return;
    this.#contentBytes += bytes.length;
    if (this.#contentBytes <= this.#valueBytesMax) this.#content.push(Buffer.from(bytes));
  }

  /** Where in the body that begins which is not understood yet. */
  get #at(): number {
    return this.#pushed - this.#rest.length;
  }

  /** @param contentEnd where in the body the content ends */
  #fieldEnded(contentEnd: number): void {
    const name = this.#field;
    if (name !== null && this.#contentBytes > this.#valueBytesMax) this.#oversized.add(name);
    else if (name !== null) {
      if (this.#values.has(name)) this.#duplicate ??= name;
      // The content begins with the line end that ended its head.
      this.#values.set(name, Buffer.concat(this.#content).subarray(2).toString("utf8"));
      const start = this.#contentStart;
      this.#spans.set(name, { start, end: Math.max(start, contentEnd) });
    }
    this.#field = null;
    this.#content = [];
    this.#contentBytes = 0;
  }
}

/** What the headers of a part say. */
interface PartHead {
  /** Of the form field or file; null: none. */
  readonly name: string | null;
  /** Whether the value is not in the plain bytes of ASCII and UTF-8. */
  readonly isCoded: boolean;
}

/** Null: another parser may read another name there. */
function readHead(head: string): PartHead | null {
  if (UNCLEAR_LINES.test(head)) return null;
  const lines = head.replaceAll(/\r\n[ \t]+/g, " ").split("\r\n");
  const [disposition, ...others] = lines.filter((line) => DISPOSITION.test(line));
  const isCoded = lines.some(
    (line) => TRANSFER_CODED.test(line) || (CONTENT_TYPE.test(line) && otherCharset(line) !== null),
  );
  if (others.length > 0) return null;
  if (disposition === undefined) return { name: null, isCoded };
  const name = fieldName(disposition.replace(DISPOSITION, ""));
  return name === undefined ? null : { name, isCoded };
}

/**
 * The name in the value of a `content-disposition`, whose type many do not look at, and some not
 * even whether it is a file's. Null: there is none. Undefined: it is not clear.
 */
function fieldName(value: string): string | null | undefined {
  const unquoted = value.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
  const [named, ...others] = unquoted.match(/(?:^|[;\s])name\s*(?:\*[^=;]*)?=/gi) ?? [];
  if (named === undefined) return null;
  if (others.length > 0 || !/^.?name=$/i.test(named)) return undefined;
  const found = /;\s*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))\s*(?:;|$)/i.exec(value);
  return found?.[1]?.replaceAll(/\\(.)/g, "$1") ?? found?.[2];
}
