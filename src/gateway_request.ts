/**
 * What of an HTTP request goes upstream, and what it asks for.
 *
 * Owns: which bodies are held whole and read, and which stream by. Does not own: holding and
 * streaming (`relay/request_body.ts`), reading (`provider/`), nor whether what is asked for may be.
 * Invariant: nothing of a held body leaves before it was judged, and of one that streams by its
 * end does not.
 */

import type { ProviderConfig } from "./config/config.ts";
import { GatewayError } from "./errors.ts";
import type { Principal } from "./exchange.ts";
import type { Admitted, GatewayParts } from "./gateway_arrival.ts";
import { policeRequest } from "./gateway_tier.ts";
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
import { type HeldBody, holdBody, Upload } from "./relay/request_body.ts";
import type { Candidate } from "./route/choose.ts";

/** Form fields that say what a multipart request asks for, and the most of one that is kept. */
const FORM_FIELDS = ["model", "service_tier", "stream"];
const FORM_VALUE_BYTES_MAX = 1024;

/** Chat and the older completions say what they used only when asked. */
const SILENT_DIALECTS: readonly MeterDialect[] = ["openai_chat", "openai_completions"];

/** What of the request goes upstream. */
export interface RequestBody {
  readonly body: Uint8Array<ArrayBuffer> | Upload | null;
  /** To be released by the caller; null: it streams. */
  readonly held: HeldBody | null;
  /** Null: not known before it streams by. */
  readonly requested: RequestedTurn | null;
  /** The tier that goes upstream; null: none. */
  readonly decidedTier: string | null;
  /** The `anthropic-beta` to send in the place of the client's; undefined: it stays. */
  readonly betas: string | null | undefined;
  readonly usageInjected: boolean;
}

/** What streams by without being read. */
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
  /** What a form asks for, as soon as it names a model, else before its end. A throw ends it. */
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
 *   `param_not_allowed`, `tier_blocked`
 */
export async function readRequestBody(
  parts: GatewayParts,
  { request, principal }: Pick<Admitted, "request" | "principal">,
  candidate: Candidate,
  observer: StreamObserver,
): Promise<RequestBody> {
  const { endpoint, provider } = candidate;
  if (!isRead(endpoint) && !isSearched(request, provider)) {
    return streamBody(parts, request, endpoint, provider, observer);
  }
  const { clock, config, bodyBudget } = parts;
  const bytesMax = config.limits.inspectBodyBytesMax;
  const held = await holdBody(request, { bytesMax, budget: bodyBudget, clock });
  try {
    const body = judgeHeld(parts, principal, request.headers, candidate, held.bytes);
    // What a form would ask for, this does not.
    if (endpoint.billing && !isRead(endpoint)) observer.requested(requestedByForm(new Map()));
    return { ...body, held };
  } catch (error) {
    held.release();
    throw error;
  }
}

/** Whether the endpoint's bodies are read for what they ask for. */
function isRead({ billing, requestBody }: Endpoint): boolean {
  return billing && requestBody === "json";
}

/**
 * Whether the body has to be searched for parameters that are limited. Some upstreams take JSON
 * under any content type, so that only a form, which is searched on its way, is known to be none.
 */
function isSearched({ body, headers }: Request, { paramWhitelist }: ProviderConfig): boolean {
  if (paramWhitelist.size === 0 || body === null) return false;
  return multipartBoundary(headers.get("content-type")) === null;
}

function judgeHeld(
  parts: GatewayParts,
  principal: Principal,
  headers: Headers,
  candidate: Candidate,
  bytes: Uint8Array<ArrayBuffer>,
): Omit<RequestBody, "held"> {
  const { endpoint, provider } = candidate;
  if (isRead(endpoint)) return readHeld(parts, principal, headers, candidate, bytes);
  const isChecked = bytes.byteLength === 0 || requireParams(provider.paramWhitelist, bytes);
  if (isChecked || !isJsonType(headers.get("content-type"))) return { ...UNREAD, body: bytes };
  throw new GatewayError("invalid_json", { message: "The body is not one JSON object" });
}

/** `application/json`, `application/ld+json` and their like, with any parameters, in any case. */
function isJsonType(contentType: string | null): boolean {
  return /^[^;]*[/+]json\s*(?:;|$)/i.test(contentType ?? "");
}

function readHeld(
  parts: GatewayParts,
  principal: Principal,
  headers: Headers,
  candidate: Candidate,
  bytes: Uint8Array<ArrayBuffer>,
): Omit<RequestBody, "held"> {
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
  const { decidedTier, betas } = policed;
  const lacksUsage = requested.stream && !requested.includeUsage;
  const injects = provider.injectStreamUsage && lacksUsage && SILENT_DIALECTS.includes(dialect);
  const injected = injects ? injectStreamUsage(policed.body) : null;
  const body = injected === null ? policed.body : new Uint8Array(injected);
  return { body, requested, decidedTier, betas, usageInjected: injected !== null };
}

function streamBody(
  { clock, config }: GatewayParts,
  request: Request,
  endpoint: Endpoint,
  provider: ProviderConfig,
  observer: StreamObserver,
): RequestBody {
  if (request.body === null) return { ...UNREAD, body: null };
  const { paramWhitelist, timeouts } = provider;
  const isWatched = endpoint.billing || paramWhitelist.size > 0;
  const body = new Upload(request, {
    bytesMax: config.limits.bodyBytesMax,
    clock,
    writeTimeoutMs: timeouts.writeMs,
    observe: isWatched ? formReader(request, endpoint, paramWhitelist, observer) : null,
  });
  return { ...UNREAD, body };
}

/** Finds the model in a form that streams by, and what is limited: also behind the file. */
function formReader(
  { headers }: Request,
  { billing, requestBody }: Endpoint,
  whitelist: ParamWhitelist,
  observer: StreamObserver,
): (chunk: Uint8Array | null) => void {
  const isForm = requestBody === "multipart" || whitelist.size > 0;
  const boundary = isForm ? multipartBoundary(headers.get("content-type")) : null;
  const names = [...FORM_FIELDS, ...whitelist.keys()];
  const fields =
    boundary === null ? null : new MultipartFields(boundary, names, FORM_VALUE_BYTES_MAX);
  return (chunk) => {
    if (chunk !== null) {
      observer.sent(chunk.byteLength);
      fields?.push(chunk);
    }
    refuseDuplicate(fields?.duplicate ?? null);
    if (fields !== null) requireForm(whitelist, fields);
    if (!billing) return;
    const requested = requestedByForm(fields?.values ?? new Map());
    // Without a model by then, only the end of the body is still to be sent.
    if (requested.model !== null || chunk === null) observer.requested(requested);
  };
}

/** Which of the two the upstream would read is not known. @throws GatewayError `ambiguous_json` */
function refuseDuplicate(field: string | null): void {
  if (field === null) return;
  const message = `The request names "${field}" twice. Send it once`;
  throw new GatewayError("ambiguous_json", { message, param: field });
}
