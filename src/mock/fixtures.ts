/**
 * Recorded exchanges by name: the embedded ones, and those of a folder, which win.
 *
 * Owns: reading them, and what they say of status and headers.
 * Does not own: sending them.
 * Invariant: the bytes of a `.json` or `.sse` fixture are sent as they are in the file.
 */

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import { EMBEDDED } from "./embedded.ts";
import { type JsonObject, isObject, numberIn, objectIn, parseObject, stringIn } from "./json.ts";

const FOLDER_BYTES_MAX = 256 * 1024 * 1024;
const NAME = /^\w[\w.-]*\.(?:json|jsonl|sse)$/;

/** A recorded HTTP answer. */
interface RecordedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** One line of a recorded session. */
export type TranscriptStep =
  | { readonly step: "await_client" }
  | { readonly step: "send"; readonly text: string; readonly binary: boolean }
  | { readonly step: "close"; readonly code: number; readonly reason: string }
  | { readonly step: "client_close" };

/** An error body as the provider words it. */
interface RecordedError {
  readonly name: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly error: JsonObject;
}

export class Fixtures {
  readonly #files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly #exchanges: JsonObject;
  /** Recorded errors by provider, in the order of its file. */
  readonly errors: Readonly<Record<"openai" | "anthropic" | "gemini", readonly RecordedError[]>>;

  private constructor(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>) {
    this.#files = files;
    const embedded = parseObject(EMBEDDED["http_exchanges.json"] ?? "") ?? {};
    const own = parseObject(this.#text("http_exchanges.json")) ?? {};
    this.#exchanges = { ...embedded, ...own };
    this.errors = {
      openai: errorsIn(this.#text("openai_errors.json")),
      anthropic: errorsIn(this.#text("anthropic_errors.json")),
      gemini: errorsIn(this.#text("gemini_errors.json")),
    };
  }

  /**
   * Reads the folder once; without one there are only the embedded fixtures.
   * @throws Error when the folder cannot be read or is too big
   */
  static async load(folder: string | null): Promise<Fixtures> {
    const encoder = new TextEncoder();
    const files = new Map<string, Uint8Array<ArrayBuffer>>(
      Object.entries(EMBEDDED).map(([name, text]) => [name, encoder.encode(text)]),
    );
    if (folder !== null)
      for (const [name, bytes] of await readFolder(folder)) files.set(name, bytes);
    return new Fixtures(files);
  }

  get names(): readonly string[] {
    return [...this.#files.keys()].sort();
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }

  /** The answer of a `.json` or `.sse` fixture; null where there is none of that name. */
  answer(name: string): RecordedAnswer | null {
    const body = this.#files.get(name);
    if (body === undefined || name.endsWith(".jsonl")) return null;
    const response = objectIn(objectIn(this.#exchanges, name), "response");
    const type = name.endsWith(".sse") ? "text/event-stream; charset=utf-8" : "application/json";
    const headers = { "content-type": type, ...stringsIn(objectIn(response, "headers")) };
    return { status: numberIn(response, "status") ?? 200, headers, body };
  }

  /** The steps of a `.jsonl` fixture; null where there is none of that name. */
  transcript(name: string): readonly TranscriptStep[] | null {
    if (!this.#files.has(name) || !name.endsWith(".jsonl")) return null;
    const lines = this.#text(name)
      .split("\n")
      .filter((line) => line.trim() !== "");
    return lines.flatMap((line) => stepOf(parseObject(line) ?? {}));
  }

  #text(name: string): string {
    return new TextDecoder().decode(this.#files.get(name));
  }
}

async function readFolder(folder: string): Promise<[string, Uint8Array<ArrayBuffer>][]> {
  const names = (await readdir(folder)).filter((name) => NAME.test(name));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  if (sizes.reduce((sum, size) => sum + size, 0) > FOLDER_BYTES_MAX) {
    throw new Error(`The fixtures in ${folder} are more than 256 MiB: keep fewer in that folder`);
  }
  const read = async (name: string) => new Uint8Array(await readFile(join(folder, name)));
  const contents = await Promise.all(names.map(read));
  return contents.map((bytes, index) => [names[index] ?? "", bytes]);
}

function stepOf(line: JsonObject): TranscriptStep[] {
  const close = line["close"];
  const fromServer = line["dir"] === "server";
  if (isObject(close)) {
    if (!fromServer) return [{ step: "client_close" }];
    const reason = stringIn(close, "reason") ?? "";
    return [{ step: "close", code: numberIn(close, "code") ?? 1000, reason }];
  }
  if (!fromServer) return [{ step: "await_client" }];
  const binary = line["opcode"] === "binary";
  return [{ step: "send", text: JSON.stringify(line["data"]), binary }];
}

function errorsIn(text: string): RecordedError[] {
  // The file is a list; an object around it lets the same reader take it.
  const list = parseObject(`{"errors":${text}}`)?.["errors"];
  const entries: readonly unknown[] = Array.isArray(list) ? list : [];
  return entries.filter(isObject).map((one) => ({
    name: stringIn(one, "name") ?? "",
    status: numberIn(one, "status") ?? 500,
    headers: stringsIn(objectIn(one, "headers")),
    error: objectIn(objectIn(one, "body"), "error"),
  }));
}

function stringsIn(object: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, String(value)]));
}
