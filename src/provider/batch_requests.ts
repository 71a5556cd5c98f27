/**
 * The requests that stand in the body of a batch.
 *
 * Owns: where they stand, in each format, and whether a file has them instead.
 * Does not own: what each asks for (`request.ts`), or whether it may.
 * Invariant: a body in which an upstream could find other requests than are found here is refused.
 */

import { GatewayError } from "../errors.ts";
import {
  byteText,
  scanElements,
  scanObject,
  scanWithin,
  type Span,
  stringAt,
} from "../lib/json_scan.ts";
import type { BatchFormat, MeterDialect } from "./provider.ts";

interface Batch {
  /** That each request is written in. */
  readonly dialect: MeterDialect;
  /** Of each request, in bytes of the body. */
  readonly requests: readonly Span[];
  /** Models that are named beside the one in the path. */
  readonly models: readonly string[];
  /** Whether there may be others, in a file. */
  readonly namesFile: boolean;
}

const FILE: Batch = { dialect: "none", requests: [], models: [], namesFile: true };

/** A key in each of its spellings, at most one of which may stand in an object. */
type Key = readonly string[];

/** The way to the list from the top, and to the request from an element of the list. */
interface Shape {
  readonly dialect: MeterDialect;
  readonly list: readonly Key[];
  readonly request: Key;
  /** May stand beside any key of the way to the list. */
  readonly file: Key;
  /** The same of a model; no key where each request has its own. */
  readonly model: Key;
}

const INPUT_CONFIG: Key = ["inputConfig", "input_config"];

const SHAPES: Readonly<Record<Exclude<BatchFormat, "file">, Shape>> = {
  anthropic: {
    dialect: "anthropic_messages",
    list: [["requests"]],
    request: ["params"],
    file: [],
    model: [],
  },
  gemini: {
    dialect: "gemini_generate",
    list: [["batch"], INPUT_CONFIG, ["requests"], ["requests"]],
    request: ["request"],
    file: ["fileName", "file_name"],
    model: ["model"],
  },
};

/**
 * @param body one JSON object in UTF-8
 * @throws GatewayError `ambiguous_json`: a key on the way to a request stands there twice;
 *   `bad_request`: it is no list of requests
 */
export function readBatch(format: BatchFormat, body: Uint8Array): Batch {
  if (format === "file") return FILE;
  const { dialect, list, request, file, model } = SHAPES[format];
  const text = byteText(body) ?? "";
  let at = scanObject(text, [])?.span ?? null;
  const models: (string | null)[] = [];
  let namesFile = false;
  for (const key of list) {
    if (at === null) break;
    namesFile ||= child(text, at, file) !== null;
    models.push(stringAt(text, child(text, at, model)));
    at = child(text, at, key);
  }
  const elements = at === null ? [] : scanElements(text, at);
  const requests = elements?.map((element) => child(text, element, request)) ?? [null];
  if (!requests.every((one) => isObject(text, one))) throw notRequests(list, request);
  models.push(...requests.map((one) => stringAt(text, one && child(text, one, model))));
  return {
    dialect,
    requests: requests.filter((one) => one !== null),
    models: models.filter((one) => one !== null),
    namesFile,
  };
}

/** The value under a key of an object; null: there is none, or no object. */
function child(text: string, object: Span, key: Key): Span | null {
  const scan = scanWithin(text, object, key);
  const found = scan?.fields.filter((field) => field !== null) ?? [];
  const twice = scan?.duplicate ?? (found.length > 1 ? key.join('" and "') : null);
  if (twice === null) return found[0] ?? null;
  throw new GatewayError("ambiguous_json", {
    message: `The batch names "${twice}" twice, or in other letter case. Send it once`,
    param: key[0] ?? twice,
  });
}

function isObject(text: string, span: Span | null): boolean {
  return span !== null && text.startsWith("{", span.start);
}

function notRequests(list: readonly Key[], [request = ""]: Key): GatewayError {
  const param = list.map(([name]) => name).join(".");
  return new GatewayError("bad_request", {
    message: `"${param}" must be a list of objects, each with an object "${request}"`,
    param,
  });
}
