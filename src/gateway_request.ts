/**
 * What of an HTTP request goes upstream, and what it asks for.
 *
 * Owns: which bodies are held whole and read, and which stream by. Does not own: holding
 * (`relay/request_body.ts`) and streaming (`relay/upload.ts`), reading (`provider/`), nor whether
 * what is asked for may be.
 * Invariant: nothing of a held body leaves before it was judged, and of one that streams by its
 * end does not.
 */

import { GatewayError } from "./errors.ts";
import type { Principal } from "./exchange.ts";
import type { Admitted, GatewayParts } from "./gateway_arrival.ts";
import { judgeBatch } from "./gateway_batch.ts";
import { policeForm, policeRequest, policeUnread } from "./gateway_tier.ts";
import { requireModel } from "./policy/access.ts";
import {
  type ParamWhitelist,
  requireForm,
  requireParam,
  requireParams,
} from "./policy/param_whitelist.ts";
import { MultipartFields, multipartBoundary } from "./provider/multipart.ts";
import { injectStreamUsage, requestedByForm } from "./provider/openai_request.ts";
import type { Endpoint, MeterDialect, RequestedTurn } from "./provider/provider.ts";
import { readRequestedTurn } from "./provider/request.ts";
import {
  type BodySource,
  declaredLength,
  type HeldBody,
  holdBody,
  holdStart,
  requireIdentity,
} from "./relay/request_body.ts";
import { Upload } from "./relay/upload.ts";
import type { Candidate } from "./route/choose.ts";

/** Form fields that say what a multipart request asks for, and the most of one that is kept. */
const FORM_FIELDS = ["model", "service_tier", "stream"];
const FORM_VALUE_BYTES_MAX = 1024;

/**
 * Up to here a form is held, so that the upstream hears nothing of one that is refused. Larger ones
 * carry files, which are not kept in memory.
 */
const FORM_HELD_BYTES_MAX = 256 * 1024;

/** Chat and the older completions say what they used only when asked. */
const SILENT_DIALECTS: readonly MeterDialect[] = ["openai_chat", "openai_completions"];

/** What of the request goes upstream. */
export interface RequestBody {
  readonly body: Uint8Array<ArrayBuffer> | Upload | null;
  /** To be released by the caller; null: it streams. */
  readonly held: HeldBody | null;
  /** Null: not known before it streams by, or nothing is asked for. */
  readonly requested: RequestedTurn | null;
  /** The tier that goes upstream; null: none. */
  readonly decidedTier: string | null;
  /** The `anthropic-beta` to send in the place of the client's; undefined: it stays. */
  readonly betas: string | null | undefined;
  readonly usageInjected: boolean;
}

/** The same of JSON that is held and read. */
interface HeldJson extends Omit<RequestBody, "held"> {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly requested: RequestedTurn;
}

/** What is sent without being read. */
const UNREAD = {
  held: null,
  requested: null,
  decidedTier: null,
  betas: undefined,
  usageInjected: false,
};

/** Hears of a body that streams by. */
interface StreamObserver {
  sent(byteCount: number): void;
  /**
   * What a form asks for: as soon as it names a model, else before its end, and again where it
   * turns out to ask for more. A throw ends it.
   */
  requested(requested: RequestedTurn): void;
}

/**
 * The same request as another candidate is to get it. What streams by cannot be sent twice.
 * @throws GatewayError `tier_blocked`, `param_not_allowed`: it may not go there
 */
export function requestFor(
  parts: GatewayParts,
  { request, principal }: Pick<Admitted, "request" | "principal">,
  candidate: Candidate,
  body: RequestBody,
): RequestBody {
  const { held } = body;
  if (held === null) return body;
  return { ...judgeHeld(parts, principal, request.headers, candidate, held.bytes), held };
}

/**
 * Holds what is inspected, and streams everything else.
 * @throws GatewayError `invalid_json`, `ambiguous_json`, `body_too_large`, `unsupported_encoding`,
 *   `param_not_allowed`, `tier_blocked`, `bad_request`
 */
export async function readRequestBody(
  parts: GatewayParts,
  { request, principal }: Pick<Admitted, "request" | "principal">,
  candidate: Candidate,
  observer: StreamObserver,
): Promise<RequestBody> {
  const { endpoint } = candidate;
  const { headers } = request;
  // Of JSON, also its absence is judged.
  if (request.body === null && !isJsonEndpoint(endpoint)) return { ...UNREAD, body: null };
  const reading = readingOf(candidate, headers);
  if (reading === "none") return streamBody(parts, request, candidate, reading, observer);
  const held = await holdFor(parts, request, reading);
  if (!("release" in held)) return streamBody(parts, held, candidate, reading, observer);
  try {
    const body = judgeHeld(parts, principal, headers, candidate, held.bytes);
    // What a form would ask for, this does not.
    if (endpoint.billing && reading === "params") observer.requested(requestedByForm(new Map()));
    return { ...body, held };
  } catch (error) {
    held.release();
    throw error;
  }
}

/**
 * How a body is read: as `json` or a `form` for what it asks for, for limited `params` alone, or
 * not at all.
 */
type Reading = "json" | "form" | "params" | "none";

/**
 * Some upstreams take JSON under any content type, so that only a form is known to be none.
 * @throws GatewayError `unsupported_encoding`: what it asks for, nobody here could tell
 */
function readingOf({ endpoint, provider }: Candidate, headers: Headers): Reading {
  if (isJsonEndpoint(endpoint)) return "json";
  const contentType = headers.get("content-type");
  const isForm = multipartBoundary(contentType) !== null;
  if (endpoint.billing && endpoint.requestBody === "multipart") {
    if (isForm) return "form";
    if (isJsonType(contentType)) return "json";
    throw new GatewayError("unsupported_encoding", {
      message: "Send this request as multipart/form-data with a boundary, or as application/json",
    });
  }
  if (provider.paramWhitelist.size === 0) return "none";
  return isForm ? "form" : "params";
}

function isJsonEndpoint({ requestBody }: Endpoint): boolean {
  return requestBody === "json";
}

/** `application/json`, `application/ld+json` and their like, with any parameters, in any case. */
function isJsonType(contentType: string | null): boolean {
  return /^[^;]*[/+]json\s*(?:;|$)/i.test(contentType ?? "");
}

/** Holds the body, or of a form that is too long for that what it begins with. */
async function holdFor(
  { clock, config, bodyBudget: budget }: GatewayParts,
  request: Request,
  reading: Reading,
): Promise<HeldBody | BodySource> {
  const { inspectBodyBytesMax, bodyBytesMax } = config.limits;
  if (reading !== "form") {
    return await holdBody(request, { bytesMax: inspectBodyBytesMax, budget, clock });
  }
  const limits = [FORM_HELD_BYTES_MAX, inspectBodyBytesMax, bodyBytesMax];
  const bytesMax = Math.min(...limits.filter((limit) => limit > 0));
  const isLong = (declaredLength(request.headers) ?? 0) > bytesMax;
  return isLong ? request : await holdStart(request, { bytesMax, budget, clock });
}

function judgeHeld(
  parts: GatewayParts,
  principal: Principal,
  headers: Headers,
  candidate: Candidate,
  bytes: Uint8Array<ArrayBuffer>,
): Omit<RequestBody, "held"> {
  const reading = readingOf(candidate, headers);
  if (reading === "json") return readJson(parts, principal, headers, candidate, bytes);
  if (reading === "form") return readForm(parts, principal, headers, candidate, bytes);
  const { paramWhitelist } = candidate.provider;
  const isChecked = bytes.byteLength === 0 || requireParams(paramWhitelist, bytes);
  if (isChecked || !isJsonType(headers.get("content-type"))) return { ...UNREAD, body: bytes };
  throw new GatewayError("invalid_json", { message: "The body is not one JSON object" });
}

/** One request, or a batch of them, each of which has to pass as if it came by itself. */
function readJson(
  parts: GatewayParts,
  principal: Principal,
  headers: Headers,
  candidate: Candidate,
  bytes: Uint8Array<ArrayBuffer>,
): HeldJson {
  const { endpoint } = candidate;
  const read = readRequest(parts, principal, headers, candidate, bytes);
  if (endpoint.batch === null) return read;
  const lists = parts.authenticator.lists(principal);
  return judgeBatch(endpoint.batch, read, {
    request(dialect, body) {
      const to = { ...candidate, endpoint: { ...endpoint, dialect } };
      const request = readRequest(parts, principal, headers, to, body);
      requireModel(lists, request.requested.model);
      return request;
    },
    file() {
      requireModel(lists, read.requested.model);
      policeUnread(parts, principal, candidate, read.requested.model);
    },
  });
}

function readRequest(
  parts: GatewayParts,
  principal: Principal,
  headers: Headers,
  candidate: Candidate,
  bytes: Uint8Array<ArrayBuffer>,
): HeldJson {
  const { endpoint, provider, path } = candidate;
  const { dialect } = endpoint;
  const requested = readRequestedTurn(dialect, bytes, path);
  refuseDuplicate(requested.duplicate);
  if (provider.paramWhitelist.size > 0) {
    requireParams(provider.paramWhitelist, bytes);
    // Gemini's is in the path.
    if (requested.model !== null) requireParam(provider.paramWhitelist, "model", requested.model);
  }
  const policed = policeRequest(parts, principal, candidate, headers, bytes, requested);
  const { requestedTier: serviceTier, decidedTier, betas } = policed;
  const lacksUsage = requested.stream && !requested.includeUsage;
  const injects = provider.injectStreamUsage && lacksUsage && SILENT_DIALECTS.includes(dialect);
  const injected = injects ? injectStreamUsage(policed.body) : null;
  const body = injected === null ? policed.body : new Uint8Array(injected);
  const asked = { ...requested, serviceTier };
  return { body, requested: asked, decidedTier, betas, usageInjected: injected !== null };
}

/** A form goes as it came. */
function readForm(
  parts: GatewayParts,
  principal: Principal,
  headers: Headers,
  candidate: Candidate,
  bytes: Uint8Array<ArrayBuffer>,
): Omit<RequestBody, "held"> {
  const requested = formReader(headers, candidate.provider.paramWhitelist)(bytes);
  if (!candidate.endpoint.billing) return { ...UNREAD, body: bytes };
  policeForm(parts, principal, candidate, requested);
  return { ...UNREAD, body: bytes, requested, decidedTier: requested.serviceTier };
}

function streamBody(
  { clock, config }: GatewayParts,
  source: BodySource,
  { endpoint, provider }: Candidate,
  reading: Reading,
  observer: StreamObserver,
): RequestBody {
  const { headers } = source;
  const isWatched = endpoint.billing || reading === "form";
  if (isWatched) requireIdentity(headers);
  const readForm = reading === "form" ? formReader(headers, provider.paramWhitelist) : readNothing;
  const body = new Upload(source, {
    bytesMax: config.limits.bodyBytesMax,
    clock,
    writeTimeoutMs: provider.timeouts.writeMs,
    observe: isWatched ? streamWatcher(readForm, endpoint.billing, observer) : null,
  });
  return { ...UNREAD, body };
}

/** Takes a piece of a body, and returns what the body asks for as far as it is known. */
type FormReader = (chunk: Uint8Array) => RequestedTurn;

/** Reports what a body asks for while it streams by: where that changed, and at the end. */
function streamWatcher(
  readForm: FormReader,
  billing: boolean,
  observer: StreamObserver,
): (chunk: Uint8Array | null) => void {
  let requested = requestedByForm(new Map());
  let told: RequestedTurn | null = null;
  return (chunk) => {
    if (chunk !== null) {
      observer.sent(chunk.byteLength);
      requested = readForm(chunk);
    }
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
function readNothing(): RequestedTurn {
  return requestedByForm(new Map());
}

/**
 * Finds what a form asks for, and what is limited: also behind the file.
 * @param headers have a boundary
 * @returns a reader that throws GatewayError `ambiguous_json`, `bad_request`, `param_not_allowed`
 */
function formReader(headers: Headers, whitelist: ParamWhitelist): FormReader {
  const boundary = multipartBoundary(headers.get("content-type")) ?? "";
  const names = [...FORM_FIELDS, ...whitelist.keys()];
  const fields = new MultipartFields(boundary, names, FORM_VALUE_BYTES_MAX);
  return (chunk) => {
    fields.push(chunk);
    refuseDuplicate(fields.duplicate);
    requireForm(whitelist, fields);
    refuseUnread(fields);
    return requestedByForm(fields.values);
  };
}

/** Which of the two the upstream would read is not known. @throws GatewayError `ambiguous_json` */
function refuseDuplicate(field: string | null): void {
  if (field === null) return;
  const message = `The request names "${field}" twice. Send it once`;
  throw new GatewayError("ambiguous_json", { message, param: field });
}

/** What was not kept cannot be judged. @throws GatewayError `bad_request` */
function refuseUnread({ oversized, isUnread }: MultipartFields): void {
  if (isUnread) {
    throw new GatewayError("bad_request", {
      message: "A part of the form has headers that are too long to be read. Shorten them",
    });
  }
  for (const field of oversized) {
    const message = `"${field}" is longer than ${FORM_VALUE_BYTES_MAX} bytes. Shorten it`;
    throw new GatewayError("bad_request", { message, param: field });
  }
}
