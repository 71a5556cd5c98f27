/**
 * The answer that gives a key for a browser, on its way down: ours takes the key's place, so that
 * the browser comes back through us.
 *
 * Owns: reading that answer whole, and refusing it where the key cannot be found in it.
 * Does not own: where the key is (`provider/openai_client_secret.ts`), our secret
 * (`auth/client_secret.ts`).
 * Invariant: of an answer that may hold a key of the provider's, nothing goes on as it came, save
 * a refusal.
 */

import { GatewayError } from "../errors.ts";
import { joined } from "../lib/bytes.ts";
import { contentCodingOf } from "../lib/content_coding.ts";
import { decodeUtf8, encodeUtf8 } from "../lib/encoding.ts";
import { renameInAnswer } from "../provider/model_field.ts";
import { givenSecret } from "../provider/openai_client_secret.ts";
import type { UpstreamAnswer } from "../relay/forward.ts";
import type { Candidate } from "../route/choose.ts";
import type { ModelNames } from "../route/model_map.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import type { Admitted, GatewayParts } from "./arrival.ts";

/** The session that was asked for comes back in it, with its instructions and tools. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

/** Longer than any provider takes for so small a body. */
const ANSWER_MS_MAX = 30_000;

type SecretParts = Pick<GatewayParts, "clientSecrets" | "clock">;

/**
 * @param names of the models that were asked for, which the answer is to have
 * @returns the very answer where it gives no key, else with our secret in the key's place
 * @throws GatewayError `upstream_unreadable`, `upstream_timeout`, `upstream_closed`
 * @throws ClientGone
 */
export function keepProvidersKey(
  parts: SecretParts,
  admitted: Pick<Admitted, "principal">,
  candidate: Pick<Candidate, "endpoint" | "provider">,
  names: Pick<ModelNames, "renamesAnswers" | "toCaller">,
  answer: UpstreamAnswer,
): MaybePromise<UpstreamAnswer> {
  const { status } = answer;
  const givesKey = candidate.endpoint.clientSecret === "given" && status >= 200 && status <= 299;
  return givesKey ? replaceKey(parts, admitted, candidate, names, answer) : answer;
}

async function replaceKey(
  parts: SecretParts,
  { principal }: Pick<Admitted, "principal">,
  { endpoint, provider }: Pick<Candidate, "endpoint" | "provider">,
  { renamesAnswers, toCaller }: Pick<ModelNames, "renamesAnswers" | "toCaller">,
  answer: UpstreamAnswer,
): Promise<UpstreamAnswer> {
  try {
    requirePlain(answer.headers);
    const given = givenSecret(await readWhole(parts, answer));
    if (given === null) throw unreadable("It holds no key for a browser that could be found");
    const { key, expiresAtMs } = given;
    const secret = { provider: provider.name, key };
    const own = await parts.clientSecrets.make(principal, secret, expiresAtMs).catch(tooLong);
    const body = given.replacedBy(own);
    if (body === null) throw unreadable("It holds the key for a browser in an unknown place");
    if (!renamesAnswers) return answerWith(answer, body);
    const renamed = renameInAnswer(endpoint.dialect, decodeUtf8(body), toCaller);
    return answerWith(answer, encodeUtf8(renamed));
  } catch (thrown) {
    answer.abort();
    answer.done();
    throw thrown;
  }
}

/** It was asked for without a content coding. @throws GatewayError `upstream_unreadable` */
function requirePlain(headers: Headers): void {
  if (contentCodingOf(headers.get("content-encoding")) !== null) {
    throw unreadable("It is compressed");
  }
}

async function readWhole(
  { clock }: SecretParts,
  answer: UpstreamAnswer,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  let isLate = false;
  const timer = clock.after(ANSWER_MS_MAX, () => {
    isLate = true;
    answer.abort();
  });
  try {
    for await (const chunk of answer.body ?? []) {
      size += chunk.byteLength;
      if (size > ANSWER_BYTES_MAX) throw unreadable(`It is larger than ${ANSWER_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
  } catch (thrown) {
    if (thrown instanceof GatewayError) throw thrown;
    throw isLate ? new GatewayError("upstream_timeout") : answer.failure(thrown);
  } finally {
    timer.cancel();
  }
  return joined(chunks);
}

function answerWith(answer: UpstreamAnswer, bytes: Uint8Array<ArrayBuffer>): UpstreamAnswer {
  const headers = new Headers(answer.headers);
  headers.set("content-length", String(bytes.byteLength));
  return {
    status: answer.status,
    headers,
    body: new Response(bytes).body,
    bytes: () => Promise.resolve(bytes),
    sentAtMs: answer.sentAtMs,
    answeredAtMs: answer.answeredAtMs,
    abort: () => answer.abort(),
    failure: (thrown) => answer.failure(thrown),
    done: () => answer.done(),
  };
}

/** What the key and the token's lists come to does not fit into a header. */
function tooLong(thrown: unknown): never {
  throw thrown instanceof RangeError ? unreadable("Its key for a browser is too long") : thrown;
}

/** @param why is told; it names nothing of the answer */
function unreadable(why: string): GatewayError {
  const message = `The upstream's answer cannot be passed on. ${why}`;
  return new GatewayError("upstream_unreadable", { message });
}
