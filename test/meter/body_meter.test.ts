import { describe, expect, test } from "bun:test";
import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import type { BodyTap } from "../../src/exchange.ts";
import { createBodyMeter } from "../../src/meter/body_meter.ts";
import type { AnswerHead } from "../../src/meter/body_meter.ts";
import type { MeterDialect, RequestedTurn } from "../../src/provider/provider.ts";
import { readText } from "../golden/transcript.ts";
import { CONTEXT, MeterWorld } from "../support/meter_world.ts";
import { RecordingReservation } from "../support/reservation.ts";

const utf8 = new TextEncoder();
const JSON_HEAD: AnswerHead = {
  context: { ...CONTEXT, upstreamRequestId: "req_2" },
  httpStatus: 200,
  serviceTier: null,
  contentType: "application/json; charset=utf-8",
  contentEncoding: null,
  contentLength: null,
  usageInjected: false,
};
const SSE_HEAD: AnswerHead = { ...JSON_HEAD, contentType: "text/event-stream" };
const REQUESTED: RequestedTurn = {
  model: "gpt-5.5",
  serviceTier: null,
  stream: false,
  outputTokensMax: null,
  speed: null,
  includeUsage: false,
  background: false,
  previousResponseId: null,
  duplicate: null,
};
const BODY = utf8.encode(
  JSON.stringify({ id: "r1", status: "completed", usage: { input_tokens: 1, output_tokens: 2 } }),
);

function open(head: Partial<AnswerHead> = {}, dialect: MeterDialect = "openai_responses") {
  const world = new MeterWorld();
  world.reservation = new RecordingReservation(50);
  const meter = createBodyMeter(world.body(dialect, REQUESTED));
  const tap = meter.answered({ ...JSON_HEAD, ...head });
  return { world, meter, tap, rows: world.ledger.closed };
}

async function forward(tap: BodyTap, chunks: readonly Uint8Array[]): Promise<Uint8Array> {
  const out: Uint8Array[] = [];
  for (const chunk of chunks) out.push((await tap.chunk(chunk)) ?? new Uint8Array(0));
  out.push((await tap.end()) ?? new Uint8Array(0));
  return new Uint8Array(Buffer.concat(out));
}

function sse(...events: unknown[]): Uint8Array {
  const lines = events.map((event) =>
    typeof event === "string" ? `data: ${event}\n\n` : `data: ${JSON.stringify(event)}\n\n`,
  );
  return utf8.encode(lines.join(""));
}

describe("createBodyMeter() settles what was reserved", () => {
  test("with the usage of the answer", async () => {
    const { world, tap, rows } = open();
    await forward(tap, [BODY]);
    expect(world.reservation.told).toEqual([`settled 3 ${rows[0]?.settled_micros}`]);
  });

  test("as it is where the client leaves before the usage", () => {
    const { world, tap, rows } = open({}, "openai_responses");
    tap.abort();
    expect(world.reservation.told).toEqual(["settled null 50"]);
    expect(rows[0]).toMatchObject({ settled_micros: 50, details: { settled_at_reserve: true } });
  });

  test("as it is where the upstream may have begun", () => {
    const { world, meter } = open();
    meter.failed("upstream_timeout", true);
    expect(world.reservation.told).toEqual(["settled null 50"]);
  });

  test("by releasing it where the upstream was never reached", () => {
    const { world, meter, rows } = open();
    meter.failed("upstream_unreachable", false);
    expect(world.reservation.told[0]).toBe("released");
    expect(rows[0]?.settled_micros).toBe(0);
  });
});

describe("createBodyMeter()", () => {
  test("opens the row before there is an answer, as it must read if the process dies now", () => {
    const world = new MeterWorld();
    createBodyMeter(world.body("openai_chat", { ...REQUESTED, stream: true, serviceTier: "flex" }));
    expect(world.ledger.opened).toMatchObject([
      {
        event_id: "sess_1_1",
        status: "interrupted",
        usage_source: "missing",
        transport: "sse",
        http_status: null,
        requested_service_tier: "flex",
        decided_service_tier: "flex",
        input_tokens: null,
      },
    ]);
  });

  test("closes the row with the answer's facts, and times it from the request", async () => {
    const { world, meter, tap, rows } = open();
    meter.sent(100);
    world.clock.advance(250);
    await forward(tap, [BODY]);
    expect(rows).toMatchObject([
      {
        status: "completed",
        http_status: 200,
        upstream_request_id: "req_2",
        response_id: "r1",
        input_tokens: 1,
        duration_ms: 250,
        first_token_ms: null,
        bytes_up: 100,
        bytes_down: BODY.length,
      },
    ]);
  });

  test("takes what a form asks for when it shows", async () => {
    const world = new MeterWorld();
    const meter = createBodyMeter(world.body("openai_audio", null, "transcription"));
    meter.requested({ ...REQUESTED, model: "whisper-1" });
    await forward(meter.answered({ ...JSON_HEAD, contentType: "text/plain" }), [utf8.encode("hi")]);
    const row = { model: "whisper-1", status: "completed", usage_source: "missing" };
    expect(world.ledger.closed).toMatchObject([row]);
  });

  test("of a body of known length holds nothing, and closes before the last chunk goes on", () => {
    const { tap, rows } = open({ contentLength: BODY.length });
    const [head, tail] = [BODY.subarray(0, 9), BODY.subarray(9)];
    expect(tap.chunk(head)).toBe(head);
    expect(rows.length).toBe(0);
    expect(tap.chunk(tail)).toBe(tail);
    expect(rows.length).toBe(1);
    expect(tap.end()).toBeNull();
  });

  test("of a body of unknown length holds one chunk, and closes before the last goes on", () => {
    const { tap, rows } = open();
    const [head, tail] = [BODY.subarray(0, 9), BODY.subarray(9)];
    expect(tap.chunk(head)).toBeNull();
    expect(tap.chunk(tail)).toBe(head);
    expect(rows.length).toBe(0);
    expect(tap.end()).toBe(tail);
    expect(rows.length).toBe(1);
  });

  test("takes a length that is no number as unknown", () => {
    const { tap } = open({ contentLength: Number("12, 12") });
    expect(tap.chunk(BODY)).toBeNull();
    expect(tap.end()).toBe(BODY);
  });

  test("waits with the last chunk for a record that must reach the disk", async () => {
    for (const head of [{ contentLength: BODY.length }, SSE_HEAD]) {
      const { world, tap } = open(head);
      const disk = Promise.withResolvers<void>();
      world.ledger.pending = disk.promise;
      const bytes = head === SSE_HEAD ? sse({ type: "response.completed", response: {} }) : BODY;
      const held = tap.chunk(bytes);
      expect(held).toBeInstanceOf(Promise);
      disk.resolve();
      expect(await held).toBe(bytes);
    }
  });

  test("closes an empty body", async () => {
    const { tap, rows } = open({ httpStatus: 204, contentType: null, contentLength: 0 });
    expect((await forward(tap, [])).length).toBe(0);
    expect(rows).toMatchObject([{ status: "completed", usage_source: "missing" }]);
  });

  test("abort() leaves the turn interrupted, and one in the background pending", () => {
    const first = open();
    void first.tap.chunk(BODY.subarray(1));
    first.tap.abort();
    expect(first.rows).toMatchObject([{ status: "interrupted", usage_source: "missing" }]);
    const second = open(SSE_HEAD);
    const response = { id: "r1", background: true };
    void second.tap.chunk(sse({ type: "response.created", response }));
    second.tap.abort();
    expect(second.rows).toMatchObject([{ status: "pending", response_id: "r1" }]);
  });

  test("abort() keeps the usage of an answer that the upstream had ended", () => {
    const whole = open();
    void whole.tap.chunk(BODY);
    whole.tap.abort();
    expect(whole.rows).toMatchObject([{ status: "completed", output_tokens: 2 }]);
    const line = open(SSE_HEAD);
    const response = { id: "r1", usage: { input_tokens: 1, output_tokens: 2 } };
    void line.tap.chunk(sse({ type: "response.completed", response }).slice(0, -1));
    line.tap.abort();
    expect(line.rows).toMatchObject([{ status: "completed", output_tokens: 2 }]);
  });

  test("abort() after the terminal event changes nothing", () => {
    const { tap, rows } = open(SSE_HEAD);
    void tap.chunk(sse({ type: "response.completed", response: { id: "r1" } }));
    tap.abort();
    expect(rows.map((row) => row.status)).toEqual(["completed"]);
  });

  test("failed() and aborted() end a turn that has no answer", () => {
    const cases = [
      ["failed", true, { status: "error", usage_source: "missing", error_code: "e" }],
      ["failed", false, { status: "error", usage_source: "none_billed", output_tokens: 0 }],
      ["aborted", false, { status: "interrupted", usage_source: "missing" }],
    ] as const;
    for (const [how, reached, wanted] of cases) {
      const world = new MeterWorld();
      const meter = createBodyMeter(world.body("openai_chat", REQUESTED));
      if (how === "failed") meter.failed("e", reached);
      else meter.aborted();
      meter.aborted();
      expect(world.ledger.closed).toMatchObject([wanted]);
    }
  });

  const errors = JSON.parse(readText("openai_errors.json")) as {
    name: string;
    status: number;
    body: { error: { code: string | null; type?: string } };
  }[];
  test.each(errors.map((each) => [each.name, each] as const))(
    "records the upstream's %s as an error that cost nothing",
    async (_, { status, body }) => {
      const { tap, rows } = open({ httpStatus: status });
      const bytes = utf8.encode(JSON.stringify(body));
      expect(await forward(tap, [bytes])).toEqual(bytes);
      const error_code = body.error.code ?? body.error.type ?? "";
      const row = { status: "error", http_status: status, error_code, output_tokens: 0 };
      expect(rows).toMatchObject([{ ...row, usage_source: "none_billed" }]);
    },
  );

  test("records an error page that is no JSON", async () => {
    const { tap, rows } = open({ httpStatus: 502, contentType: "text/html" });
    await forward(tap, [utf8.encode("<h1>Bad gateway</h1>")]);
    expect(rows).toMatchObject([{ status: "error", error_code: null, http_status: 502 }]);
  });

  test("takes a response that is still queued as pending", async () => {
    const { tap, rows } = open();
    await forward(tap, [
      utf8.encode('{"id":"r1","status":"queued","background":true,"usage":null}'),
    ]);
    expect(rows).toMatchObject([{ status: "pending", usage_source: "missing" }]);
  });

  test.each([["{"], ["[1]"], ['{"id":"r1","usage":{"input_tokens":"x"}}'], ["\ufeff{}"]])(
    "forwards a body whose usage cannot be read, and says so: %s",
    async (text) => {
      const { world, tap, rows } = open();
      expect(await forward(tap, [utf8.encode(text)])).toEqual(utf8.encode(text));
      expect(rows).toMatchObject([{ status: "completed", usage_source: "missing" }]);
      expect(world.reports.map((each) => each.event)).toContain("usage_parse_failed");
    },
  );

  test("reads the usage of a body that is larger than any limit", async () => {
    const { tap, rows } = open();
    const data = utf8.encode(`{"id":"r1","data":["${"x".repeat(1_400_000)}"],`);
    const usage = utf8.encode('"usage":{"input_tokens":1,"output_tokens":2}}');
    expect((await forward(tap, [data, usage])).length).toBe(data.length + usage.length);
    expect(rows).toMatchObject([{ response_id: "r1", output_tokens: 2 }]);
  });

  test("takes a limit of 0 as none", async () => {
    for (const usageInjected of [false, true]) {
      const world = new MeterWorld();
      const meter = createBodyMeter({ ...world.body("openai_chat", null), bodyBytesMax: 0 });
      const chunk = { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } };
      const tap = meter.answered({ ...SSE_HEAD, usageInjected });
      const out = await forward(tap, [sse(chunk), sse("[DONE]")]);
      expect(new TextDecoder().decode(out).includes("completion_tokens")).toBe(!usageInjected);
      expect(world.ledger.closed).toMatchObject([{ output_tokens: 2 }]);
    }
  });

  test.each([null, "", "Identity"])("takes the injected usage out of coding %j", async (coding) => {
    const head = { ...SSE_HEAD, contentEncoding: coding, usageInjected: true };
    const { tap, rows } = open(head, "openai_chat");
    const chunk = { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } };
    const out = await forward(tap, [sse(chunk), sse("[DONE]")]);
    expect(new TextDecoder().decode(out)).not.toContain("completion_tokens");
    expect(rows).toMatchObject([{ output_tokens: 2 }]);
  });

  test("records a format without a reader with its usage missing", async () => {
    for (const head of [JSON_HEAD, SSE_HEAD]) {
      const { tap, rows } = open(head, "none");
      expect(await forward(tap, [BODY])).toEqual(BODY);
      const row = { status: "completed", usage_source: "missing", model: "gpt-5.5" };
      expect(rows).toMatchObject([row]);
    }
  });
});

describe("createBodyMeter() on SSE", () => {
  const chunk = { id: "c1", model: "m-1", service_tier: "flex", choices: [{ delta: {} }] };

  test("forwards each chunk as the view that came", () => {
    const { tap } = open(SSE_HEAD, "openai_chat");
    const bytes = sse(chunk);
    expect(tap.chunk(bytes)).toBe(bytes);
  });

  test("closes before the chunk with the terminal event goes on", () => {
    const { tap, rows } = open(SSE_HEAD, "openai_chat");
    void tap.chunk(sse(chunk));
    expect(rows.length).toBe(0);
    void tap.chunk(sse("[DONE]"));
    expect(rows).toMatchObject([{ status: "completed", model: "m-1", service_tier: "flex" }]);
  });

  test("takes usage that grows beside the choices from the last chunk", async () => {
    const { tap, rows } = open(SSE_HEAD, "openai_chat");
    const usage = (completion_tokens: number) => ({ prompt_tokens: 1, completion_tokens });
    const events = [{ ...chunk, usage: usage(1) }, { ...chunk, usage: usage(9) }, "[DONE]"];
    await forward(tap, [sse(...events)]);
    expect(rows).toMatchObject([{ output_tokens: 9, usage_source: "upstream", frames_down: 3 }]);
  });

  test("takes the same usage as partial when the stream breaks off", () => {
    const { tap, rows } = open(SSE_HEAD, "openai_chat");
    void tap.chunk(sse({ ...chunk, usage: { prompt_tokens: 1, completion_tokens: 2 } }));
    tap.abort();
    expect(rows).toMatchObject([{ status: "interrupted", usage_source: "partial" }]);
  });

  test("takes an error in the stream as the end, billed only if something came first", async () => {
    const error = { error: { code: "server_error", message: "m" } };
    const first = open(SSE_HEAD, "openai_chat");
    await forward(first.tap, [sse(error)]);
    expect(first.rows).toMatchObject([{ status: "error", usage_source: "none_billed" }]);
    const second = open(SSE_HEAD, "openai_chat");
    await forward(second.tap, [sse(chunk, error)]);
    const row = { status: "error", usage_source: "missing", error_code: "server_error" };
    expect(second.rows).toMatchObject([{ ...row, http_status: 200 }]);
  });

  test("a stream that ends without a terminal event is interrupted", async () => {
    const { tap, rows } = open(SSE_HEAD);
    await forward(tap, [sse({ type: "response.created", response: { id: "r1" } })]);
    expect(rows).toMatchObject([{ status: "interrupted", response_id: "r1" }]);
  });

  test.each([
    ["transcript.text.done", { input_tokens: 3, output_tokens: 4 }, { output_tokens: 4 }],
    ["speech.audio.done", { input_tokens: 3, output_tokens: 4 }, { audio_output_tokens: null }],
    ["image_generation.completed", { input_tokens: 3, output_tokens: 4 }, { input_tokens: 3 }],
  ])("reads the usage of %s", async (type, usage, wanted) => {
    const { tap, rows } = open(SSE_HEAD, "openai_audio");
    await forward(tap, [sse({ type: "speech.audio.delta", audio: "AA==" }, { type, usage })]);
    expect(rows).toMatchObject([{ ...wanted, status: "completed", first_token_ms: 0 }]);
  });

  test("reports an event that is too large to be read", async () => {
    const { world, tap, rows } = open(SSE_HEAD);
    await forward(tap, [sse({ type: "response.completed", x: "y".repeat(1 << 20) })]);
    expect(rows).toMatchObject([{ status: "interrupted" }]);
    expect(world.reports[0]).toMatchObject({ cause: "event_too_large" });
  });
});

describe("createBodyMeter() on encoded bodies", () => {
  const encoders = [
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
  ] as const;

  test.each(encoders)("meters %s and forwards it as it came", async (contentEncoding, encode) => {
    const events = sse({ type: "response.completed", response: { id: "r1" } });
    for (const [plain, head] of [
      [BODY, JSON_HEAD],
      [events, SSE_HEAD],
    ] as const) {
      const encoded = new Uint8Array(encode(plain));
      const { tap, rows } = open({ ...head, contentEncoding });
      const chunks = [encoded.subarray(0, 7), encoded.subarray(7)];
      expect(await forward(tap, chunks)).toEqual(encoded);
      const row = { status: "completed", response_id: "r1", bytes_down: encoded.length };
      expect(rows).toMatchObject([row]);
    }
  });

  test("reads an event stream whose events together are larger than any one may be", async () => {
    const delta = sse({ type: "response.output_text.delta", delta: "x".repeat(1000) });
    const usage = { input_tokens: 1, output_tokens: 2 };
    const done = sse({ type: "response.completed", response: { id: "r1", usage } });
    const events = Buffer.concat([...Array.from({ length: 3000 }, () => delta), done]);
    const encoded = new Uint8Array(gzipSync(events));
    const { tap, rows } = open({ ...SSE_HEAD, contentEncoding: "gzip" });
    expect(await forward(tap, [encoded])).toEqual(encoded);
    expect(rows).toMatchObject([{ status: "completed", output_tokens: 2 }]);
  });

  test.each([["gzip"], ["br"], ["compress"], ["gzip, br"]])(
    "forwards what it cannot decode as %s, and says so",
    async (contentEncoding) => {
      const { world, tap, rows } = open({ contentEncoding });
      expect(await forward(tap, [BODY])).toEqual(BODY);
      expect(rows).toMatchObject([{ usage_source: "missing" }]);
      expect(world.reports[0]).toMatchObject({ cause: "bad_encoding" });
    },
  );

  test("abort() leaves no decoder waiting", async () => {
    const encoded = new Uint8Array(gzipSync(BODY));
    const { tap, rows } = open({ contentEncoding: "gzip" });
    await tap.chunk(encoded.subarray(0, 5));
    tap.abort();
    expect(rows).toMatchObject([{ status: "interrupted" }]);
  });
});
