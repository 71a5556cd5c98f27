/**
 * What of an HTTP request goes upstream, and to whom it may go for what it asks.
 *
 * Owns: which bodies are held whole and read, and which stream by. Does not own: holding and
 * streaming (`relay/request_body.ts`), nor whether what is asked for may be (`judgement.ts`).
 * Invariant: nothing of a held body leaves before it was judged, and of one that streams by its
 * end does not.
 */

import { requestedByForm } from "../provider/openai_request.ts";
import type { Endpoint, RequestedTurn } from "../provider/provider.ts";
import type { Ending } from "../relay/ending.ts";
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
import type { Admitted, Candidates, GatewayParts } from "./arrival.ts";
import { formReader, readNothing, type StreamObserver, streamWatcher } from "./form.ts";
import {
  askedIn,
  isJsonEndpoint,
  judgeHeld,
  type Reading,
  readingOf,
  type RequestBody,
  unreadFor,
} from "./judgement.ts";

/**
 * Up to here a form is held, so that the upstream hears nothing of one that is refused. Larger ones
 * carry files, which are not kept in memory.
 */
const FORM_HELD_BYTES_MAX = 256 * 1024;

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
 *   for what it asks for; what ends the exchange meanwhile
 */
export async function readRequestBody(
  parts: GatewayParts,
  asking: Asking,
  observer: StreamObserver,
  ending: Ending,
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
  const held = reading === "none" ? request : await holdFor(parts, asking, reading, ending);
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

/**
 * Holds the body, or of a form that is too long for that what it begins with. No form is where its
 * model has to be known before anything goes upstream.
 */
async function holdFor(
  { clock, config, bodyBudget: budget }: GatewayParts,
  { request, candidates, decidesByModel }: Asking,
  reading: Reading,
  ending: Ending,
): Promise<HeldBody | BodySource> {
  const { inspectBodyBytesMax, bodyBytesMax } = config.limits;
  const needsModel = decidesByModel || candidates.some(({ provider }) => provider.models.size > 0);
  if (reading !== "form" || needsModel || candidates[0].endpoint.escapesLimits) {
    return await holdBody(request, { bytesMax: inspectBodyBytesMax, budget, clock, ending });
  }
  const limits = [FORM_HELD_BYTES_MAX, inspectBodyBytesMax, bodyBytesMax];
  const bytesMax = Math.min(...limits.filter((limit) => limit > 0));
  const isLong = (declaredLength(request.headers) ?? 0) > bytesMax;
  return isLong ? request : await holdStart(request, { bytesMax, budget, clock, ending });
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
