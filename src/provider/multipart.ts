/**
 * The values of small form fields, found while a multipart body streams by (RFC 7578; RFC 2046,
 * section 5.1.1).
 *
 * Owns: finding parts by name wherever they stand, before or after the file.
 * Does not own: the body, which is forwarded as it comes.
 * Invariant: memory is bounded by one chunk, `PART_HEAD_BYTES_MAX` and the values asked for; a body
 * that is not well formed gives fewer fields and never an error.
 */

import { Buffer } from "node:buffer";

import type { Span } from "../lib/json_scan.ts";

const PART_HEAD_BYTES_MAX = 16 * 1024;
const HEAD_END = Buffer.from("\r\n\r\n");
const EMPTY = Buffer.alloc(0);

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
  /** The field whose content is passing; null: a file, or a field nobody asked for. */
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
  }

  /** Values by field name, so far. Of a field that is sent twice, the last. */
  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** Where in the body a value of `values` stands. */
  spanOf(name: string): Span | null {
    return this.#spans.get(name) ?? null;
  }

  /** A field that was sent twice; null: none. */
  get duplicate(): string | null {
    return this.#duplicate;
  }

  /** Fields whose value was too long to be kept. */
  get oversized(): ReadonlySet<string> {
    return this.#oversized;
  }

  /** Whether there may be fields that were not looked for: the headers of a part were too long. */
  get isUnread(): boolean {
    return this.#isUnread;
  }

  push(chunk: Uint8Array): void {
    if (this.#state === "over") return;
    this.#pushed += chunk.length;
    this.#rest = this.#rest.length === 0 ? viewOf(chunk) : Buffer.concat([this.#rest, chunk]);
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

  /** Behind the boundary: `--` ends the body, white space and a line end begin a part. */
  #passDelimiter(): boolean {
    let at = 0;
    while (this.#rest[at] === 0x20 || this.#rest[at] === 0x09) at++;
    if (this.#rest.length < at + 2) return this.#giveUpWhenLong();
    const isPart = this.#rest[at] === 0x0d && this.#rest[at + 1] === 0x0a;
    const isEnd = this.#rest[at] === 0x2d && this.#rest[at + 1] === 0x2d;
    if (isEnd) return this.#end();
    // The line end stays: with no headers it is the first half of the blank line.
    if (isPart) this.#rest = this.#rest.subarray(at);
    this.#state = isPart ? "head" : "content";
    return true;
  }

  #passHead(): boolean {
    const at = this.#rest.indexOf(HEAD_END);
    if (at === -1) return this.#giveUpWhenLong();
    const name = fieldName(this.#rest.subarray(0, at).toString("utf8"));
    this.#field = name !== null && this.#names.includes(name) ? name : null;
    this.#contentStart = this.#at + at + HEAD_END.length;
    // The line end before the content may be the one that begins the next delimiter.
    this.#rest = this.#rest.subarray(at + 2);
    this.#contentBytes = -2;
    this.#state = "content";
    return true;
  }

  #giveUpWhenLong(): false {
    if (this.#rest.length <= PART_HEAD_BYTES_MAX) return false;
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

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** `name` of a form field; null: a file, or no form field. An empty file name is none to many. */
function fieldName(head: string): string | null {
  const unfolded = head.replaceAll(/\r\n[ \t]+/g, " ");
  const line = /(?:^|\r\n)content-disposition:([^\r\n]*)/i.exec(unfolded)?.[1];
  if (line === undefined || !/^\s*form-data\b/i.test(line)) return null;
  if (/;\s*filename\*?=(?!"?"?\s*(?:;|$))/i.test(line)) return null;
  const found = /;\s*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/i.exec(line);
  const name = found?.[1]?.replaceAll(/\\(.)/g, "$1") ?? found?.[2];
  return name ?? null;
}
