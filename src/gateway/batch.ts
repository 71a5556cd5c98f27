/**
 * The requests of a batch, judged one by one.
 *
 * Owns: that each of them is judged as if it came by itself, and what is then said of them all.
 * Does not own: the judgement (`request.ts`), where they stand
 * (`provider/batch_requests.ts`).
 * Invariant: one that is refused refuses the batch; nothing but what was decided about changes.
 */

import { Buffer } from "node:buffer";

import { GatewayError } from "../errors.ts";
import type { Span } from "../lib/json_scan.ts";
import { readBatch } from "../provider/batch_requests.ts";
import { bareModel } from "../provider/model_field.ts";
import type { BatchFormat, MeterDialect, RequestedTurn } from "../provider/provider.ts";

/** A request, or a whole batch, after it was judged. */
interface Judged {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly requested: RequestedTurn;
  /** The tier that goes upstream; null: none. */
  readonly decidedTier: string | null;
  /** What becomes of `anthropic-beta`. */
  readonly betas: string | null | undefined;
}

interface Judges {
  /** Judges one request as if it came by itself. */
  readonly request: (dialect: MeterDialect, body: Uint8Array<ArrayBuffer>) => Judged;
  /** Judges those that stand in a file, which nobody here can read. */
  readonly file: () => void;
}

/**
 * @param batch the whole of it, after it was judged for what it says itself
 * @returns it with what was decided about its requests. It names the model that all of them are
 *   for, if there is one, and a tier that goes upstream with any of them
 * @throws GatewayError what refuses one of them; `ambiguous_json`, `bad_request`
 */
export function judgeBatch<B extends Judged>(format: BatchFormat, batch: B, judges: Judges): B {
  const { dialect, requests, models, namesFile } = readBatch(format, batch.body);
  if (namesFile) judges.file();
  for (const model of models) requireSameModel(model, batch.requested.model);
  const bodies = requests.map(({ start, end }) => batch.body.subarray(start, end));
  const judged = bodies.map((body) => judges.request(dialect, body));
  const tier = judged.find(({ decidedTier }) => decidedTier !== null);
  const asking = tier ?? judged.find(({ requested }) => requested.serviceTier !== null);
  const requestedTier = asking?.requested.serviceTier ?? batch.requested.serviceTier;
  return {
    ...batch,
    body: replaced(batch.body, requests, judged),
    requested: {
      ...batch.requested,
      model: batch.requested.model ?? commonModel(judged),
      serviceTier: requestedTier,
    },
    decidedTier: tier?.decidedTier ?? batch.decidedTier,
    betas: judged.find(({ betas }) => betas !== undefined)?.betas,
  };
}

/** The very body where no request was changed. */
function replaced(
  body: Uint8Array<ArrayBuffer>,
  spans: readonly Span[],
  judged: readonly Judged[],
): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const [index, { start, end }] of spans.entries()) {
    const request = judged[index]?.body;
    // One that was not changed is still a view of this body.
    if (request === undefined || request.buffer === body.buffer) continue;
    pieces.push(body.subarray(from, start), request);
    from = end;
  }
  return from === 0 ? body : new Uint8Array(Buffer.concat([...pieces, body.subarray(from)]));
}

/** Null: they are for several, or for one that is not known. */
function commonModel(judged: readonly Judged[]): string | null {
  const [model = null, ...others] = new Set(judged.map(({ requested }) => requested.model));
  return others.length === 0 ? model : null;
}

/** Which of two the upstream would take is not known. */
function requireSameModel(model: string, known: string | null): void {
  if (known === null || bareModel(model) === bareModel(known)) return;
  throw new GatewayError("bad_request", {
    message: "The batch names another model than its path. Name the one in the path, or none",
    param: "model",
  });
}
