/** Request bodies that a test feeds, piece by piece. */

import { GatewayError } from "../../src/errors.ts";

/** A body that the test feeds. */
export class Feed {
  readonly stream: ReadableStream<Uint8Array>;
  pulls = 0;
  cancelled = false;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;

  constructor() {
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => void (this.pulls += 1),
        cancel: () => void (this.cancelled = true),
      },
      { highWaterMark: 0 },
    );
  }

  send(bytes: number): void {
    this.#controller?.enqueue(new Uint8Array(bytes).fill(97));
  }

  end(): void {
    this.#controller?.close();
  }

  fail(): void {
    this.#controller?.error(new DOMException("gone", "AbortError"));
  }
}

/** A request that is sent with this body. */
export function request(
  body: ReadableStream<Uint8Array> | string,
  headers: Record<string, string> = {},
) {
  return new Request("http://gw.example/v1/x", { method: "POST", body, headers });
}

/** Lets promises that are due settle; a stream needs a few rounds. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 50; round += 1) await Promise.resolve();
}

/** Code and status of the GatewayError that a promise rejects with. */
export async function refusal(promise: Promise<unknown>): Promise<[string, number]> {
  const thrown = await promise.then(
    () => null,
    (error) => error,
  );
  if (thrown instanceof GatewayError) return [thrown.code, thrown.status];
  throw new Error("Nothing was refused", { cause: thrown });
}
