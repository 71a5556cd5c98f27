/**
 * Forms (multipart/form-data), read for what they ask while they are held or stream by.
 *
 * Owns: which fields are looked for, and what is refused of a form that cannot be judged.
 * Does not own: finding fields (`provider/multipart.ts`), nor whether what is asked for may be.
 * Invariant: what two servers could read in two ways is refused, and so is what was not kept.
 */

import { GatewayError } from "../errors.ts";
import type { Span } from "../lib/json_scan.ts";
import { type ParamWhitelist, requireForm } from "../policy/param_whitelist.ts";
import { MultipartFields, multipartBoundary } from "../provider/multipart.ts";
import { requestedByForm } from "../provider/openai_request.ts";
import type { RequestedTurn } from "../provider/provider.ts";

/** Form fields that say what a multipart request asks for, and the most of one that is kept. */
const FORM_FIELDS = ["model", "service_tier", "stream"];
const FORM_VALUE_BYTES_MAX = 1024;

/** Hears of a body that streams by. */
export interface StreamObserver {
  sent(byteCount: number): void;
  /**
   * What a form asks for: as soon as it names a model, else before its end, and again where it
   * turns out to ask for more. A throw ends it.
   */
  requested(requested: RequestedTurn): void;
}

/** What a form asks for as far as it is known, and where its model stands in what was read. */
interface FormReading {
  readonly requested: RequestedTurn;
  readonly modelSpan: Span | null;
}

/** Takes a piece of a body; null: that was all of it. */
type FormReader = (chunk: Uint8Array | null) => FormReading;

/** Reports what a body asks for while it streams by: where that changed, and at the end. */
export function streamWatcher(
  readForm: FormReader,
  billing: boolean,
  observer: StreamObserver,
): (chunk: Uint8Array | null) => void {
  let requested = requestedByForm(new Map());
  let told: RequestedTurn | null = null;
  return (chunk) => {
    if (chunk !== null) observer.sent(chunk.byteLength);
    requested = readForm(chunk).requested;
    // Without a model by then, only the end of the body is still to be sent.
    const isDue = chunk === null || requested.model !== null;
    if (!billing || !isDue || (told !== null && isSame(told, requested))) return;
    told = requested;
    observer.requested(requested);
  };
}

function isSame(one: RequestedTurn, other: RequestedTurn): boolean {
  const isSameTurn = one.model === other.model && one.serviceTier === other.serviceTier;
  return isSameTurn && one.stream === other.stream;
}

/** What is no form asks for nothing that could be judged. */
export function readNothing(): FormReading {
  return { requested: requestedByForm(new Map()), modelSpan: null };
}

/**
 * What the whole of a form asks for.
 * @throws GatewayError as the reader of `formReader`
 */
export function readForm(
  headers: Headers,
  whitelist: ParamWhitelist,
  body: Uint8Array,
): FormReading {
  const read = formReader(headers, whitelist);
  read(body);
  return read(null);
}

/**
 * Finds what a form asks for, and what is limited: also behind the file.
 * @param headers have a boundary
 * @returns a reader that throws GatewayError `ambiguous_json`, `bad_request`, `param_not_allowed`
 */
export function formReader(headers: Headers, whitelist: ParamWhitelist): FormReader {
  const boundary = multipartBoundary(headers.get("content-type")) ?? "";
  const names = [...FORM_FIELDS, ...whitelist.keys()];
  const fields = new MultipartFields(boundary, names, FORM_VALUE_BYTES_MAX);
  return (chunk) => {
    if (chunk !== null) fields.push(chunk);
    refuseDuplicate(fields.duplicate);
    requireForm(whitelist, fields);
    refuseUnread(fields);
    if (chunk === null) requireEnd(fields);
    return { requested: requestedByForm(fields.values), modelSpan: fields.spanOf("model") };
  };
}

/** Which of the two the upstream would read is not known. @throws GatewayError `ambiguous_json` */
export function refuseDuplicate(field: string | null): void {
  if (field === null) return;
  const message = `The request names "${field}" twice, or in other letter case. Send it once`;
  throw new GatewayError("ambiguous_json", { message, param: field });
}

/** What was not kept cannot be judged. @throws GatewayError `bad_request` */
function refuseUnread({ oversized, isUnread }: MultipartFields): void {
  if (isUnread) {
    throw new GatewayError("bad_request", {
      message:
        "The form can be read in several ways. Give each part one plain content-disposition, no " +
        "transfer encoding and short headers, and end lines and boundaries with CR LF",
    });
  }
  for (const field of oversized) {
    const message = `"${field}" is longer than ${FORM_VALUE_BYTES_MAX} bytes. Shorten it`;
    throw new GatewayError("bad_request", { message, param: field });
  }
}

/** Some would read a last field that others leave out. @throws GatewayError `bad_request` */
function requireEnd({ isComplete }: MultipartFields): void {
  if (isComplete) return;
  throw new GatewayError("bad_request", {
    message: "The form is cut off. Send it with its closing boundary",
  });
}
