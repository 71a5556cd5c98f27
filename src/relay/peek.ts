/**
 * Looks at the beginning of an answer's body without taking it away.
 *
 * Owns: reading ahead, and handing what was read to whoever reads the body after.
 * Does not own: what is looked for.
 * Invariant: the body that is left yields the same bytes; no more than the limit and one chunk is
 * held.
 */

import type { UpstreamAnswer } from "./forward.ts";

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
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const next = chunks.shift();
        const { done, value } =
          next === undefined ? await reader.read() : { done: false, value: next };
        if (done || value === undefined) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return { text, answer: { ...answer, body, bytes: null } };
}
