import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { UpstreamAnswer } from "../../src/relay/forward.ts";
import { peekBody } from "../../src/relay/peek.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

/** An answer whose body is these chunks, and which knows how many were asked for. */
class Chunks {
  pulled = 0;
  cancelled: unknown = null;
  readonly answer: UpstreamAnswer;

  constructor(chunks: readonly (Uint8Array<ArrayBuffer> | Error)[] | null) {
    const pull = (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
      const chunk = chunks?.[this.pulled];
      this.pulled += 1;
      if (chunk === undefined) controller.close();
      else if (chunk instanceof Error) controller.error(chunk);
      else controller.enqueue(chunk);
    };
    const cancel = (reason: unknown) => void (this.cancelled = reason);
    const body =
      chunks === null ? null : new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
    this.answer = {
      status: 401,
      headers: new Headers(),
      body,
      bytes: null,
      sentAtMs: 0,
      answeredAtMs: 0,
      abort() {},
      failure: () => new GatewayError("upstream_closed"),
      done() {},
    };
  }
}

describe("peekBody()", () => {
  test("reads no more than the limit and one chunk, and leaves the whole body", async () => {
    const chunks = ["one ", "two ", "three ", "four"].map(utf8);
    const source = new Chunks(chunks);
    const { text, answer } = await peekBody(source.answer, 5);
    expect([text, source.pulled]).toEqual(["one two ", 2]);
    expect(await new Response(answer.body).text()).toBe("one two three four");
  });

  test("leaves bytes that are no UTF-8, and characters cut by a chunk, as they were", async () => {
    const bytes = Uint8Array.from([...utf8("a€"), 0xff, 0xc3]);
    const source = new Chunks([bytes.slice(0, 2), bytes.slice(2)]);
    const { text, answer } = await peekBody(source.answer, 100);
    expect(text).toStartWith("a€");
    expect(await new Response(answer.body).bytes()).toEqual(bytes);
  });

  test("of an answer without a body is empty, and the answer the same", async () => {
    const { answer } = new Chunks(null);
    expect(await peekBody(answer, 5)).toEqual({ text: "", answer });
  });

  test("throws what a failed read means", async () => {
    const source = new Chunks([utf8("a"), new Error("reset")]);
    expect(await peekBody(source.answer, 5).catch((thrown: unknown) => thrown)).toMatchObject({
      code: "upstream_closed",
    });
  });

  test("passes the cancelling of the body that is left on to the upstream", async () => {
    const source = new Chunks([utf8("abcdef"), utf8("g")]);
    const { answer } = await peekBody(source.answer, 5);
    await answer.body?.cancel("gone");
    expect(source.cancelled).toBe("gone");
  });
});
