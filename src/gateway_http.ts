/**
 * An HTTP exchange, from the admitted request to the last byte of the answer.
 *
 * Owns: the order in which the parts of `relay/` and the meter are used, and the registration of
 * the exchange while it runs.
 * Does not own: what any of them does.
 * Invariant: whatever happens, the held body is released, the meter is told how it ended, and the
 * registry forgets the exchange, once.
 */

import { type ErrorCode, errorEvent, GatewayError } from "./errors.ts";
import {
  type Admitted,
  contextOf,
  type GatewayParts,
  reportInternal,
  upstreamHeaderOptions,
} from "./gateway_arrival.ts";
import type { BodyTap } from "./exchange.ts";
import { createBackgroundTap } from "./meter/background.ts";
import { type BodyMeter, createBodyMeter } from "./meter/body_meter.ts";
import { MultipartFields, multipartBoundary } from "./provider/multipart.ts";
import {
  injectStreamUsage,
  readRequestedTurn,
  requestedByForm,
} from "./provider/openai_request.ts";
import type { RequestedTurn } from "./provider/provider.ts";
import { ClientGone, forward, type UpstreamAnswer } from "./relay/forward.ts";
import { downstreamHeaders, injectsCredential, upstreamHeaders } from "./relay/headers.ts";
import type { LiveExchange } from "./relay/live.ts";
import { peekBody } from "./relay/peek.ts";
import { type HeldBody, holdBody, Upload } from "./relay/request_body.ts";
import { type BodyEnd, BodyRelay, isSmall } from "./relay/response_body.ts";
import type { Candidate } from "./route/resolve.ts";
import { upstreamUrl } from "./route/target.ts";
import { IDLE_TIMEOUT_S } from "./runtime/runtime.ts";

/** Form fields that say what a multipart request asks for, and the most of one that is kept. */
const FORM_FIELDS = ["model", "service_tier", "stream"];
const FORM_VALUE_BYTES_MAX = 1024;

/** The upstream was never reached, or would not have us. */
const NOTHING_BILLED: readonly ErrorCode[] = ["upstream_unreachable", "upstream_auth_failed"];

/** Where the answer of a turn in the background is fetched. */
const BACKGROUND_ENDPOINT = "/v1/responses/{id}";

/** Content codings (RFC 9110 section 8.4.1, RFC 7932, RFC 8878) of `meter/content_decoder.ts`. */
const READABLE_CODING = /^\s*(?:gzip|x-gzip|deflate|br|zstd|identity)\s*(?:;|$)/i;

/** As much of a refusal as is read to learn whether it is about our credential. */
const REFUSAL_BYTES_MAX = 64 * 1024;

/**
 * Relays one request.
 * @returns the answer, whose body may still be on its way
 * @throws GatewayError what refused it before the upstream's answer began
 * @throws ClientGone
 */
export function relayExchange(parts: GatewayParts, admitted: Admitted): Promise<Response> {
  return new HttpExchange(parts, admitted).run();
}

/** What of the request goes upstream. */
interface RequestBody {
  readonly body: Uint8Array<ArrayBuffer> | Upload | null;
  readonly requested: RequestedTurn | null;
  readonly usageInjected: boolean;
}

class HttpExchange implements LiveExchange {
  readonly id: string;
  readonly transport = "http";
  readonly projectId: string;
  readonly tokenId: string | null;
  readonly provider: string;
  readonly endpoint: string;
  readonly startedAtMs: number;
  readonly turns: number;
  readonly #parts: GatewayParts;
  readonly #admitted: Admitted;
  readonly #candidate: Candidate;
  /** Aborted by our own decision (reason: a GatewayError) or because the client is gone. */
  readonly #abort = new AbortController();
  readonly #clientLeft = () => this.#abort.abort(new ClientGone());
  #held: HeldBody | null = null;
  #sent = false;
  #meter: BodyMeter | null = null;
  #relay: BodyRelay | null = null;

  constructor(parts: GatewayParts, admitted: Admitted) {
    const [candidate] = admitted.candidates;
    this.#parts = parts;
    this.#admitted = admitted;
    this.#candidate = candidate;
    this.id = admitted.id;
    this.projectId = admitted.principal.projectId;
    this.tokenId = admitted.principal.tokenId;
    this.provider = candidate.provider.name;
    this.endpoint = candidate.endpoint.name;
    this.startedAtMs = parts.clock.nowMs();
    this.turns = candidate.endpoint.billing ? 1 : 0;
  }

  get remoteAddress(): string {
    return this.#admitted.connection.remoteAddress;
  }

  /** Ends it at once, whatever it is doing. */
  end(error: GatewayError): void {
    if (this.#relay === null) this.#abort.abort(error);
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
      this.#meter = this.#openMeter(body.requested);
      const sent = await this.#send(body);
      this.#held?.release();
      const answer = await this.#refuseRejectedCredential(sent);
      return await this.#answer(answer, body.usageInjected);
    } catch (thrown) {
      this.#endMeter(thrown);
      this.#forget();
      throw thrown;
    }
  }

  /** Holds what is inspected, and streams everything else. */
  async #readBody(): Promise<RequestBody> {
    const { request } = this.#admitted;
    const { endpoint, provider } = this.#candidate;
    const { clock, config, bodyBudget } = this.#parts;
    const bytesMax = config.limits.inspectBodyBytesMax;
    if (!endpoint.billing || endpoint.requestBody !== "json") return this.#streamBody();
    this.#held = await holdBody(request, { bytesMax, budget: bodyBudget, clock });
    const { bytes } = this.#held;
    const requested = readRequestedTurn(endpoint.dialect, bytes);
    refuseDuplicate(requested.duplicate);
    const injects = provider.injectStreamUsage && injectsUsage(endpoint.dialect);
    const lacksUsage = requested.stream && !requested.includeUsage;
    const injected = injects && lacksUsage ? injectStreamUsage(bytes) : null;
    const body = injected === null ? bytes : new Uint8Array(injected);
    return { body, requested, usageInjected: injected !== null };
  }

  #streamBody(): RequestBody {
    const { request } = this.#admitted;
    const { clock, config } = this.#parts;
    if (request.body === null) return { body: null, requested: null, usageInjected: false };
    const { bodyBytesMax } = config.limits;
    const { writeMs } = this.#candidate.provider.timeouts;
    const observe = this.#formReader();
    const body = new Upload(request, {
      bytesMax: bodyBytesMax,
      clock,
      writeTimeoutMs: writeMs,
      observe,
    });
    return { body, requested: null, usageInjected: false };
  }

  /** Finds the model in a form that streams by; it may stand behind the file. */
  #formReader(): ((chunk: Uint8Array) => void) | null {
    const { endpoint } = this.#candidate;
    if (!endpoint.billing) return null;
    const boundary = multipartBoundary(this.#admitted.request.headers.get("content-type"));
    const fields =
      boundary === null || endpoint.requestBody !== "multipart"
        ? null
        : new MultipartFields(boundary, FORM_FIELDS, FORM_VALUE_BYTES_MAX);
    return (chunk) => {
      this.#meter?.sent(chunk.byteLength);
      if (fields === null) return;
      fields.push(chunk);
      refuseDuplicate(fields.duplicate);
      if (fields.values.size > 0) this.#meter?.requested(requestedByForm(fields.values));
    };
  }

  /** The turn is on record before anything reaches the upstream. */
  #openMeter(requested: RequestedTurn | null): BodyMeter | null {
    const { endpoint } = this.#candidate;
    if (!endpoint.billing) return null;
    const meter = createBodyMeter({
      ...this.#parts.meter,
      context: contextOf(this.#admitted, this.#candidate, null),
      kind: endpoint.kind,
      requested,
      decidedServiceTier: requested?.serviceTier ?? null,
      dialect: endpoint.dialect,
      bodyBytesMax: this.#parts.config.limits.inspectBodyBytesMax,
    });
    if (this.#held !== null) meter.sent(this.#held.bytes.byteLength);
    return meter;
  }

  async #send(body: RequestBody): Promise<UpstreamAnswer> {
    const { clock, fetch, reachability } = this.#parts;
    const { request, found } = this.#admitted;
    const { provider, path } = this.#candidate;
    const options = await upstreamHeaderOptions(this.#parts, this.#admitted, this.#candidate);
    const headers = upstreamHeaders(request.headers, options);
    // What is taken out of the answer again must be readable.
    if (body.usageInjected) headers.set("accept-encoding", "identity");
    else if (this.#meter !== null) askForReadable(headers);
    this.#sent = true;
    return await forward({
      fetch,
      clock,
      method: request.method,
      url: upstreamUrl(provider, path, found.query),
      headers,
      body: body.body,
      timeouts: provider.timeouts,
      signal: this.#abort.signal,
      reachable: (withinMs) => reachability.check(provider.upstream, withinMs),
    });
  }

  /**
   * A refusal of the credential that we put in is ours to mend and must not look like the client's.
   * @returns the answer, to be relayed
   * @throws GatewayError `upstream_auth_failed`
   */
  async #refuseRejectedCredential(answer: UpstreamAnswer): Promise<UpstreamAnswer> {
    const { provider, family } = this.#candidate;
    const { status } = answer;
    if (!injectsCredential(provider) || ![400, 401, 403].includes(status)) return answer;
    const peeked = await peekBody(answer, REFUSAL_BYTES_MAX);
    if (!family.refusesCredential(status, peeked.text)) return peeked.answer;
    answer.abort();
    answer.done();
    throw new GatewayError("upstream_auth_failed", {
      message: `The upstream refused the gateway's credential with ${status}`,
    });
  }

  async #answer(answer: UpstreamAnswer, usageInjected: boolean): Promise<Response> {
    const { config, clock } = this.#parts;
    const { method } = this.#admitted.request;
    const { provider, family } = this.#candidate;
    const { status } = answer;
    const contentType = answer.headers.get("content-type");
    const length = answer.headers.get("content-length");
    const requestId = family.requestIdHeader;
    const tap =
      this.#meter?.answered({
        context: contextOf(
          this.#admitted,
          this.#candidate,
          requestId === null ? null : answer.headers.get(requestId),
        ),
        httpStatus: status,
        contentType,
        contentEncoding: answer.headers.get("content-encoding"),
        contentLength: length === null ? null : Number(length),
        usageInjected,
      }) ?? this.#backgroundTap(answer);
    const speaksEvents =
      provider.type === "openai" && contentType?.startsWith("text/event-stream") === true;
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
      keepLength: !usageInjected && read === null,
      timing: config.timingHeaders ? answer : null,
    });
    const body = read === null ? relay.stream : await relay.whole(read);
    if (body === null) await relay.endWithoutBody();
    return new Response(body, { status, headers });
  }

  /** An answer that may show the end of a turn in the background is watched for it. */
  #backgroundTap(answer: UpstreamAnswer): BodyTap | null {
    const { config, pending } = this.#parts;
    const { endpoint, provider, path } = this.#candidate;
    const isShown =
      endpoint.name === BACKGROUND_ENDPOINT && this.#admitted.request.method === "GET";
    if (!isShown || answer.status !== 200) return null;
    const length = answer.headers.get("content-length");
    return createBackgroundTap({
      pending,
      provider: provider.name,
      responseId: decodeURIComponent(path.slice(path.lastIndexOf("/") + 1)),
      contentType: answer.headers.get("content-type"),
      contentEncoding: answer.headers.get("content-encoding"),
      contentLength: length === null ? null : Number(length),
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
      // Whatever may have reached the upstream may be billed, also where we gave up by ourselves.
      this.#meter.failed(thrown.code, this.#sent && !NOTHING_BILLED.includes(thrown.code));
    } else this.#meter.aborted();
  }

  #forget(): void {
    this.#held?.release();
    const { request, connection } = this.#admitted;
    request.signal.removeEventListener("abort", this.#clientLeft);
    // Between exchanges a connection must not be kept for ever.
    connection.setIdleTimeout(IDLE_TIMEOUT_S);
    this.#parts.live.remove(this);
  }
}

/** Which of the two the upstream would read is not known. @throws GatewayError `ambiguous_json` */
function refuseDuplicate(field: string | null): void {
  if (field === null) return;
  const message = `The request names "${field}" twice. Send it once`;
  throw new GatewayError("ambiguous_json", { message, param: field });
}

/**
 * Leaves only codings that the meter can undo; what is read is not what was asked for otherwise.
 */
function askForReadable(headers: Headers): void {
  const asked = headers.get("accept-encoding");
  if (asked === null) return;
  const readable = asked.split(",").filter((coding) => READABLE_CODING.test(coding));
  headers.set("accept-encoding", readable.length === 0 ? "identity" : readable.join(","));
}

/** Chat and the older completions say what they used only when asked. */
function injectsUsage(dialect: string): boolean {
  return dialect === "openai_chat" || dialect === "openai_completions";
}
