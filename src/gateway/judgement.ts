/**
 * A request's body as it goes to one candidate: how it is read, what it asks for, and whether it
 * may go there.
 *
 * Owns: these judgements in their order: parameters, the model's name, tiers, what is added to it.
 * Does not own: holding a body (`request.ts`), reading it (`provider/`), what may be asked for
 * (`policy/`).
 * Invariant: nothing but what was decided about changes. Each candidate is judged anew, from the
 * bytes that the client sent.
 */

import { GatewayError } from "../errors.ts";
import type { Principal } from "../exchange.ts";
import { editBytes } from "../lib/json_scan.ts";
import { requireModel } from "../policy/access.ts";
import { type ParamWhitelist, requireParam, requireParams } from "../policy/param_whitelist.ts";
import { renameInBody } from "../provider/model_field.ts";
import { multipartBoundary } from "../provider/multipart.ts";
import { injectStreamUsage } from "../provider/openai_request.ts";
import type { Endpoint, MeterDialect, RequestedTurn } from "../provider/provider.ts";
import { readRequestedTurn } from "../provider/request.ts";
import type { HeldBody } from "../relay/request_body.ts";
import type { Upload } from "../relay/upload.ts";
import type { Candidate } from "../route/choose.ts";
import { ModelNames, withModel } from "../route/model_map.ts";
import { admitAsked } from "./admission.ts";
import type { Admitted, GatewayParts } from "./arrival.ts";
import { judgeBatch } from "./batch.ts";
import { policeCall } from "./call.ts";
import { readForm, refuseDuplicate } from "./form.ts";
import { bytesOf, policeForm, policeRequest, policeUnread } from "./request_tiers.ts";

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

/** As it goes where it is not read. */
export function unreadFor({ provider, path }: Candidate): Omit<RequestBody, "body"> {
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
export type Reading = "json" | "form" | "params" | "none";

/**
 * Some upstreams take JSON under any content type, so that only a form is known to be none.
 * @throws GatewayError `unsupported_encoding`: what it asks for, nobody here could tell
 */
export function readingOf({ endpoint, provider }: Candidate, headers: Headers): Reading {
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

export function isJsonEndpoint({ requestBody }: Endpoint): boolean {
  return requestBody === "json";
}

/** `application/json`, `application/ld+json` and their like, with any parameters, in any case. */
function isJsonType(contentType: string | null): boolean {
  return /^[^;]*[/+]json\s*(?:;|$)/i.test(contentType ?? "");
}

/** What a held body asks for; null: nothing that is read. */
export function askedIn(
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

/**
 * @param asked what `askedIn` found
 * @throws GatewayError what refuses it
 */
export function judgeHeld(
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
  const judged = isForm ? judgeForm(judging, bytes) : judgeJson(judging, bytes, asked);
  admitJudged(judging, judged);
  return { ...base, ...judged };
}

/** With another candidate, a name may be that of another model. */
function admitJudged(
  { parts, principal, candidate, names }: Judging,
  { requested, model, decidedTier }: Judged,
): void {
  if (requested === null) return;
  // Of a batch, each request was asked about when it was judged.
  if (candidate.endpoint.batch === null) {
    admitAsked(parts, principal, names.namesOf(requested.model, model), decidedTier);
  }
  const { transcriptionModel } = requested;
  if (transcriptionModel === undefined) return;
  const theirs = names.toUpstream(transcriptionModel);
  admitAsked(parts, principal, names.namesOf(transcriptionModel, theirs), null);
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
