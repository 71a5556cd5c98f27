/**
 * Uploaded files: what they are called and how big they are.
 *
 * Owns: counting a multipart upload while it streams. Does not own: keeping contents; none are
 * kept.
 * Invariant: an upload of any size takes constant memory.
 */

import { Lru } from "../lib/lru.ts";
import type { MockExchange } from "./exchange.ts";
import { badField, errorAnswer, openaiError } from "./openai_errors.ts";
import { type Answer, jsonAnswer, type World } from "./answer.ts";

const FILES_MAX = 1_000;
/** Part heads and small fields are looked for in so much of either end of a body. */
const WINDOW_BYTES = 64 * 1024;

interface StoredFile {
  readonly id: string;
  readonly object: "file";
  readonly bytes: number;
  readonly created_at: number;
  readonly filename: string;
  readonly purpose: string;
  readonly status: "processed";
}

export class OpenaiFiles {
  readonly #world: World;
  readonly #files = new Lru<string, StoredFile>(FILES_MAX);

  constructor(world: World) {
    this.#world = world;
  }

  async upload(exchange: MockExchange): Promise<Answer> {
    const contentType = exchange.request.headers.get("content-type") ?? "";
    const boundary = /;\s*boundary="?([^";]+)/i.exec(contentType)?.[1];
    if (boundary === undefined) throw badField("file", "'file' is a required property");
    const ends = new Ends();
    for await (const chunk of exchange.chunks()) ends.push(chunk);
    const part = filePart(ends, boundary);
    if (part === null) throw badField("file", "'file' is a required property");
    const fields = ends.head + ends.tail;
    const file: StoredFile = {
      id: this.#world.ids.next("file-", 24),
      object: "file",
      bytes: part.bytes,
      created_at: Math.floor(this.#world.clock.nowMs() / 1000),
      filename: part.name,
      purpose: /name="purpose"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)/.exec(fields)?.[1] ?? "user_data",
      status: "processed",
    };
    this.#files.set(file.id, file);
    return jsonAnswer(file);
  }

  list(): Answer {
    return jsonAnswer({ object: "list", data: [...this.#files.values()], has_more: false });
  }

  /** The answer about one file; null where the method means nothing. */
  stored(method: string, id: string): Answer | null {
    if (method !== "GET" && method !== "DELETE") return null;
    const file = this.#files.get(id);
    if (file === undefined) {
      return errorAnswer(openaiError(404, null, `No such File object: ${id}`, "id"));
    }
    if (method === "GET") return jsonAnswer(file);
    this.#files.delete(id);
    return jsonAnswer({ id, object: "file", deleted: true });
  }
}

/** Both ends of a body as Latin-1, so that a character is a byte, and its length. */
class Ends {
  bytes = 0;
  head = "";
  tail = "";
  readonly #latin1 = new TextDecoder("latin1");

  push(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    const room = WINDOW_BYTES - this.head.length;
    if (room > 0) this.head += this.#latin1.decode(chunk.subarray(0, room));
    const last = this.#latin1.decode(chunk.subarray(-WINDOW_BYTES));
    this.tail = (this.tail + last).slice(-WINDOW_BYTES);
  }
}

/** Name and length of the file part, which begins in the head and ends in the tail of the body. */
function filePart(ends: Ends, boundary: string): { name: string; bytes: number } | null {
  const found = /name="file"; *filename="([^"]*)"[^]*?\r\n\r\n/.exec(ends.head);
  if (found === null) return null;
  const start = found.index + found[0].length;
  const tailAt = ends.bytes - ends.tail.length;
  const end = ends.tail.indexOf(`\r\n--${boundary}`, Math.max(0, start - tailAt));
  if (end < 0) return null;
  return { name: found[1] ?? "", bytes: tailAt + end - start };
}
