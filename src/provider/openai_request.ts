/**
 * What a request to OpenAI asks for, and the one field that sluice adds to it.
 *
 * Owns: reading model, tier and streaming from a JSON body or a form, and asking for chat streams'
 * usage.
 * Does not own: whether the request is allowed.
 * Invariant: the injection changes `stream_options.include_usage` and no other byte.
 */

import {
  byteText,
  editBytes,
  insertField,
  literalAt,
  replaceValue,
  scanObject,
  scanWithin,
} from "../lib/json_scan.ts";
import type { ObjectScan } from "../lib/json_scan.ts";
import type { MeterDialect, RequestedTurn } from "./provider.ts";
import { WireObject, ambiguousJson, storable } from "./wire_text.ts";

const PREVIOUS = "previous_response_id";
const REQUEST_KEYS = [
  "model",
  "service_tier",
  // Google's own spelling, which it may read where it has OpenAI's interface too.
  "serviceTier",
  "stream",
  "stream_options",
  "background",
  PREVIOUS,
];

/** What limits the output, by message format: the first of them that is there counts. */
const OUTPUT_LIMITS: { readonly [D in MeterDialect]?: readonly string[] } = {
  openai_chat: ["max_completion_tokens", "max_tokens"],
  openai_completions: ["max_tokens"],
  openai_responses: ["max_output_tokens"],
};

/**
 * @param dialect of the endpoint; those without a reader have the same names at the top level
 * @param text the body
 * @returns null: the body is no JSON object
 */
export function openaiRequest(dialect: MeterDialect, text: string): RequestedTurn | null {
  const limits = OUTPUT_LIMITS[dialect] ?? [];
  const request = WireObject.readRequest(text, [...REQUEST_KEYS, ...limits], limits);
  if (request === null) return null;
  const options = request.object("stream_options", ["include_usage"]);
  const limit = limits.find((key) => request.has(key));
  return {
    model: request.string("model"),
    serviceTier: request.string("service_tier") ?? request.string("serviceTier"),
    stream: request.isTrue("stream"),
    outputTokensMax: limit === undefined ? null : request.integer(limit),
    speed: null,
    includeUsage: options?.isTrue("include_usage") ?? false,
    background: dialect === "openai_responses" && request.isTrue("background"),
    previousResponseId: dialect === "openai_responses" ? request.string(PREVIOUS) : null,
    duplicate: request.duplicate ?? options?.duplicate ?? null,
  };
}

/**
 * What the fields of a multipart form ask for.
 * @param fields values by field name, as `MultipartFields` finds them
 */
export function requestedByForm(fields: ReadonlyMap<string, string>): RequestedTurn {
  const [model, serviceTier] = [fields.get("model"), fields.get("service_tier")];
  return {
    model: model === undefined ? null : storable(model),
    // What is kept is cut, which must not leave nothing but padding.
    serviceTier: serviceTier === undefined ? null : storable(serviceTier.trim()),
    stream: fields.get("stream") === "true",
    outputTokensMax: null,
    speed: null,
    includeUsage: false,
    background: false,
    previousResponseId: null,
    duplicate: null,
  };
}

/**
 * Asks for the usage chunk of a chat stream.
 * @param body a whole JSON request body
 * @returns the body with `stream_options.include_usage` true; null where it does not stream, asks
 *   for it already, or is no JSON object
 * @throws GatewayError `ambiguous_json`: a field that decides this is named twice, and which of the
 *   two the upstream reads is not known
 */
export function injectStreamUsage(body: Uint8Array): Uint8Array | null {
  const text = byteText(body);
  const request = text === null ? null : scanObject(text, ["stream", "stream_options"]);
  if (text === null || request === null) return null;
  refuseDuplicate(request);
  const [stream, options] = request.fields;
  if (!literalAt(text, stream, "true")) return null;
  if (!options) {
    const edit = insertField(text, request.span, "stream_options", '{"include_usage":true}');
    return editBytes(body, edit);
  }
  if (literalAt(text, options, "null")) {
    return editBytes(body, replaceValue(options, '{"include_usage":true}'));
  }
  const inner = scanWithin(text, options, ["include_usage"]);
  if (inner === null) return null;
  refuseDuplicate(inner);
  const asked = inner.fields[0];
  if (!asked) return editBytes(body, insertField(text, inner.span, "include_usage", "true"));
  return literalAt(text, asked, "true") ? null : editBytes(body, replaceValue(asked, "true"));
}

function refuseDuplicate(scan: ObjectScan): void {
  if (scan.duplicate !== null) throw ambiguousJson(scan.duplicate);
}
