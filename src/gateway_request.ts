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
 * @throws GatewayError `tier_blocked`: it may not go there
 */
export function requestFor(
  parts: GatewayParts,
  { request, principal }: Pick<Admitted, "request" | "principal">,
  candidate: Candidate,
  body: RequestBody,
): RequestBody {
  const { held } = body;
  if (held === null) return body;
  return { ...readHeld(parts, principal, request.headers, candidate, held.bytes), held };
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
  if (!endpoint.billing || endpoint.requestBody !== "json") {
    return streamBody(parts, request, endpoint, provider, observer);
  }
  const { clock, config, bodyBudget } = parts;
  const bytesMax = config.limits.inspectBodyBytesMax;
  const held = await holdBody(request, { bytesMax, budget: bodyBudget, clock });
  try {
    return { ...readHeld(parts, principal, request.headers, candidate, held.bytes), held };
  } catch (error) {
    held.release();
    throw error;
  }
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
  const body = new Upload(request, {
    bytesMax: config.limits.bodyBytesMax,
    clock,
    writeTimeoutMs: provider.timeouts.writeMs,
    observe: endpoint.billing ? formReader(request, endpoint, observer) : null,
  });
  return { ...UNREAD, body };
}

/** Finds the model in a form that streams by; it may stand behind the file. */
function formReader(
  { headers }: Request,
  { requestBody }: Endpoint,
  observer: StreamObserver,
): (chunk: Uint8Array | null) => void {
  const boundary =
    requestBody === "multipart" ? multipartBoundary(headers.get("content-type")) : null;
  const fields =
    boundary === null ? null : new MultipartFields(boundary, FORM_FIELDS, FORM_VALUE_BYTES_MAX);
  return (chunk) => {
    if (chunk !== null) {
      observer.sent(chunk.byteLength);
      fields?.push(chunk);
    }
    refuseDuplicate(fields?.duplicate ?? null);
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
