/**
 * An HTTP exchange, from the admitted request to the last byte of the answer.
 *
 * Owns: the order in which the parts of `relay/` and the meter are used, and the registration of
 * the exchange while it runs.
 * Does not own: what any of them does.
 * Invariant: whatever happens, the held body is released, the meter is told how it ended, and the
 * registry forgets the exchange, once.
 */

import { errorEvent, GatewayError } from "../errors.ts";
import type { BodyTap, Reservation } from "../exchange.ts";
import { createBackgroundTap } from "../meter/background.ts";
import { type BodyMeter, createBodyMeter } from "../meter/body_meter.ts";
import { rateHeaders } from "../policy/rate_headers.ts";
import { ClientGone, Ending } from "../relay/ending.ts";
import type { UpstreamAnswer } from "../relay/forward.ts";
import { downstreamHeaders } from "../relay/headers.ts";
import type { LiveExchange } from "../relay/live.ts";
import type { HeldBody } from "../relay/request_body.ts";
import { type BodyEnd, BodyRelay, isSmall } from "../relay/response_body.ts";
import type { Candidate } from "../route/choose.ts";
import { IDLE_TIMEOUT_S, type MaybePromise } from "../runtime/runtime.ts";
import { admitAsked, reserveExchange } from "./admission.ts";
import { type Admitted, contextOf, type GatewayParts, reportInternal } from "./arrival.ts";
import { keepProvidersKey } from "./client_secret.ts";
import type { StreamObserver } from "./form.ts";
import type { RequestBody } from "./judgement.ts";
import { Registered } from "./registered.ts";
import { renamingTap } from "./rename.ts";
import { readRequestBody } from "./request.ts";
import { policeForm } from "./request_tiers.ts";
import { TIER_HEADER, tierPair } from "./tier_judge.ts";
import { Upstreams } from "./upstreams.ts";

/** Where the answer of a turn in the background is fetched. */
const BACKGROUND_ENDPOINT = "/v1/responses/{id}";

/** Of a turn that came to nothing because its client left before it went upstream. */
const CLIENT_LEFT = "client_left";

/**
 * Relays one request.
 * @returns the answer, whose body may still be on its way
 * @throws GatewayError what refused it before the upstream's answer began
 * @throws ClientGone
 */
export function relayExchange(parts: GatewayParts, admitted: Admitted): Promise<Response> {
  return new HttpExchange(parts, admitted).run();
}

class HttpExchange extends Registered implements LiveExchange {
  readonly transport = "http";
  readonly turns: number;
  readonly #parts: GatewayParts;
  readonly #admitted: Admitted;
  readonly #upstreams: Upstreams;
  readonly #ending = new Ending();
  readonly #clientLeft = () => this.#ending.end(new ClientGone());
  #held: HeldBody | null = null;
  #reservation: Reservation | null = null;
  #meter: BodyMeter | null = null;
  #relay: BodyRelay | null = null;

  constructor(parts: GatewayParts, admitted: Admitted) {
    super(parts, admitted);
    this.#parts = parts;
    this.#admitted = admitted;
    this.#upstreams = new Upstreams(parts, admitted, this.#ending);
    const { endpoint } = this.#candidate;
    this.turns = endpoint.billing ? 1 : 0;
  }

  /** The one that is asked now. */
  get #candidate(): Candidate {
    return this.#upstreams.candidate;
  }

  get provider(): string {
    return this.#candidate.provider.name;
  }

  get remoteAddress(): string {
    return this.#admitted.connection.remoteAddress;
  }

  /** Ends it at once, whatever it is doing. */
  end(error: GatewayError): void {
    if (this.#relay === null) this.#ending.end(error);
    else this.#relay.end(error);
  }

  /** A request ends by itself. */
  drain(): void {}

  async run(): Promise<Response> {
    const { live, authenticator } = this.#parts;
    const { request, connection, principal } = this.#admitted;
    // Ours are finer, and the runtime's would cut a stream that is silent for a while.
    connection.setIdleTimeout(0);
    live.add(this);
    request.signal.addEventListener("abort", this.#clientLeft);
    try {
      // Revoked between the check and the registration: nobody would have told us.
      authenticator.recheck(principal);
      const body = await this.#readBody();
      this.#reservation = await this.#reserve(body);
      // Waiting for a lease takes time too.
      authenticator.recheck(principal);
      this.#ending.throwIfEnded();
      this.#meter = this.#openMeter(this.#reservation, body);
      const { answer, body: sent } = await this.#upstreams.ask(body, this.#meter);
      this.#held?.release();
      const { names } = sent;
      const own = await keepProvidersKey(
        this.#parts,
        this.#admitted,
        this.#candidate,
        names,
        answer,
      );
      return await this.#answer(own, sent);
    } catch (thrown) {
      this.#endMeter(thrown);
      this.#forget();
      throw thrown;
    }
  }

  /** Holds what is inspected, and streams everything else. */
  async #readBody(): Promise<RequestBody> {
    const { principal } = this.#admitted;
    const observer: StreamObserver = {
      sent: (byteCount) => this.#meter?.sent(byteCount),
      requested: (requested) => {
        const { model, serviceTier } = requested;
        policeForm(this.#parts, principal, this.#candidate, requested);
        admitAsked(this.#parts, principal, model === null ? [] : [model], serviceTier);
        this.#meter?.requested(requested);
      },
    };
    const read = await readRequestBody(this.#parts, this.#admitted, observer, this.#ending);
    const { candidates, body } = read;
    this.#held = body.held;
    this.#upstreams.are(candidates);
    return body;
  }

  /** Sets aside what it may take. */
  #reserve({ requested, decidedTier, held, model }: RequestBody): MaybePromise<Reservation> {
    if (!this.#candidate.endpoint.billing) {
      return reserveExchange(this.#parts, this.#admitted, null);
    }
    return reserveExchange(this.#parts, this.#admitted, {
      model,
      serviceTier: decidedTier,
      frameBytes: held?.bytes.byteLength ?? 0,
      outputTokensMax: requested?.outputTokensMax ?? null,
    });
  }

  /** The turn is on record before anything reaches the upstream. */
  #openMeter(
    reservation: Reservation,
    { requested, decidedTier, model, body }: RequestBody,
  ): BodyMeter | null {
    const { endpoint } = this.#candidate;
    if (!endpoint.billing) return null;
    const meter = createBodyMeter({
      ...this.#parts.meter,
      context: contextOf(this.#admitted, this.#candidate, null),
      kind: endpoint.kind,
      requested,
      decidedServiceTier: decidedTier,
      sentModel: model,
      reservation,
      dialect: endpoint.dialect,
      bodyBytesMax: this.#parts.config.limits.inspectBodyBytesMax,
    });
    if (body instanceof Uint8Array) meter.sent(body.byteLength);
    return meter;
  }

  async #answer(answer: UpstreamAnswer, request: RequestBody): Promise<Response> {
    const { usageInjected } = request;
    const { config, clock } = this.#parts;
    const { method } = this.#admitted.request;
    const { provider, family } = this.#candidate;
    const { status } = answer;
    const head = bodyHead(answer.headers);
    const headerNamed = (name: string | null) => (name === null ? null : answer.headers.get(name));
    const metered =
      this.#meter?.answered({
        context: contextOf(this.#admitted, this.#candidate, headerNamed(family.requestIdHeader)),
        serviceTier: headerNamed(family.serviceTierHeader),
        httpStatus: status,
        ...head,
        usageInjected,
      }) ?? this.#backgroundTap(answer);
    const { dialect } = this.#candidate.endpoint;
    const tap = renamingTap(metered, answer, request, dialect, config.limits.inspectBodyBytesMax);
    const speaksEvents =
      provider.type === "openai" && head.contentType?.startsWith("text/event-stream") === true;
    const relay = new BodyRelay({
      answer,
      tap,
      clock,
      timeouts: provider.timeouts,
      errorEvent: speaksEvents ? (error) => `data: ${errorEvent(error, this.id)}\n\n` : null,
      onEnd: (end) => this.#ended(end, status),
    });
    this.#relay = relay;
    const hasBody = method !== "HEAD" && status !== 204 && status !== 304;
    const read = hasBody && isSmall(answer.headers) ? answer.bytes : null;
    const headers = downstreamHeaders(answer.headers, {
      method,
      status,
      provider: provider.name,
      requestId: this.id,
      // The runtime tells the length of what it has in one piece.
      keepLength: !usageInjected && tap === metered && read === null,
      timing: config.timingHeaders ? answer : null,
    });
    for (const [name, value] of this.#rateHeaders(answer)) headers.set(name, value);
    const asked = request.requested?.serviceTier ?? null;
    if (asked !== null) headers.set(TIER_HEADER, tierPair(asked, request.decidedTier));
    const body = read === null ? relay.stream : await relay.whole(read);
    if (body === null) await relay.endWithoutBody();
    return new Response(body, { status, headers });
  }

  #rateHeaders({ headers }: UpstreamAnswer): readonly (readonly [string, string])[] {
    const { limiter, authenticator, clock } = this.#parts;
    const subjects = authenticator.limits(this.#admitted.principal);
    if (subjects.length === 0) return [];
    const { type } = this.#candidate.provider;
    return rateHeaders(type, limiter.rates(subjects), headers, clock.nowMs());
  }

  /** An answer that may show the end of a turn in the background is watched for it. */
  #backgroundTap(answer: UpstreamAnswer): BodyTap | null {
    const { config, pending } = this.#parts;
    const { endpoint, provider, path } = this.#candidate;
    const isShown =
      endpoint.name === BACKGROUND_ENDPOINT && this.#admitted.request.method === "GET";
    if (!isShown || answer.status !== 200) return null;
    return createBackgroundTap({
      pending,
      provider: provider.name,
      responseId: decodeURIComponent(path.slice(path.lastIndexOf("/") + 1)),
      ...bodyHead(answer.headers),
      bodyBytesMax: config.limits.inspectBodyBytesMax,
    });
  }

  #ended(end: BodyEnd, status: number): void {
    const { log, metrics, clock } = this.#parts;
    this.#forget();
    if (end.error !== null) reportInternal(this.#parts, this.id, end.error);
    metrics.count("sluice_exchanges_total", [this.provider, this.endpoint, String(status)]);
    // One line an exchange: that of its turn says it all.
    if (end.outcome === "complete" && this.#meter !== null) return;
    log(end.error === null ? "relay_completed" : "relay_failed", {
      session_id: this.id,
      transport: this.transport,
      provider: this.provider,
      endpoint: this.endpoint,
      status,
      stage: end.outcome,
      reason: end.error?.message,
      bytes_down: end.bytes,
      frames_down: end.chunks,
      duration_ms: clock.nowMs() - this.startedAtMs,
      graceful: end.outcome === "complete",
    });
  }

  /** Tells the meter why there is no answer. */
  #endMeter(thrown: unknown): void {
    if (this.#meter === null) return;
    if (thrown instanceof GatewayError) {
      this.#meter.failed(thrown.code, this.#upstreams.mayHaveBegun(thrown));
    } else if (this.#upstreams.wasSent) this.#meter.aborted();
    else this.#meter.failed(CLIENT_LEFT, false);
  }

  #forget(): void {
    this.#held?.release();
    // A metered one was settled by its meter.
    if (this.#upstreams.wasSent) this.#reservation?.settle(0, 0);
    else this.#reservation?.release();
    const { request, connection } = this.#admitted;
    request.signal.removeEventListener("abort", this.#clientLeft);
    // Between exchanges a connection must not be kept for ever.
    connection.setIdleTimeout(IDLE_TIMEOUT_S);
    this.#parts.live.remove(this);
  }
}

/** What an answer's headers say of its body; null: nothing. */
function bodyHead(headers: Headers) {
  const length = headers.get("content-length");
  return {
    contentType: headers.get("content-type"),
    contentEncoding: headers.get("content-encoding"),
    contentLength: length === null ? null : Number(length),
  };
}
