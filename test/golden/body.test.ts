/** Recorded OpenAI answers over HTTP and SSE, whole and split at every byte. */

import { describe, expect, test } from "bun:test";
import type { BodyTap, UsageEvent } from "../../src/exchange.ts";
import { createBodyMeter } from "../../src/meter/body_meter.ts";
import type { AnswerHead } from "../../src/meter/body_meter.ts";
import { openai } from "../../src/provider/openai.ts";
import { MultipartFields, multipartBoundary } from "../../src/provider/multipart.ts";
import { readRequestedTurn, requestedByForm } from "../../src/provider/openai_request.ts";
import type { MeterDialect, RequestedTurn } from "../../src/provider/provider.ts";
import { CONTEXT, MeterWorld } from "../support/meter_world.ts";
import type { HttpExchange } from "./transcript.ts";
import { comparable, expectedCase, httpExchange, readBytes } from "./transcript.ts";

const CASES = [
  "responses.json",
  "responses_stream.sse",
  "chat_completions.json",
  "chat_completions_stream_usage.sse",
  "chat_completions_stream_no_usage.sse",
  "embeddings.json",
  "audio_transcription.json",
];

const utf8 = new TextEncoder();

function requestedOf(exchange: HttpExchange, dialect: MeterDialect): RequestedTurn {
  const { request } = exchange;
  if (request.multipart === undefined) {
    return readRequestedTurn(dialect, utf8.encode(JSON.stringify(request.body)));
  }
  const boundary = multipartBoundary(request.headers["content-type"] ?? null) ?? "";
  const fields = new MultipartFields(boundary, ["model"], 256);
  for (const chunk of multipartBody(exchange, boundary)) fields.push(chunk);
  return requestedByForm(fields.values);
}

function* multipartBody(exchange: HttpExchange, boundary: string): Iterable<Uint8Array> {
  for (const part of exchange.request.multipart ?? []) {
    const file = part.filename === undefined ? "" : `; filename="${part.filename}"`;
    const head = `content-disposition: form-data; name="${part.name}"${file}`;
    yield utf8.encode(`--${boundary}\r\n${head}\r\n\r\n`);
    yield part.value === undefined ? new Uint8Array(part.bytes ?? 0) : utf8.encode(part.value);
    yield utf8.encode("\r\n");
  }
  yield utf8.encode(`--${boundary}--\r\n`);
}

function run(name: string, chunks: readonly Uint8Array[], length: number | null) {
  const world = new MeterWorld();
  const exchange = httpExchange(name);
  const endpoint = openai.endpoint(exchange.request.method, exchange.request.path);
  if (endpoint === null) throw new Error(`${exchange.request.path} is no endpoint`);
  const requested = requestedOf(exchange, endpoint.dialect);
  const meter = createBodyMeter(world.body(endpoint.dialect, requested, endpoint.kind));
  const head: AnswerHead = {
    context: { ...CONTEXT, endpoint: endpoint.name },
    httpStatus: exchange.response.status,
    contentType: exchange.response.headers["content-type"] ?? null,
    contentEncoding: null,
    contentLength: length,
    usageInjected: false,
  };
  const out = forward(meter.answered(head), chunks);
  return { rows: world.ledger.closed, out, opened: world.ledger.opened };
}

function forward(tap: BodyTap, chunks: readonly Uint8Array[]): Uint8Array {
  const out: number[] = [];
  for (const result of [...chunks.map((chunk) => tap.chunk(chunk)), tap.end()]) {
    if (result instanceof Promise) throw new Error("Nothing had to be waited for");
    out.push(...(result ?? []));
  }
  return Uint8Array.from(out);
}

function check(rows: readonly UsageEvent[], name: string): void {
  const [expected = {}] = expectedCase(name).turns;
  const { note: _, ...wanted } = expected;
  expect(rows.map((row) => comparable(row, expected))).toEqual([wanted]);
}

describe.each(CASES)("createBodyMeter() on %s", (name) => {
  const bytes = readBytes(name);

  test("reports the expected turn of the whole body", () => {
    const { rows, out, opened } = run(name, [bytes], bytes.length);
    check(rows, name);
    expect(out).toEqual(bytes);
    expect(opened.map((row) => row.status)).toEqual(["interrupted"]);
  });

  test("reports the same with the body split at every byte, and forwards it unchanged", () => {
    for (let at = 0; at <= bytes.length; at++) {
      const { rows, out } = run(name, [bytes.subarray(0, at), bytes.subarray(at)], null);
      check(rows, name);
      if (at % 97 === 0) expect(out).toEqual(bytes);
    }
  });
});
