/**
 * Looks at the beginning of an answer's body without taking it away.
 *
 * Owns: reading ahead, and handing what was read to whoever reads the body after.
 * Does not own: what is looked for.
 * Invariant: the body that is left yields the same bytes; no more than the limit and one chunk is
 * held.
 */

import type { UpstreamAnswer } from "./forward.ts";
import { goingOn } from "./request_body.ts";

interface Peeked {
  /** The beginning, as far as it is UTF-8. */
  readonly text: string;
  /** The answer with its whole body. */
  readonly answer: UpstreamAnswer;
}

/**
 * Reads up to `bytesMax` of the body.
 * @throws GatewayError or ClientGone: what a failed read means
 */
export async function peekBody(answer: UpstreamAnswer, bytesMax: number): Promise<Peeked> {
  if (answer.body === null) return { text: "", answer };
  const reader = answer.body.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  try {
    while (size < bytesMax) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.byteLength;
      chunks.push(value);
      text += decoder.decode(value, { stream: true });
    }
  } catch (thrown) {
    throw answer.failure(thrown);
  }
  return { text, answer: { ...answer, body: goingOn(chunks, reader), bytes: null } };
}
