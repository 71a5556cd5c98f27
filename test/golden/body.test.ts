/** Recorded answers over HTTP and SSE of every provider, whole and split at every byte. */

import { describe, expect, test } from "bun:test";
import type { BodyTap, UsageEvent } from "../../src/exchange.ts";
import { createBodyMeter } from "../../src/meter/body_meter.ts";
import type { AnswerHead } from "../../src/meter/body_meter.ts";
import { providerOf } from "../../src/provider/dialect.ts";
import { MultipartFields, multipartBoundary } from "../../src/provider/multipart.ts";
import { requestedByForm } from "../../src/provider/openai_request.ts";
import type { MeterDialect, Provider, RequestedTurn } from "../../src/provider/provider.ts";
import { readRequestedTurn } from "../../src/provider/request.ts";
import { CONTEXT, MeterWorld } from "../support/meter_world.ts";
import type { HttpExchange } from "./transcript.ts";
import {
  comparable,
  expectedCase,
  httpExchange,
  readBytes,
  readText,
  wantedOf,
} from "./transcript.ts";

const CASES = [
  "responses.json",
  "responses_stream.sse",
  "chat_completions.json",
  "chat_completions_stream_usage.sse",
  "chat_completions_stream_no_usage.sse",
  "embeddings.json",
  "audio_transcription.json",
  "anthropic_message.json",
  "anthropic_stream.sse",
  "anthropic_stream_tool_cache.sse",
  "anthropic_error_stream.sse",
  "gemini_generate.json",
  "gemini_stream.sse",
];

/** Whose an exchange is, by the name of its fixture. */
function familyOf(name: string): Provider {
  if (name.startsWith("anthropic")) return providerOf("anthropic");
  return providerOf(name.startsWith("gemini") ? "gemini" : "openai");
}

/** The path of the request without its query. */
function pathOf(exchange: HttpExchange): string {
  return exchange.request.path.split("?", 1)[0] ?? "";
}

const utf8 = new TextEncoder();

function requestedOf(exchange: HttpExchange, dialect: MeterDialect): RequestedTurn {
  const { request } = exchange;
  if (request.multipart === undefined) {
    const body = utf8.encode(JSON.stringify(request.body));
    return readRequestedTurn(dialect, body, pathOf(exchange));
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

function run(
  name: string,
  chunks: readonly Uint8Array[],
  length: number | null,
  contentType?: string,
) {
  const world = new MeterWorld();
  const exchange = httpExchange(name);
  const family = familyOf(name);
  const endpoint = family.endpoint(exchange.request.method, pathOf(exchange));
  if (endpoint === null) throw new Error(`${exchange.request.path} is no endpoint`);
  const requested = requestedOf(exchange, endpoint.dialect);
  const meter = createBodyMeter(world.body(endpoint.dialect, requested, endpoint.kind));
  const head: AnswerHead = {
    context: { ...CONTEXT, endpoint: endpoint.name },
    httpStatus: exchange.response.status,
    serviceTier: exchange.response.headers[family.serviceTierHeader ?? ""] ?? null,
    contentType: contentType ?? exchange.response.headers["content-type"] ?? null,
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
  expect(rows.map((row) => comparable(row, expected))).toEqual([wantedOf(expected)]);
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

describe("createBodyMeter() on gemini_stream.sse as one JSON array", () => {
  const name = "gemini_stream.sse";
  const events = [...readText(name).matchAll(/^data: (.*)$/gm)].map(([, data = ""]) => data.trim());
  const bytes = utf8.encode(`[${events.join("\n,\r\n")}\n]\n`);

  test("reports the expected turn, however the array is split", () => {
    for (let at = 0; at <= bytes.length; at++) {
      const chunks = [bytes.subarray(0, at), bytes.subarray(at)];
      const { rows, out } = run(name, chunks, null, "application/json; charset=UTF-8");
      check(rows, name);
      if (at % 97 === 0) expect(out).toEqual(bytes);
    }
  });
});

describe("endpoint()", () => {
  test.each(["anthropic_count_tokens.json"])("bills nothing for %s", (name) => {
    const exchange = httpExchange(name);
    const endpoint = familyOf(name).endpoint(exchange.request.method, pathOf(exchange));
    expect(endpoint?.billing).toBe(false);
    expect(expectedCase(name).turns).toEqual([]);
  });
});
