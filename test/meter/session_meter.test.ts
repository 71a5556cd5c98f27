import { describe, expect, test } from "bun:test";
import type { UsageEvent } from "../../src/exchange.ts";
import { GatewayError } from "../../src/errors.ts";
import { createSessionMeter, type SessionMeterTap } from "../../src/meter/session_meter.ts";
import type { MeterDialect } from "../../src/provider/provider.ts";
import { MeterWorld } from "../support/meter_world.ts";

const USAGE = { input_tokens: 5, output_tokens: 7 };

function open(dialect: MeterDialect = "openai_responses") {
  const world = new MeterWorld();
  return { world, tap: createSessionMeter(world.session(dialect)) };
}

function up(tap: SessionMeterTap, message: object): void {
  tap.clientMessage(JSON.stringify(message));
}

function down(tap: SessionMeterTap, message: object): Promise<void> | undefined {
  return tap.upstreamMessage(JSON.stringify(message));
}

function create(model: string, more: object = {}): object {
  return { type: "response.create", model, ...more };
}

function created(id: string, more: object = {}): object {
  return {
    type: "response.created",
    response: { id, model: "m-1", service_tier: "auto" },
    ...more,
  };
}

function completed(id: string, more: object = {}): object {
  return { type: "response.completed", response: { id, model: "m-1", usage: USAGE }, ...more };
}

const DELTA = { type: "response.output_text.delta", delta: "x" };

/** What matters of the closed rows, in the order they were closed. */
function closed(world: MeterWorld) {
  return world.ledger.closed.map((row) => [
    row.turn,
    row.status,
    row.requested_model,
    row.response_id,
    row.usage_source,
  ]);
}

describe("createSessionMeter() on Responses", () => {
  test("opens a row when the request passes, as it must read if the process dies now", () => {
    const { world, tap } = open();
    up(tap, create("a", { service_tier: "flex", stream_id: "s", generate: false }));
    const [row] = world.ledger.opened;
    expect(row).toMatchObject({
      event_id: "sess_1_1",
      status: "interrupted",
      usage_source: "missing",
      input_tokens: null,
      requested_model: "a",
      requested_service_tier: "flex",
      decided_service_tier: "flex",
      duration_ms: null,
      details: { stream_id: "s", warmup: true },
    });
    expect([tap.turns, tap.turnsRunning]).toEqual([1, 1]);
  });

  test("times the first token and the whole turn from the request", () => {
    const { world, tap } = open();
    up(tap, create("a"));
    world.clock.advance(20);
    down(tap, created("r1"));
    world.clock.advance(30);
    down(tap, DELTA);
    world.clock.advance(50);
    down(tap, DELTA);
    down(tap, completed("r1"));
    const [row] = world.ledger.closed;
    expect([row?.first_token_ms, row?.duration_ms]).toEqual([50, 100]);
  });

  test("attributes output of parallel lanes by stream_id", () => {
    const { world, tap } = open();
    for (const lane of ["x", "y"]) {
      up(tap, create(lane, { stream_id: lane }));
      down(tap, created(lane, { stream_id: lane }));
    }
    world.clock.advance(10);
    down(tap, { ...DELTA, stream_id: "y" });
    world.clock.advance(10);
    down(tap, { ...DELTA, stream_id: "x" });
    down(tap, completed("x", { stream_id: "x" }));
    down(tap, completed("y", { stream_id: "y" }));
    expect(world.ledger.closed.map((row) => row.first_token_ms)).toEqual([20, 10]);
  });

  test("matches by response id when lanes end in another order than they began", () => {
    const { world, tap } = open();
    up(tap, create("a", { stream_id: "x" }));
    up(tap, create("b", { stream_id: "y" }));
    down(tap, created("rb", { stream_id: "y" }));
    down(tap, created("ra", { stream_id: "x" }));
    down(tap, completed("ra", { stream_id: "x" }));
    down(tap, completed("rb", { stream_id: "y" }));
    expect(closed(world)).toEqual([
      [1, "completed", "a", "ra", "upstream"],
      [2, "completed", "b", "rb", "upstream"],
    ]);
  });

  test("counts the successor of a steered response as a turn that nobody asked for", () => {
    const { world, tap } = open();
    up(tap, create("a", { service_tier: "flex" }));
    down(tap, created("r1"));
    up(tap, create("queued"));
    const response = { id: "r1", incomplete_details: { reason: "steered" }, usage: USAGE };
    down(tap, { type: "response.incomplete", response });
    down(tap, { type: "response.created", response: { id: "r2", model: "m-1" } });
    down(tap, completed("r2"));
    down(tap, created("r3"));
    down(tap, completed("r3"));
    expect(closed(world)).toEqual([
      [1, "incomplete", "a", "r1", "upstream"],
      [3, "completed", null, "r2", "upstream"],
      [2, "completed", "queued", "r3", "upstream"],
    ]);
    expect(world.ledger.closed[1]?.decided_service_tier).toBe("flex");
  });

  test.each([
    ["response.completed", undefined, "completed"],
    ["response.done", "completed", "completed"],
    ["response.done", "cancelled", "cancelled"],
    ["response.incomplete", undefined, "incomplete"],
    ["response.failed", undefined, "failed"],
    ["response.cancelled", undefined, "cancelled"],
    ["response.canceled", undefined, "cancelled"],
  ] as const)("(trap 11) takes %s with status %p as %s", (type, status, wanted) => {
    const { world, tap } = open();
    up(tap, create("a"));
    down(tap, created("r1"));
    down(tap, { type, response: { id: "r1", status, usage: USAGE } });
    expect(world.ledger.closed.map((row) => row.status)).toEqual([wanted]);
    expect(tap.turnsRunning).toBe(0);
  });

  test("records a response once, though two terminal events name it", () => {
    const { world, tap } = open();
    up(tap, create("a"));
    down(tap, created("r1"));
    down(tap, completed("r1"));
    down(tap, { type: "response.done", response: { id: "r1", usage: USAGE } });
    expect(world.ledger.closed.length).toBe(1);
  });

  test("records two turns whose upstream gives both the same response id", () => {
    const { world, tap } = open();
    for (const model of ["a", "b"]) {
      up(tap, create(model));
      down(tap, completed("same"));
    }
    expect(closed(world).map(([turn, , model]) => [turn, model])).toEqual([
      [1, "a"],
      [2, "b"],
    ]);
  });

  test("records a response that the session never saw begin, and says so", () => {
    const { world, tap } = open();
    down(tap, completed("r9"));
    expect(closed(world)).toEqual([[1, "completed", null, "r9", "upstream"]]);
    const failure = { event: "usage_parse_failed", turn: 1, cause: "unmatched_terminal" } as const;
    expect(world.reports[0]).toEqual(failure);
  });

  test("reports a terminal event that is about nothing", () => {
    const { world, tap } = open();
    down(tap, { type: "response.completed" });
    const failure = { event: "usage_parse_failed", turn: 0, cause: "unmatched_terminal" } as const;
    expect(world.reports).toEqual([failure]);
  });

  test("closes a turn that is over when it is first heard of, though none may begin", () => {
    const { world } = open();
    const rows: UsageEvent[] = [];
    const ledger = {
      open() {
        throw new GatewayError("ledger_unavailable");
      },
      close: (row: UsageEvent) => void rows.push(row),
    };
    const tap = createSessionMeter({ ...world.session("openai_responses"), ledger });
    expect(() => down(tap, created("r1"))).toThrow("cannot be recorded");
    down(tap, completed("r1"));
    expect(rows).toMatchObject([{ response_id: "r1", output_tokens: 7 }]);
  });

  describe("an error", () => {
    const error = (code: string) => ({ type: "error", status: 400, error: { code } });

    const flat = { type: "error", code: "server_error", message: "m" };

    test("refuses the lane's only create that is not answered, nothing billed", () => {
      const { world, tap } = open();
      up(tap, create("a"));
      up(tap, create("b", { stream_id: "y" }));
      down(tap, error("x"));
      expect(closed(world)).toEqual([[1, "error", "a", null, "none_billed"]]);
      expect(world.ledger.closed[0]).toMatchObject({ http_status: 400, output_tokens: 0 });
      down(tap, { ...error("z"), stream_id: "y" });
      expect(closed(world)[1]).toEqual([2, "error", "b", null, "none_billed"]);
    });

    test("that names no lane is not about creates in named lanes", () => {
      const { world, tap } = open();
      up(tap, create("a", { stream_id: "x" }));
      down(tap, error("x"));
      down(tap, created("r1", { stream_id: "x" }));
      down(tap, completed("r1", { stream_id: "x" }));
      expect(closed(world)).toEqual([[1, "completed", "a", "r1", "upstream"]]);
    });

    test.each([
      ["wrapped", error("invalid_value")],
      ["flat", flat],
    ])("that is %s does not end a response whose terminal event comes later", (_, message) => {
      const { world, tap } = open();
      up(tap, create("a", { service_tier: "flex" }));
      down(tap, created("r1"));
      up(tap, { type: "x" });
      down(tap, message);
      expect([world.ledger.closed.length, tap.turnsRunning]).toEqual([0, 1]);
      down(tap, DELTA);
      down(tap, completed("r1"));
      tap.end();
      expect(closed(world)).toEqual([[1, "completed", "a", "r1", "upstream"]]);
      const row = { output_tokens: 7, error_code: null, requested_service_tier: "flex" };
      expect(world.ledger.closed[0]).toMatchObject(row);
    });

    test("in a named lane does not end the response that runs there", () => {
      const { world, tap } = open();
      up(tap, create("a", { stream_id: "x" }));
      down(tap, created("r1", { stream_id: "x" }));
      up(tap, { type: "response.cancel", response_id: "none", stream_id: "x" });
      down(tap, { ...error("not_found"), stream_id: "x" });
      down(tap, completed("r1", { stream_id: "x" }));
      expect(closed(world)).toEqual([[1, "completed", "a", "r1", "upstream"]]);
    });

    test.each([
      ["the lane's next response begins", (tap: SessionMeterTap) => down(tap, created("r2"))],
      ["the session ends", (tap: SessionMeterTap) => tap.end()],
    ])("that is flat breaks off the started response, usage unknown, once %s", (_, next) => {
      const { world, tap } = open();
      up(tap, create("a"));
      down(tap, created("r1"));
      up(tap, create("b"));
      down(tap, flat);
      expect(world.ledger.closed).toEqual([]);
      void next(tap);
      expect(closed(world)[0]).toEqual([1, "error", "a", "r1", "missing"]);
      expect(world.ledger.closed[0]).toMatchObject({ error_code: "server_error", model: "m-1" });
      const terminal = { event: "relay_turn_completed", terminal: "error" };
      expect(world.reports[0]).toMatchObject(terminal);
    });

    test("that is flat leaves the response of another lane alone", () => {
      const { world, tap } = open();
      up(tap, create("a", { stream_id: "x" }));
      down(tap, created("r1", { stream_id: "x" }));
      down(tap, flat);
      tap.end();
      expect(closed(world)).toEqual([[1, "interrupted", "a", "r1", "missing"]]);
    });

    test("keeps the usage of a response that ends after its error was recorded", () => {
      const { world, tap } = open();
      for (const model of ["a", "b"]) up(tap, create(model));
      down(tap, created("r1"));
      down(tap, flat);
      down(tap, created("r2"));
      down(tap, completed("r1"));
      down(tap, completed("r2"));
      expect(closed(world)).toEqual([
        [1, "error", "a", "r1", "missing"],
        [3, "completed", null, "r1", "upstream"],
        [2, "completed", "b", "r2", "upstream"],
      ]);
      const failure = {
        event: "usage_parse_failed",
        turn: 3,
        cause: "unmatched_terminal",
      } as const;
      expect(world.reports).toContainEqual(failure);
    });

    test.each([["before"], ["after"]])(
      "that answers another message, sent %s the create, leaves the create to its answer",
      (when) => {
        const { world, tap } = open();
        if (when === "before") up(tap, { type: "x" });
        up(tap, create("a", { service_tier: "flex" }));
        if (when === "after") up(tap, { type: "x" });
        for (let count = 0; count < 3; count++) down(tap, error("invalid_value"));
        expect([world.ledger.closed.length, tap.turnsRunning]).toEqual([0, 1]);
        down(tap, created("r1"));
        down(tap, completed("r1"));
        tap.end();
        expect(closed(world)).toEqual([[1, "completed", "a", "r1", "upstream"]]);
        expect(world.ledger.closed[0]).toMatchObject({ decided_service_tier: "flex" });
        expect(world.ledger.opened.length).toBe(1);
      },
    );

    test("that may be about either is what a create ends with that is never answered", () => {
      const { world, tap } = open();
      up(tap, { type: "x" });
      up(tap, create("a"));
      down(tap, error("e"));
      tap.end();
      expect(closed(world)).toEqual([[1, "error", "a", null, "missing"]]);
      expect(world.ledger.closed[0]).toMatchObject({ error_code: "e", http_status: 400 });
    });

    test.each([
      ["priority", "flex", "priority", 1],
      ["priority", "flex", "flex", 2],
      [undefined, "flex", "auto", 1],
      ["flex", undefined, "auto", 2],
    ])(
      "about one of two creates, of tiers %p and %p, leaves an answer of %p to number %d",
      (...asked) => {
        const [first, second, served, number] = asked;
        const { world, tap } = open();
        for (const tier of [first, second]) up(tap, create("m", { service_tier: tier }));
        down(tap, error("x"));
        expect(world.ledger.closed).toEqual([]);
        down(tap, {
          type: "response.created",
          response: { id: "r1", model: "m-1", service_tier: served },
        });
        down(tap, completed("r1"));
        const ended = world.ledger.closed.filter(({ status }) => status === "completed");
        expect(ended.map((row) => row.turn)).toEqual([number]);
        tap.end();
        expect(world.ledger.closed.length).toBe(2);
      },
    );

    test("about a stream_id is not certain of its create where several wait", () => {
      const { world, tap } = open();
      up(tap, create("m", { stream_id: "bad lane!", service_tier: "flex" }));
      up(tap, create("m", { service_tier: "priority" }));
      down(tap, { type: "error", status: 400, error: { code: "invalid_stream_id" } });
      down(tap, created("r1"));
      down(tap, completed("r1"));
      tap.end();
      expect(closed(world)).toEqual([
        [2, "completed", "m", "r1", "upstream"],
        [1, "error", "m", null, "missing"],
      ]);
    });

    test("about a stream_id leaves the response that runs in the default lane alone", () => {
      const { world, tap } = open();
      up(tap, create("a"));
      down(tap, created("r1"));
      up(tap, create("b", { stream_id: "bad lane!" }));
      down(tap, { type: "error", status: 400, error: { code: "e", param: "stream_id" } });
      down(tap, completed("r1"));
      expect(closed(world)).toEqual([
        [2, "error", "b", null, "none_billed"],
        [1, "completed", "a", "r1", "upstream"],
      ]);
    });

    test("when nothing runs is about no turn", () => {
      const { world, tap } = open();
      down(tap, error("x"));
      expect(world.ledger.closed).toEqual([]);
    });
  });

  test("end() closes what still runs as interrupted, with what its last event carried", () => {
    const { world, tap } = open();
    up(tap, create("a"));
    down(tap, created("r1"));
    up(tap, create("b"));
    tap.end();
    expect(closed(world)).toEqual([
      [1, "interrupted", "a", "r1", "missing"],
      [2, "interrupted", "b", null, "missing"],
    ]);
    expect(world.ledger.closed[0]).toMatchObject({ model: "m-1", service_tier: "auto" });
    expect(tap.turnsRunning).toBe(0);
  });

  test("end() closes every turn, though the ledger fails for each, and throws its error", () => {
    const { world } = open();
    const tried: string[] = [];
    const close = (row: UsageEvent): undefined => {
      tried.push(row.event_id);
      throw new GatewayError("ledger_unavailable", { message: row.event_id });
    };
    const ledger = { open: () => undefined, close };
    const tap = createSessionMeter({ ...world.session("openai_responses"), ledger });
    for (const lane of ["a", "b", "c"]) up(tap, create("m", { stream_id: lane }));
    expect(() => tap.end()).toThrow("sess_1_1");
    expect(tried).toEqual(["sess_1_1", "sess_1_2", "sess_1_3"]);
  });

  test("end() leaves a response in the background pending", () => {
    const { world, tap } = open();
    up(tap, create("a"));
    down(tap, { type: "response.created", response: { id: "r1", background: true } });
    tap.end();
    expect(closed(world)).toEqual([[1, "pending", "a", "r1", "missing"]]);
  });

  test.each([
    [{ input_tokens: "5", output_tokens: 1 }],
    [{ input_tokens: -1, output_tokens: 1 }],
    [{ input_tokens: 1.5, output_tokens: 1 }],
    [{ output_tokens: 1 }],
    [{ input_tokens: 1, output_tokens: 1, input_tokens_details: { cached_tokens: "x" } }],
    [{ input_tokens: 1, output_tokens: 1, output_tokens_details: [] }],
    [[]],
    ["many"],
  ])("reports a malformed usage object and records null: %j", (usage) => {
    const { world, tap } = open();
    up(tap, create("a"));
    down(tap, { type: "response.completed", response: { id: "r1", usage } });
    expect(world.reports.map((each) => each.event)).toEqual([
      "usage_parse_failed",
      "relay_turn_completed",
    ]);
    expect(closed(world)).toEqual([[1, "completed", "a", "r1", "missing"]]);
    expect(world.ledger.closed[0]?.output_tokens).toBeNull();
  });

  test("counts web searches, and not the pages they open", () => {
    const { world, tap } = open();
    const output = [
      { type: "web_search_call", action: { type: "search" } },
      { type: "web_search_call", action: { type: "open_page" } },
      { type: "message" },
    ];
    down(tap, { type: "response.completed", response: { id: "r1", usage: USAGE, output } });
    expect(world.ledger.closed[0]?.web_search_requests).toBe(1);
  });

  test("charges frames and bytes since the turn before", () => {
    const { world, tap } = open();
    const sent = JSON.stringify(create("é"));
    tap.clientMessage(sent);
    tap.upstreamMessage("not JSON");
    tap.upstreamMessage(JSON.stringify(completed("r1")));
    up(tap, create("b"));
    down(tap, completed("r2"));
    const [first, second] = world.ledger.closed;
    expect(first).toMatchObject({ frames_up: 1, frames_down: 2 });
    expect(first?.bytes_up).toBe(new TextEncoder().encode(sent).length);
    expect(second).toMatchObject({ frames_up: 1, frames_down: 1 });
  });

  test("upstreamMessage() holds the terminal event until its record is on disk", async () => {
    const { world, tap } = open();
    const disk = Promise.withResolvers<void>();
    world.ledger.pending = disk.promise;
    up(tap, create("a"));
    expect(down(tap, created("r1"))).toBeUndefined();
    expect(down(tap, DELTA)).toBeUndefined();
    const held = down(tap, completed("r1"));
    expect(held).toBeInstanceOf(Promise);
    disk.resolve();
    await held;
    expect(down(tap, DELTA)).toBeUndefined();
  });

  test("clientMessage() throws when the ledger cannot keep the row, and counts no turn", () => {
    const { world, tap } = open();
    world.ledger.failure = new GatewayError("ledger_unavailable");
    expect(() => up(tap, create("a"))).toThrow("Usage cannot be recorded");
    expect([tap.turns, tap.turnsRunning]).toEqual([0, 0]);
  });

  test("bounds the turns that never end, the oldest being interrupted", () => {
    const { world, tap } = open();
    for (let count = 0; count < 1025; count++) up(tap, create("a"));
    expect(tap.turnsRunning).toBe(1024);
    expect(closed(world)).toEqual([[1, "interrupted", "a", null, "missing"]]);
  });

  const NO_EVENTS = [
    "not JSON",
    "[]",
    '"response.create"',
    '{"type":"response.create"',
    "\ufeff{}",
  ];

  test.each(NO_EVENTS)("passes by what is no event of the upstream's: %s", (text) => {
    const { world, tap } = open();
    tap.upstreamMessage(text.replace("create", "completed"));
    tap.upstreamMessage(Uint8Array.of(0xff, 0xfe));
    expect(world.ledger.opened).toEqual([]);
  });

  test.each([...NO_EVENTS, ""])("refuses a client's message that is no JSON object: %s", (text) => {
    const { world, tap } = open();
    expect(() => tap.clientMessage(text)).toThrow("The message is not one JSON object");
    expect(() => tap.clientMessage(new TextEncoder().encode(text))).toThrow("not one JSON object");
    expect(() => tap.clientMessage(Uint8Array.of(0xff, 0xfe))).toThrow("not one JSON object");
    expect(world.ledger.opened).toEqual([]);
  });
});

describe("createSessionMeter() on Realtime", () => {
  const session = (transcription: object | null) => ({
    type: "session.updated",
    session: { model: "rt-1", audio: { input: { transcription } } },
  });
  const done = (id: string) => ({
    type: "response.done",
    response: { id, status: "completed", usage: USAGE },
  });

  test("begins a turn with the upstream's event, so that an error ends none", () => {
    const { world, tap } = open("openai_realtime");
    down(tap, session(null));
    up(tap, { type: "response.create" });
    down(tap, { type: "error", error: { code: "conversation_already_has_active_response" } });
    tap.end();
    expect(world.ledger.opened).toEqual([]);
  });

  test("counts a response that voice detection began, and takes its model from the session", () => {
    const { world, tap } = open("openai_realtime");
    down(tap, session(null));
    down(tap, { type: "response.created", response: { id: "r1" } });
    down(tap, { type: "error", error: { code: "invalid_value" } });
    down(tap, done("r1"));
    expect(closed(world)).toEqual([[1, "completed", null, "r1", "upstream"]]);
    expect(world.ledger.closed[0]?.model).toBe("rt-1");
  });

  test("times a response from the request that asked for it", () => {
    const { world, tap } = open("openai_realtime");
    up(tap, { type: "response.create" });
    world.clock.advance(40);
    down(tap, { type: "response.created", response: { id: "r1" } });
    world.clock.advance(2);
    down(tap, { type: "response.output_audio.delta", response_id: "r1", delta: "AA==" });
    down(tap, done("r1"));
    expect(world.ledger.closed[0]).toMatchObject({ first_token_ms: 42, duration_ms: 42 });
  });

  test("begins a transcription when input is committed, if the session transcribes", () => {
    const { world, tap } = open("openai_realtime");
    down(tap, session(null));
    down(tap, { type: "input_audio_buffer.committed", item_id: "i0" });
    down(tap, session({ model: "asr-1" }));
    down(tap, { type: "input_audio_buffer.committed", item_id: "i1" });
    down(tap, session({ model: "asr-2" }));
    tap.end();
    expect(world.ledger.closed).toHaveLength(1);
    expect(world.ledger.closed[0]).toMatchObject({
      kind: "transcription",
      model: "asr-1",
      status: "interrupted",
    });
  });

  test("reads the beta's session fields", () => {
    const { world, tap } = open("openai_realtime");
    const input_audio_transcription = { model: "whisper-1" };
    down(tap, { type: "session.created", session: { model: "b", input_audio_transcription } });
    const type = "conversation.item.input_audio_transcription.completed";
    down(tap, { type, item_id: "i", usage: { type: "duration", seconds: 2.5 } });
    expect(world.ledger.closed[0]).toMatchObject({ model: "whisper-1", audio_seconds: 2.5 });
  });

  test("tells a transcription's output from that of the response beside it", () => {
    const { world, tap } = open("openai_realtime");
    down(tap, session({ model: "asr" }));
    down(tap, { type: "input_audio_buffer.committed", item_id: "i" });
    down(tap, { type: "response.created", response: { id: "r" } });
    world.clock.advance(5);
    const type = "conversation.item.input_audio_transcription";
    down(tap, { type: `${type}.delta`, item_id: "i", delta: "a" });
    world.clock.advance(5);
    down(tap, { type: "response.output_audio.delta", response_id: "r", delta: "AA==" });
    down(tap, { type: `${type}.completed`, item_id: "i", usage: USAGE });
    down(tap, done("r"));
    expect(world.ledger.closed.map((row) => row.first_token_ms)).toEqual([5, 10]);
  });
});

describe("createSessionMeter() admits turns", () => {
  test("by their own model, else the session's, tier, size and longest answer", () => {
    const { world, tap } = open();
    const frame = create("a", { service_tier: "flex", max_output_tokens: 9 });
    up(tap, frame);
    const frameBytes = JSON.stringify(frame).length;
    const asked = {
      requestedModel: "a",
      model: "a",
      serviceTier: "flex",
      frameBytes,
      outputTokensMax: 9,
    };
    expect(world.admission.asked).toEqual([asked]);
    const realtime = open("openai_realtime");
    down(realtime.tap, { type: "session.created", session: { model: "rt-1" } });
    up(realtime.tap, { type: "response.create" });
    expect(realtime.world.admission.asked[0]?.model).toBe("rt-1");
  });

  test("that nobody asks for with the tier that their session holds", () => {
    const { world, tap } = open("openai_realtime");
    const held = { requested: "fast", decided: "priority" };
    void tap.clientMessage('{"type":"input_audio_buffer.append","audio":"AA"}', held, true);
    down(tap, { type: "response.created", response: { id: "r1" } });
    down(tap, { type: "response.done", response: { id: "r1" } });
    void tap.clientMessage('{"type":"input_audio_buffer.append","audio":"AA"}', null, true);
    down(tap, { type: "response.created", response: { id: "r2" } });
    down(tap, { type: "response.done", response: { id: "r2" } });
    expect(
      world.ledger.closed.map((row) => [row.requested_service_tier, row.decided_service_tier]),
    ).toEqual([
      ["fast", "priority"],
      [null, null],
    ]);
    expect(world.admission.charged.map(({ serviceTier }) => serviceTier)).toEqual([
      "priority",
      null,
    ]);
  });

  test("and settles each with what it used", () => {
    const { world, tap } = open();
    up(tap, create("gpt-5"));
    down(tap, created("r1"));
    down(tap, completed("r1"));
    const [row] = world.ledger.closed;
    expect(row?.settled_micros).toBeGreaterThan(0);
    const told = world.admission.reservations.map((each) => each.told);
    expect(told).toEqual([[`settled 12 ${row?.settled_micros}`]]);
  });

  test("and settles what ends without usage at what was reserved, flagged", () => {
    const { world, tap } = open();
    world.admission.costMicros = 77;
    up(tap, create("a"));
    expect(world.ledger.opened[0]).toMatchObject({ settled_micros: 77, input_tokens: null });
    tap.end();
    expect(world.ledger.closed[0]).toMatchObject({
      settled_micros: 77,
      details: { settled_at_reserve: true },
      output_tokens: null,
    });
    expect(world.admission.reservations[0]?.told).toEqual(["settled null 77"]);
  });

  test("and records nothing of a refused one", () => {
    const { world, tap } = open();
    world.admission.onAdmit = () => {
      throw new GatewayError("rate_limited");
    };
    expect(() => up(tap, create("a"))).toThrow("Too many requests");
    expect([tap.turns, world.ledger.opened.length]).toEqual([0, 0]);
  });

  test("and waits where admission has to", async () => {
    const { world, tap } = open();
    const gate = Promise.withResolvers<void>();
    world.admission.onAdmit = (reservation) => gate.promise.then(() => reservation);
    const until = tap.clientMessage(JSON.stringify(create("a")));
    expect([until instanceof Promise, tap.turns]).toEqual([true, 0]);
    gate.resolve();
    await until;
    expect([tap.turns, world.ledger.opened.length]).toEqual([1, 1]);
  });

  test("and releases one that is admitted when the session is over", async () => {
    const { world, tap } = open();
    const gate = Promise.withResolvers<void>();
    world.admission.onAdmit = (reservation) => gate.promise.then(() => reservation);
    const until = tap.clientMessage(JSON.stringify(create("a")));
    tap.end();
    gate.resolve();
    await until;
    expect(world.ledger.opened).toEqual([]);
    expect(world.admission.reservations[0]?.told).toEqual(["released"]);
  });

  test("and releases one whose record cannot be kept", () => {
    const { world, tap } = open();
    world.ledger.failure = new GatewayError("ledger_unavailable");
    expect(() => up(tap, create("a"))).toThrow("Usage cannot be recorded");
    expect(world.admission.reservations[0]?.told).toEqual(["released"]);
  });

  test("and charges for one that the upstream began by itself", () => {
    const { world, tap } = open("openai_realtime");
    down(tap, { type: "session.created", session: { model: "rt-1" } });
    down(tap, { type: "response.created", response: { id: "r1" } });
    const asked = {
      requestedModel: null,
      model: "rt-1",
      serviceTier: null,
      frameBytes: 0,
      outputTokensMax: null,
    };
    expect([world.admission.asked, world.admission.charged]).toEqual([[], [asked]]);
  });

  test("and throws why such a one ends the session, when it is on record", () => {
    const { world, tap } = open("openai_realtime");
    world.admission.refusal = new GatewayError("budget_exhausted");
    const begin = () => down(tap, { type: "response.created", response: { id: "r1" } });
    expect(begin).toThrow("The budget is used up");
    expect([tap.turns, world.ledger.opened.length]).toEqual([1, 1]);
  });

  test("and takes a request's reservation over when its response begins", () => {
    const { world, tap } = open("openai_realtime");
    up(tap, { type: "response.create" });
    down(tap, { type: "response.created", response: { id: "r1" } });
    const response = { id: "r1", status: "completed", usage: USAGE };
    down(tap, { type: "response.done", response });
    expect(world.admission.charged).toEqual([]);
    expect(world.admission.reservations[0]?.told).toHaveLength(1);
    expect(world.admission.reservations[0]?.told[0]).toStartWith("settled 12 ");
  });

  test("and charges nothing for a request that the upstream refused", () => {
    const { world, tap } = open("openai_realtime");
    up(tap, { type: "response.create" });
    down(tap, { type: "error", error: { type: "invalid_request_error", code: "x" } });
    expect(world.admission.reservations[0]?.told).toEqual(["settled 0 0"]);
  });

  test("and gives back what it set aside when an error may be about it", () => {
    const { world, tap } = open();
    up(tap, { type: "response.processed" });
    up(tap, create("a"));
    down(tap, { type: "error", status: 400, error: { code: "bad" } });
    expect(world.admission.reservations[0]?.told).toEqual(["settled 0 0"]);
    expect(tap.turnsRunning).toBe(1);
  });

  test("and charges again for one that begins, or ends the session, after such an error", () => {
    for (const begins of [true, false]) {
      const { world, tap } = open();
      world.admission.costMicros = 70;
      up(tap, { type: "response.processed" });
      up(tap, create("a"));
      down(tap, { type: "error", status: 400, error: { code: "bad" } });
      if (begins) down(tap, created("r1"));
      tap.end();
      expect(world.admission.charged).toMatchObject([{ model: "a" }]);
      expect(world.ledger.closed).toMatchObject([{ settled_micros: 70 }]);
      expect(world.admission.reservations[1]?.told).toEqual(["settled null 70"]);
    }
  });

  test("and charges nothing for one that was refused before its lane went on", () => {
    const { world, tap } = open();
    up(tap, { type: "response.processed" });
    up(tap, create("a"));
    down(tap, { type: "error", status: 400, error: { code: "bad" } });
    up(tap, create("b"));
    down(tap, created("r2"));
    expect(world.ledger.closed).toMatchObject([
      { turn: 1, status: "error", error_code: "bad", usage_source: "none_billed" },
    ]);
    expect(world.ledger.closed[0]?.settled_micros).toBe(0);
    expect(world.admission.charged).toEqual([]);
  });

  test("and records one at its reserve that nobody waited for", () => {
    const { world, tap } = open("openai_realtime");
    world.admission.costMicros = 70;
    up(tap, { type: "response.create" });
    expect(tap.turnsRunning).toBe(1);
    tap.end();
    expect(world.ledger.closed).toMatchObject([{ status: "interrupted", settled_micros: 70 }]);
    expect(world.admission.reservations[0]?.told).toEqual(["settled null 70"]);
  });

  test("and judges the next one by itself after one that was over when it was heard of", () => {
    const { world, tap } = open("openai_realtime");
    world.admission.refusal = new GatewayError("rate_limited");
    down(tap, { type: "response.done", response: { id: "r1", status: "completed", usage: USAGE } });
    world.admission.refusal = null;
    up(tap, { type: "response.create" });
    const begin = () => down(tap, { type: "response.created", response: { id: "r2" } });
    expect(begin).not.toThrow();
  });

  test("and asks whether the model is allowed that the upstream confirms", () => {
    const { world, tap } = open("openai_realtime");
    world.admission.onConfirm = () => {
      throw new GatewayError("model_not_allowed");
    };
    const updated = { type: "session.updated", session: { model: "rt-2" } };
    expect(() => down(tap, updated)).toThrow("The model is not allowed");
    expect(world.admission.confirmedModels).toEqual(["rt-2"]);
  });

  test("and asks the same of the model that it transcribes with", () => {
    const { world, tap } = open("openai_realtime");
    world.admission.onConfirm = () => {
      throw new GatewayError("model_not_allowed");
    };
    const session = { audio: { input: { transcription: { model: "t-1" } } } };
    const ask = () => down(tap, { type: "session.updated", session });
    expect(ask).toThrow("The model is not allowed");
    expect(world.admission.confirmedModels).toEqual(["t-1"]);
    const off = { audio: { input: { transcription: null } } };
    expect(() => down(tap, { type: "session.updated", session: off })).not.toThrow();
  });
});

describe("createSessionMeter() on a format without a reader", () => {
  test("relays and records nothing", () => {
    const { world, tap } = open("gemini_live");
    up(tap, { setup: { model: "models/x" } });
    expect(down(tap, { setupComplete: {} })).toBeUndefined();
    tap.end();
    expect(world.ledger.opened).toEqual([]);
  });
});

describe("createSessionMeter() on Gemini Live", () => {
  const setup = { setup: { model: "models/m" } };
  const speaks = { serverContent: { modelTurn: {} } };
  const done = {
    serverContent: { turnComplete: true },
    usageMetadata: { promptTokenCount: 4, responseTokenCount: 2 },
  };

  test("times a turn from the request, notes its first output, and names it for nobody", () => {
    const { world, tap } = open("gemini_live");
    up(tap, setup);
    up(tap, { clientContent: { turnComplete: true } });
    world.clock.advance(30);
    down(tap, speaks);
    world.clock.advance(10);
    down(tap, done);
    expect(world.ledger.closed).toMatchObject([
      {
        turn: 1,
        response_id: null,
        requested_model: "m",
        model: "m",
        input_tokens: 4,
        first_token_ms: 30,
        duration_ms: 40,
      },
    ]);
  });

  test("records a turn of a single message without a complaint", () => {
    const { world, tap } = open("gemini_live");
    up(tap, setup);
    down(tap, { ...done, serverContent: { modelTurn: {}, turnComplete: true } });
    expect(world.ledger.closed).toMatchObject([{ model: "m", output_tokens: 2 }]);
    expect(world.reports.map((each) => each.event)).toEqual(["relay_turn_completed"]);
  });
});
