/**
 * The service tier policy, applied to HTTP requests.
 *
 * Owns: reading what is asked for in body, form and headers, and putting the decision in its place.
 * Does not own: the decision (`tier_judge.ts`), the places (`provider/tier_field.ts`).
 * Invariant: nothing but the field decided about changes.
 */

import { KNOWN_TIERS, type Message, type Principal } from "../exchange.ts";
import { BETA_HEADER, fastModeAsk, writeFastMode } from "../provider/fast_mode.ts";
import type { MeterDialect, RequestedTurn } from "../provider/provider.ts";
import { readTiers, writeTier } from "../provider/tier_field.ts";
import type { Candidate } from "../route/choose.ts";
import { blocked, type DecidedTiers, TierJudge, type TierParts } from "./tier_judge.ts";

/** Where Anthropic is asked for fast mode in the body. */
const FAST_FIELD = "speed";

/** A request after its tiers were decided. */
interface PolicedRequest {
  readonly body: Uint8Array<ArrayBuffer>;
  /** As the client wrote it, in whatever field or header; null: it named none. */
  readonly requestedTier: string | null;
  /** As it goes upstream; null: none. */
  readonly decidedTier: string | null;
  /** What becomes of `anthropic-beta`; undefined: it stays as it came, null: it is left out. */
  readonly betas: string | null | undefined;
}

/**
 * Decides about an HTTP request.
 * @throws GatewayError `tier_blocked`, `ambiguous_json`, `param_not_allowed`
 */
export function policeRequest(
  parts: TierParts,
  principal: Principal,
  { endpoint: { dialect }, provider }: Candidate,
  headers: Headers,
  body: Uint8Array<ArrayBuffer>,
  requested: RequestedTurn,
): PolicedRequest {
  const judge = new TierJudge(parts, principal, provider);
  const models = [requested.model];
  let message: Message = body;
  let tiers: DecidedTiers | null = null;
  let isFastAsked = false;
  for (const ask of mayAsk(dialect, requested) ? readTiers(dialect, "body", body).asks : []) {
    const { tier } = judge.decide(ask, models, dialect, null);
    const written = writeTier(dialect, "body", message, ask.field, tier);
    message = written.message;
    // Of a tier and a speed, the speed is what the price depends on.
    isFastAsked ||= ask.field === FAST_FIELD;
    if (tiers === null || ask.field === FAST_FIELD) {
      tiers = { requested: ask.tier, decided: written.tier };
    }
  }
  const { betas, asked } = policeBetas(judge, dialect, headers, models);
  if (!isFastAsked) tiers = asked ?? tiers;
  return {
    body: message === body ? body : bytesOf(message),
    requestedTier: tiers?.requested ?? requested.serviceTier,
    decidedTier: tiers === null ? requested.serviceTier : tiers.decided,
    betas,
  };
}

/**
 * Refuses a form that asks for a tier which may not go on as it is: a form that streams by cannot
 * be rewritten.
 * @throws GatewayError `tier_blocked`
 */
export function policeForm(
  parts: TierParts,
  principal: Principal,
  { endpoint: { dialect }, provider }: Candidate,
  { model, serviceTier }: RequestedTurn,
): void {
  if (serviceTier === null) return;
  const judge = new TierJudge(parts, principal, provider);
  const ask = { field: "service_tier", tier: serviceTier };
  const { tier } = judge.decide(ask, [model], dialect, null);
  if (tier !== serviceTier) throw blocked("The service tier cannot be changed in a form");
}

/**
 * Refuses requests that stand where nobody here can read them, unless they may ask for any tier
 * that there is. What a rule would take out or replace is left to the batch, which is a tier of its
 * own.
 * @throws GatewayError `tier_blocked`
 */
export function policeUnread(
  parts: TierParts,
  principal: Principal,
  { provider }: Candidate,
  model: string | null,
): void {
  const judge = new TierJudge(parts, principal, provider);
  const refused = KNOWN_TIERS.find((tier) => judge.refuses(tier, model));
  if (refused === undefined) return;
  const message =
    `The requests of this batch stand in a file, which may ask for the service tier ${refused}, ` +
    "and that is not allowed. Send them one by one";
  throw blocked(message);
}

function policeBetas(
  judge: TierJudge,
  dialect: MeterDialect,
  headers: Headers,
  models: readonly (string | null)[],
): { readonly betas: string | null | undefined; readonly asked: DecidedTiers | null } {
  const betas = dialect === "anthropic_messages" ? headers.get(BETA_HEADER) : null;
  const ask = fastModeAsk(betas);
  if (betas === null || ask === null) return { betas: undefined, asked: null };
  const { tier } = judge.decide(ask, models, dialect, null);
  const written = writeFastMode(betas, tier);
  const decided = written === betas ? tier : null;
  const asked = { requested: ask.tier, decided };
  return { betas: written === betas ? undefined : written, asked };
}

/** Whether a body has to be read once more for tiers: that of most requests names none. */
function mayAsk(dialect: MeterDialect, { serviceTier, speed }: RequestedTurn): boolean {
  return serviceTier !== null || speed !== null || dialect === "gemini_generate";
}

/** The message in bytes of its own. */
export function bytesOf(message: Message): Uint8Array<ArrayBuffer> {
  return typeof message === "string" ? new TextEncoder().encode(message) : new Uint8Array(message);
}
