/**
 * Asking the upstreams that may serve a request, one after the other, until one answers.
 *
 * Owns: what goes to each of them, who is asked next, and what their health learns from it.
 * Does not own: sending (`relay/forward.ts`), the order (`route/choose.ts`), the answer's way down.
 * Invariant: nothing has gone downstream while another one may still be asked, and what cannot be
 * sent twice is sent once.
 */

import type { RetryCause } from "../config/config.ts";
import { type ErrorCode, GatewayError } from "../errors.ts";
import type { BodyMeter } from "../meter/body_meter.ts";
import { BETA_HEADER } from "../provider/fast_mode.ts";
import type { Ending } from "../relay/ending.ts";
import { forward, requestTimedOut, type UpstreamAnswer } from "../relay/forward.ts";
import { injectsCredential, upstreamHeaders } from "../relay/headers.ts";
import { peekBody } from "../relay/peek.ts";
import { Upload } from "../relay/upload.ts";
import type { Candidate } from "../route/choose.ts";
import { causeOfError, causeOfStatus, isOfKey } from "../route/retry_cause.ts";
import { upstreamRoute, upstreamUrl } from "../route/target.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import {
  type Admitted,
  type Candidates,
  contextOf,
  type GatewayParts,
  type UpstreamRequestOptions,
  upstreamHeaderOptions,
} from "./arrival.ts";
import type { RequestBody } from "./judgement.ts";
import { requestFor } from "./request.ts";

/** Content codings (RFC 9110 section 8.4.1, RFC 7932, RFC 8878) of `meter/content_decoder.ts`. */
const READABLE_CODING = /^\s*(?:gzip|x-gzip|deflate|br|zstd|identity)\s*(?:;|$)/i;

/** As much of a refusal as is read to learn whether it is about our credential. */
const REFUSAL_BYTES_MAX = 64 * 1024;

/** With these a provider may refuse a credential. */
const CREDENTIAL_REFUSALS: readonly number[] = [400, 401, 403];

/** The upstream was never reached, or would not have us. */
const NOTHING_BILLED: readonly ErrorCode[] = [
  "upstream_unreachable",
  "upstream_auth_failed",
  "circuit_open",
  "no_healthy_provider",
];

/** An answer, and the request as it went to whoever gave it. */
interface Answered {
  readonly answer: UpstreamAnswer;
  readonly body: RequestBody;
}

/** What came of asking one of them. */
interface Attempt {
  /** Null: there is none, but a failure. */
  readonly answer: UpstreamAnswer | null;
  readonly failure: unknown;
  readonly body: RequestBody;
}

export class Upstreams {
  /** The one that is asked now. */
  candidate: Candidate;
  /** Whether anything may have reached one of them. */
  wasSent = false;
  readonly #parts: GatewayParts;
  readonly #admitted: Admitted;
  readonly #ending: Ending;
  /** Those that may be asked after the first one, best first. */
  #others: readonly Candidate[];
  /** Of the request that was sent last. */
  #renewCredential: UpstreamRequestOptions["renewCredential"] = null;
  /** Failures of those that were asked before. */
  readonly #failures: unknown[] = [];
  readonly #startMs: number;

  /** @param ending of the exchange: ends what is being asked */
  constructor(parts: GatewayParts, admitted: Admitted, ending: Ending) {
    const [candidate, ...others] = admitted.candidates;
    this.#parts = parts;
    this.#admitted = admitted;
    this.#ending = ending;
    this.candidate = candidate;
    this.#others = others;
    this.#startMs = parts.clock.monotonicMs();
  }

  /** What the request asks for is known, and with it who may be asked. */
  are([candidate, ...others]: Candidates): void {
    this.candidate = candidate;
    this.#others = others;
  }

  /**
   * Asks one candidate after the other until one answers well, or the last one does.
   * @returns the answer, to be relayed, and the request as it went there
   * @throws GatewayError why there is no answer, or `upstream_auth_failed`
   * @throws ClientGone
   */
  async ask(first: RequestBody, meter: BodyMeter | null): Promise<Answered> {
    let last = await this.#try(first, meter);
    let attemptsLeft = this.candidate.provider.retry.attempts - 1;
    for (const next of this.#others) {
      if (attemptsLeft < 1 || !this.#mayGoOn(last)) break;
      if (this.#failsAlike(next, last) || this.#leftMs(next) === null) continue;
      // Judged before the answer that there is is given up for it.
      const body = this.#bodyFor(next, first);
      if (body === null || !this.#parts.health.enter(next)) continue;
      last.answer?.abort();
      last.answer?.done();
      // An answer that refuses bills nothing.
      if (last.answer === null) this.#failures.push(last.failure);
      this.candidate = next;
      meter?.sentTo(contextOf(this.#admitted, next, null), body);
      last = await this.#send(body, meter);
      attemptsLeft -= 1;
    }
    const { answer, failure, body } = last;
    if (answer === null) throw failure;
    const mayRefuseCredential = CREDENTIAL_REFUSALS.includes(answer.status);
    return { answer: mayRefuseCredential ? await this.#unlessRejected(answer) : answer, body };
  }

  /**
   * Whether any of them may have begun what was asked, and may bill it, also after we gave up.
   * @param failure what ended the exchange
   */
  mayHaveBegun(failure: unknown): boolean {
    if (!this.wasSent) return false;
    return [...this.#failures, failure].some(
      (one) => !(one instanceof GatewayError && NOTHING_BILLED.includes(one.code)),
    );
  }

  /** Whether a credential that was refused has been replaced, so that the same is sent again. */
  async #hasNewCredential(answer: UpstreamAnswer, { body }: RequestBody): Promise<boolean> {
    if (this.#renewCredential === null) return false;
    const renewed = this.#renewCredential();
    // The next request has it then; this one cannot be sent twice.
    if (body instanceof Upload) return false;
    if (!(await renewed) || this.#ending.reason !== null) return false;
    answer.abort();
    answer.done();
    return true;
  }

  /** Whether another one may do better, and may be asked the same. */
  #mayGoOn(last: Attempt): boolean {
    const { provider, endpoint } = this.candidate;
    const cause = causeOf(last);
    if (cause === null || !provider.retry.on.includes(cause)) return false;
    // What is done elsewhere may have been done, and what is kept there is not kept elsewhere.
    if (cause !== "connect" && !endpoint.billing) return false;
    return !(last.body.body instanceof Upload) && this.#ending.reason === null;
  }

  /** Whether `next` is another key of a provider of which no key would do better. */
  #failsAlike(next: Candidate, last: Attempt): boolean {
    if (next.provider !== this.candidate.provider) return false;
    const cause = causeOf(last);
    return cause !== null && !isOfKey(cause, last.failure);
  }

  /** What is left of the time for the whole exchange; 0: it is not limited, null: nothing. */
  #leftMs({ provider: { timeouts } }: Candidate): number | null {
    if (timeouts.requestMs === 0) return 0;
    const leftMs = timeouts.requestMs - (this.#parts.clock.monotonicMs() - this.#startMs);
    return leftMs > 0 ? leftMs : null;
  }

  /** The request as another one is to get it; null: it may not go there. */
  #bodyFor(candidate: Candidate, first: RequestBody): RequestBody | null {
    try {
      return requestFor(this.#parts, this.#admitted, candidate, first);
    } catch (thrown) {
      if (thrown instanceof GatewayError) return null;
      throw thrown;
    }
  }

  /** The first one, unless somebody else finds out right now whether it is back. */
  #try(body: RequestBody, meter: BodyMeter | null): MaybePromise<Attempt> {
    const { health } = this.#parts;
    if (health.enter(this.candidate)) return this.#send(body, meter);
    return { answer: null, failure: health.refusal([this.candidate]), body };
  }

  /** Sends it, and once more where the credential was renewed for it. */
  async #send(body: RequestBody, meter: BodyMeter | null): Promise<Attempt> {
    try {
      const answer = await this.#sendOnce(body, meter);
      const isRenewed = answer.status === 401 && (await this.#hasNewCredential(answer, body));
      return {
        answer: isRenewed ? await this.#sendOnce(body, meter) : answer,
        failure: null,
        body,
      };
    } catch (thrown) {
      return { answer: null, failure: thrown, body };
    }
  }

  async #sendOnce(body: RequestBody, meter: BodyMeter | null): Promise<UpstreamAnswer> {
    const { clock, pools, reachability, health, affinity } = this.#parts;
    const { request, found } = this.#admitted;
    const { provider, endpoint } = this.candidate;
    const requestMs = this.#leftMs(this.candidate);
    if (requestMs === null) throw requestTimedOut();
    const options = await upstreamHeaderOptions(this.#parts, this.#admitted, this.candidate);
    this.#renewCredential = options.renewCredential;
    const headers = upstreamHeaders(withBetas(request.headers, body.betas), options);
    const isEdited = body.usageInjected || body.names.renamesAnswers;
    // What is changed in the answer again must be readable.
    if (isEdited || endpoint.clientSecret === "given") headers.set("accept-encoding", "identity");
    else if (meter !== null) askForReadable(headers);
    affinity.sent(this.#admitted.id, this.candidate);
    this.wasSent = true;
    const answered = forward({
      fetch: pools.fetchOf(provider),
      clock,
      method: request.method,
      url: upstreamUrl(provider, body.path, found.query),
      headers,
      body: body.body,
      timeouts: { ...provider.timeouts, requestMs },
      ending: this.#ending,
      reachable: (withinMs) => reachability.check(upstreamRoute(provider), withinMs),
    });
    try {
      const answer = await answered;
      health.answered(this.candidate, answer.status, answer.headers.get("retry-after"));
      return answer;
    } catch (thrown) {
      health.threw(this.candidate, thrown);
      throw thrown;
    }
  }

  /**
   * A refusal of the credential that we put in is ours to mend and must not look like the client's.
   * @returns the answer, to be relayed
   * @throws GatewayError `upstream_auth_failed`
   */
  async #unlessRejected(answer: UpstreamAnswer): Promise<UpstreamAnswer> {
    const { provider, family } = this.candidate;
    if (!injectsCredential(provider)) return answer;
    const { status } = answer;
    const peeked = await peekBody(answer, REFUSAL_BYTES_MAX);
    if (!family.refusesCredential(status, peeked.text)) return peeked.answer;
    answer.abort();
    answer.done();
    throw new GatewayError("upstream_auth_failed", {
      message: `The upstream refused the gateway's credential with ${status}`,
    });
  }
}

/** Why another one may do better; null: it would not. */
function causeOf({ answer, failure }: Attempt): RetryCause | null {
  return answer === null ? causeOfError(failure) : causeOfStatus(answer.status);
}

/** @param betas undefined: as they came */
function withBetas(headers: Headers, betas: string | null | undefined): Headers {
  if (betas === undefined) return headers;
  const changed = new Headers(headers);
  if (betas === null) changed.delete(BETA_HEADER);
  else changed.set(BETA_HEADER, betas);
  return changed;
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
