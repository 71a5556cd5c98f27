/**
 * What of an HTTP request goes upstream, and what it asks for.
 *
 * Owns: which bodies are held whole and read, and which stream by. Does not own: holding and
 * streaming (`relay/request_body.ts`), reading (`provider/`), nor whether what is asked for may be.
 * Invariant: nothing of a held body leaves before it was judged, and of one that streams by its
 * end does not.
 */

import { GatewayError } from "../errors.ts";
import type { Principal } from "../exchange.ts";
import type { Admitted, Candidates, GatewayParts } from "./arrival.ts";
import {
  formReader,
  readForm,
  readNothing,
  refuseDuplicate,
  type StreamObserver,
  streamWatcher,
} from "./form.ts";
import { judgeBatch } from "./batch.ts";
import { policeCall } from "./call.ts";
import { bytesOf, policeForm, policeRequest, policeUnread } from "./request_tiers.ts";
import { editBytes } from "../lib/json_scan.ts";
import { requireModel } from "../policy/access.ts";
import { type ParamWhitelist, requireParam, requireParams } from "../policy/param_whitelist.ts";
import { renameInBody } from "../provider/model_field.ts";
import { multipartBoundary } from "../provider/multipart.ts";
import { injectStreamUsage, requestedByForm } from "../provider/openai_request.ts";
import type { Endpoint, MeterDialect, RequestedTurn } from "../provider/provider.ts";
import { readRequestedTurn } from "../provider/request.ts";
import {
  type BodySource,
  declaredLength,
  hasBody,
  type HeldBody,
  holdBody,
  holdStart,
  requirePlain,
} from "../relay/request_body.ts";
import { Upload } from "../relay/upload.ts";
import type { Candidate } from "../route/choose.ts";
import { ModelNames, withModel } from "../route/model_map.ts";

/**
 * Up to here a form is held, so that the upstream hears nothing of one that is refused. Larger ones
 * carry files, which are not kept in memory.
 */
const FORM_HELD_BYTES_MAX = 256 * 1024;

/** Of a form that is read before it is known to whom it goes. */
const NO_WHITELIST: ParamWhitelist = new Map();

/** Chat and the older completions say what they used only when asked. */
const SILENT_DIALECTS: readonly MeterDialect[] = ["openai_chat", "openai_completions"];

/** What of the request goes upstream. */
export interface RequestBody {
  readonly body: Uint8Array<ArrayBuffer> | Upload | null;
  /** Without the provider's prefix, its model under the upstream's name. */
  readonly path: string;
  /** To be released by the caller; null: it streams. */
  readonly held: HeldBody | null;
  /** As the body says it; null: not known before it streams by, or nothing is asked for. */
  readonly asked: RequestedTurn | null;
  /** The same, with the tier that is asked for in whatever field or header. */
  readonly requested: RequestedTurn | null;
  /** Names of models on both sides. */
  readonly names: ModelNames;
  /** The model under the upstream's name; null: not known, or none. */
  readonly model: string | null;
  /** The tier that goes upstream; null: none. */
  readonly decidedTier: string | null;
  /** The `anthropic-beta` to send in the place of the client's; undefined: it stays. */
  readonly betas: string | null | undefined;
  readonly usageInjected: boolean;
}

/** What is sent without being read. */
const NOTHING = {
  requested: null,
  model: null,
  decidedTier: null,
  betas: undefined,
  usageInjected: false,
};

/** A held body after it was judged: how it goes to one candidate. */
type Judged = Omit<RequestBody, "held" | "asked" | "path" | "names">;

/** The same of JSON. */
interface JudgedJson extends Judged {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly requested: RequestedTurn;
}

/** A request, and who may be asked for what it turned out to ask for. */
interface ReadRequest {
  readonly candidates: Candidates;
  /** As the first of them is to get it. */
  readonly body: RequestBody;
}

type Asking = Pick<
  Admitted,
  "request" | "principal" | "candidates" | "decidesByModel" | "chooseFor"
>;

/**
 * The same request as another candidate is to get it. What streams by cannot be sent twice.
 * @throws GatewayError `tier_blocked`, `param_not_allowed`: it may not go there
 */
export function requestFor(
  parts: GatewayParts,
  asking: Pick<Admitted, "request" | "principal">,
  candidate: Candidate,
  body: RequestBody,
): RequestBody {
  const { held, asked } = body;
  return held === null ? body : judgeHeld(parts, asking, candidate, held, asked);
}

/**
 * Holds what is inspected, and streams everything else.
 * @throws GatewayError `invalid_json`, `ambiguous_json`, `body_too_large`, `unsupported_encoding`,
 *   `param_not_allowed`, `model_not_allowed`, `tier_blocked`, `bad_request`; why nobody is there
 *   for what it asks for
 */
export async function readRequestBody(
  parts: GatewayParts,
  asking: Asking,
  observer: StreamObserver,
): Promise<ReadRequest> {
  const { request, candidates } = asking;
  const [candidate] = candidates;
  const { endpoint } = candidate;
  const { headers } = request;
  // Of JSON, also its absence is judged.
  const isAbsent = !isJsonEndpoint(endpoint) && !hasBody(request);
  const reading = isAbsent ? "none" : readingOf(candidate, headers);
  const isUnread = reading === "none" || endpoint.escapesLimits;
  if (isUnread && asking.decidesByModel && isAboutModel(endpoint)) {
    // What nobody reads names no model.
    asking.chooseFor({ model: null, previousResponseId: null });
  }
  if (isAbsent) return { candidates, body: { ...unreadFor(candidate), body: null } };
  const held = reading === "none" ? request : await holdFor(parts, asking, reading);
  if (!("release" in held)) {
    return { candidates, body: streamBody(parts, held, candidate, reading, observer) };
  }
  try {
    const asked = askedIn(headers, candidate, reading, held.bytes);
    const chosen = asked === null ? candidates : candidatesFor(asking, asked, endpoint);
    const body = judgeHeld(parts, asking, chosen[0], held, asked);
    // What a form would ask for, this does not.
    if (endpoint.billing && reading === "params") observer.requested(requestedByForm(new Map()));
    return { candidates: chosen, body };
  } catch (error) {
    held.release();
    throw error;
  }
}

/** Who may be asked, now that the body says what for. */
function candidatesFor(
  { candidates, decidesByModel, chooseFor }: Asking,
  { model, previousResponseId }: RequestedTurn,
  { billing, batch }: Endpoint,
): Candidates {
  if (!decidesByModel && previousResponseId === null) return candidates;
  // A batch has requests with models of their own, and not all that is free is about a model.
  const isModelOpen = model === null && (!billing || batch !== null);
  return chooseFor({ model: isModelOpen ? undefined : model, previousResponseId });
}

/** Whether a model is used for what is asked for, here or where nobody sees it. */
function isAboutModel({ billing, escapesLimits }: Endpoint): boolean {
  return billing || escapesLimits;
}

function unreadFor({ provider, path }: Candidate): Omit<RequestBody, "body"> {
  const names = ModelNames.of(provider);
  return {
    ...NOTHING,
    asked: null,
    held: null,
    names,
    path: names.isTrivial ? path : withModel(path, provider, names.toUpstream),
  };
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
  if (provider.paramWhitelist.size === 0) return endpoint.escapesLimits ? "params" : "none";
  return isForm ? "form" : "params";
}

function isJsonEndpoint({ requestBody }: Endpoint): boolean {
  return requestBody === "json";
}

/** `application/json`, `application/ld+json` and their like, with any parameters, in any case. */
function isJsonType(contentType: string | null): boolean {
  return /^[^;]*[/+]json\s*(?:;|$)/i.test(contentType ?? "");
}

/**
 * Holds the body, or of a form that is too long for that what it begins with. No form is where its
 * model has to be known before anything goes upstream.
 */
async function holdFor(
  { clock, config, bodyBudget: budget }: GatewayParts,
  { request, candidates, decidesByModel }: Asking,
  reading: Reading,
): Promise<HeldBody | BodySource> {
  const { inspectBodyBytesMax, bodyBytesMax } = config.limits;
  const needsModel = decidesByModel || candidates.some(({ provider }) => provider.models.size > 0);
  if (reading !== "form" || needsModel || candidates[0].endpoint.escapesLimits) {
    return await holdBody(request, { bytesMax: inspectBodyBytesMax, budget, clock });
  }
  const limits = [FORM_HELD_BYTES_MAX, inspectBodyBytesMax, bodyBytesMax];
  const bytesMax = Math.min(...limits.filter((limit) => limit > 0));
  const isLong = (declaredLength(request.headers) ?? 0) > bytesMax;
  return isLong ? request : await holdStart(request, { bytesMax, budget, clock });
}

/** What a held body asks for; null: nothing that is read. */
function askedIn(
  headers: Headers,
  { endpoint, path }: Candidate,
  reading: Reading,
  bytes: Uint8Array<ArrayBuffer>,
): RequestedTurn | null {
  if (reading === "json") return readRequest(endpoint.dialect, bytes, path);
  if (reading !== "form" || !endpoint.billing) return null;
  return readForm(headers, NO_WHITELIST, bytes).requested;
}

function readRequest(
  dialect: MeterDialect,
  bytes: Uint8Array<ArrayBuffer>,
  path: string,
): RequestedTurn {
  const asked = readRequestedTurn(dialect, bytes, path);
  refuseDuplicate(asked.duplicate);
  return asked;
}

/** What a request is judged by, beside its body. */
interface Judging {
  readonly parts: GatewayParts;
  readonly principal: Principal;
  readonly headers: Headers;
  readonly candidate: Candidate;
  readonly names: ModelNames;
}

/** @param asked what `askedIn` found */
function judgeHeld(
  parts: GatewayParts,
  { request: { headers }, principal }: Pick<Admitted, "request" | "principal">,
  candidate: Candidate,
  held: HeldBody,
  asked: RequestedTurn | null,
): RequestBody {
  const { bytes } = held;
  const reading = readingOf(candidate, headers);
  const base = { ...unreadFor(candidate), held, asked };
  if (candidate.endpoint.escapesLimits) policeCall(parts, principal, candidate, headers, bytes);
  if (reading === "params" || reading === "none") {
    requireReadable(headers, candidate, bytes);
    return { ...base, body: bytes };
  }
  const judging = { parts, principal, headers, candidate, names: base.names };
  const isForm = reading === "form" || asked === null;
  return { ...base, ...(isForm ? judgeForm(judging, bytes) : judgeJson(judging, bytes, asked)) };
}

function requireReadable(
  headers: Headers,
  { provider }: Candidate,
  bytes: Uint8Array<ArrayBuffer>,
): void {
  const isChecked = bytes.byteLength === 0 || requireParams(provider.paramWhitelist, bytes);
  if (isChecked || !isJsonType(headers.get("content-type"))) return;
  throw new GatewayError("invalid_json", { message: "The body is not one JSON object" });
}

/** One request, or a batch of them, each of which has to pass as if it came by itself. */
function judgeJson(
  judging: Judging,
  bytes: Uint8Array<ArrayBuffer>,
  asked: RequestedTurn,
): JudgedJson {
  const { parts, principal, candidate, names } = judging;
  const { endpoint, path } = candidate;
  const judged = judgeRequest(judging, bytes, asked);
  if (endpoint.batch === null) return judged;
  const lists = parts.authenticator.lists(principal);
  const admit = ({ model, requested }: JudgedJson) => {
    names.requireServed(requested.model);
    requireModel(lists, names.namesOf(requested.model, model));
  };
  return judgeBatch(endpoint.batch, judged, {
    request(dialect, body) {
      const to = { ...candidate, endpoint: { ...endpoint, dialect } };
      const request = readRequest(dialect, body, path);
      const one = judgeRequest({ ...judging, candidate: to }, body, request);
      admit(one);
      return one;
    },
    file() {
      admit(judged);
      policeUnread(parts, principal, candidate, judged.model);
    },
  });
}

function judgeRequest(
  { parts, principal, headers, candidate, names }: Judging,
  bytes: Uint8Array<ArrayBuffer>,
  asked: RequestedTurn,
): JudgedJson {
  const { endpoint, provider } = candidate;
  const { dialect } = endpoint;
  if (provider.paramWhitelist.size > 0) {
    requireParams(provider.paramWhitelist, bytes);
    // Gemini's is in the path.
    if (asked.model !== null) requireParam(provider.paramWhitelist, "model", asked.model);
  }
  const model = asked.model === null ? null : names.toUpstream(asked.model);
  const renamed = names.isTrivial ? bytes : bytesOf(renameInBody(dialect, bytes, names.toUpstream));
  const sent = { ...asked, model };
  const policed = policeRequest(parts, principal, candidate, headers, renamed, sent);
  const { requestedTier: serviceTier, decidedTier, betas } = policed;
  const lacksUsage = asked.stream && !asked.includeUsage;
  const injects = provider.injectStreamUsage && lacksUsage && SILENT_DIALECTS.includes(dialect);
  const injected = injects ? injectStreamUsage(policed.body) : null;
  const body = injected === null ? policed.body : new Uint8Array(injected);
  const requested = { ...asked, serviceTier };
  return { body, requested, model, decidedTier, betas, usageInjected: injected !== null };
}

/** Of a form nothing but the model's name changes. */
function judgeForm(
  { parts, principal, headers, candidate, names }: Judging,
  bytes: Uint8Array<ArrayBuffer>,
): Judged {
  const { requested, modelSpan } = readForm(headers, candidate.provider.paramWhitelist, bytes);
  if (!candidate.endpoint.billing) return { ...NOTHING, body: bytes };
  const model = requested.model === null ? null : names.toUpstream(requested.model);
  policeForm(parts, principal, candidate, { ...requested, model });
  const body =
    modelSpan === null || model === null || model === requested.model
      ? bytes
      : bytesOf(editBytes(bytes, { ...modelSpan, insert: model }));
  return { ...NOTHING, body, requested, model, decidedTier: requested.serviceTier };
}

function streamBody(
  { clock, config }: GatewayParts,
  source: BodySource,
  candidate: Candidate,
  reading: Reading,
  observer: StreamObserver,
): RequestBody {
  const { endpoint, provider } = candidate;
  const isForm = reading === "form";
  const isWatched = endpoint.billing || isForm;
  if (isWatched) requirePlain(source.headers);
  const reader = isForm ? formReader(source.headers, provider.paramWhitelist) : readNothing;
  const body = new Upload(source, {
    bytesMax: config.limits.bodyBytesMax,
    clock,
    writeTimeoutMs: provider.timeouts.writeMs,
    observe: isWatched ? streamWatcher(reader, endpoint.billing, observer) : null,
  });
  return { ...unreadFor(candidate), body };
}
