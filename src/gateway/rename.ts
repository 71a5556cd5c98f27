/**
 * Answers to requests whose model has another name at the upstream: the caller gets to see its own.
 *
 * Owns: which answers are looked at for it, and as what.
 * Does not own: the names (`route/model_map.ts`), their places (`provider/model_field.ts`), cutting
 * (`relay/rewrite_tap.ts`).
 * Invariant: an answer to a request that named its model as the upstream does is not touched.
 */

import type { BodyTap } from "../exchange.ts";
import { contentCodingOf } from "../lib/content_coding.ts";
import { isJson, mediaTypeOf } from "../meter/body_meter.ts";
import { streamsAsArray } from "../provider/dialect.ts";
import { renameInAnswer, renameInEvent } from "../provider/model_field.ts";
import type { MeterDialect } from "../provider/provider.ts";
import { type AnswerShape, RewriteTap } from "../relay/rewrite_tap.ts";
import type { RequestBody } from "./judgement.ts";

/**
 * @param tap of the answer; null: there is none
 * @param bytesMax longest event or body in which names are changed; 0: no limit
 * @returns the same tap where there is nothing to change
 */
export function renamingTap(
  tap: BodyTap | null,
  { status, headers }: { readonly status: number; readonly headers: Headers },
  { names, requested }: Pick<RequestBody, "names" | "requested">,
  dialect: MeterDialect,
  bytesMax: number,
): BodyTap | null {
  if (tap === null || !names.renamesAnswers || status >= 300) return tap;
  // It was asked for as it is; what comes otherwise cannot be read without delay.
  if (contentCodingOf(headers.get("content-encoding")) !== null) return tap;
  const type = mediaTypeOf(headers.get("content-type"));
  const shape = shapeOf(type, dialect, requested?.stream ?? false);
  if (shape === null) return tap;
  const rename = shape === "body" ? renameInAnswer : renameInEvent;
  const limit = bytesMax === 0 ? Number.MAX_SAFE_INTEGER : bytesMax;
  return new RewriteTap(tap, shape, (json) => rename(dialect, json, names.toCaller), limit);
}

/** Null: it names no model. */
function shapeOf(type: string, dialect: MeterDialect, asksForStream: boolean): AnswerShape | null {
  if (type === "text/event-stream") return "events";
  if (!isJson(type)) return null;
  return asksForStream && streamsAsArray(dialect) ? "array" : "body";
}
