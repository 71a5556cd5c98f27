import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";

import { advanceUntil, type Client, type Json, type Stage, stage, until } from "./harness.ts";

let it: Stage;
let client: Client;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

beforeEach(async () => {
  client = await it.connect("/v1/responses");
});

afterEach(() => client.close());

const create = (more: object = {}) =>
  client.send({ type: "response.create", model: "gpt-5.5", input: "Hello", ...more });
const slow = { metadata: { mock: "tokens=5,delay=each:1s" } };
const done = async () => (await client.until("response.completed")).at(-1).response;

describe("ResponsesDialogue turns", () => {
  test("run one after another in a lane, each on the one before", async () => {
    create({ store: false });
    const first = await done();
    create({ previous_response_id: first.id, service_tier: "fast" });
    const second = await done();
    expect(second.previous_response_id).toBe(first.id);
    expect(second.usage.input_tokens).toBe(first.usage.total_tokens + 2);
    expect(second.service_tier).toBe("priority");
    // Not stored, so another connection does not know it.
    const other = await it.connect("/v1/responses");
    other.send({ type: "response.create", model: "m", input: "x", previous_response_id: first.id });
    expect((await other.next()).error.code).toBe("previous_response_not_found");
    other.close();
  });

  test("of one lane wait for each other, of different lanes run side by side", async () => {
    create({ stream_id: "a", ...slow });
    create({ stream_id: "b", ...slow });
    create({ stream_id: "a" });
    const seen: Json[] = [];
    const all = (async () => {
      while (seen.filter((event) => event.type === "response.completed").length < 3) {
        seen.push(await client.next());
      }
    })();
    await until(() => it.clock.pendingTimers === 2);
    await advanceUntil(it.clock, 1_000, all);
    const marks = seen
      .filter((event) => /created|completed/.test(event.type))
      .map((event) => `${event.stream_id} ${event.type.slice(9)}`);
    expect(marks.slice(0, 2).sort()).toEqual(["a created", "b created"]);
    expect(marks.filter((mark) => mark.startsWith("a"))).toEqual([
      "a created",
      "a completed",
      "a created",
      "a completed",
    ]);
    expect(marks.indexOf("b created")).toBeLessThan(marks.indexOf("a completed"));
    expect(seen.every((event) => ["a", "b"].includes(event.stream_id))).toBe(true);
  });

  test("have no stream_id in the default lane", async () => {
    create();
    const events = await client.until("response.completed");
    expect(events.some((event) => "stream_id" in event)).toBe(false);
  });

  test("without output warm up and can be built on", async () => {
    create({ generate: false, stream: true });
    const warm = await done();
    expect([warm.output, warm.usage.total_tokens]).toEqual([[], 0]);
    create({ previous_response_id: warm.id });
    expect((await done()).usage.input_tokens).toBe(2);
  });

  test("that are steered end incomplete, and a successor follows by itself", async () => {
    create({ stream_id: "s", service_tier: "flex", ...slow });
    const { response } = await client.next();
    await until(() => it.clock.pendingTimers === 1);
    client.send({ type: "response.steer", previous_response_id: response.id, input: "Stop" });
    const accepted = (await client.until("response.steer.accepted")).at(-1);
    expect(accepted).toMatchObject({
      stream_id: "s",
      steer: { previous_response_id: response.id },
    });
    const steered = await advanceUntil(it.clock, 1_000, client.until("response.incomplete"));
    expect(steered.at(-1).response.incomplete_details).toEqual({ reason: "steered" });
    const next = await advanceUntil(it.clock, 1_000, client.until("response.completed"));
    expect(next[0].type).toBe("response.created");
    expect(next.at(-1).response).toMatchObject({
      previous_response_id: response.id,
      service_tier: "flex",
    });
  });

  test.each([
    ["resp_none", "response_not_found"],
    [null, "response_already_completed"],
  ])("cannot be steered once they are over: %p is %s", async (id, code) => {
    create();
    const response = await done();
    client.send({ type: "response.steer", previous_response_id: id ?? response.id, input: "x" });
    const failed = await client.next();
    expect([failed.type, failed.error.code, failed.steer.input]).toEqual([
      "response.steer.failed",
      code,
      "x",
    ]);
  });

  test("are cancelled with what they used so far", async () => {
    create(slow);
    const { response } = await client.next();
    await until(() => it.clock.pendingTimers === 1);
    client.send({ type: "response.cancel", response_id: response.id });
    client.send({ type: "response.cancel", response_id: "resp_other" });
    expect((await client.until("error")).at(-1).error.code).toBe("response_not_active");
    const events = await advanceUntil(it.clock, 1_000, client.until("response.cancelled"));
    expect(events.at(-1).response.usage.output_tokens).toBe(1);
  });
});

describe("ResponsesDialogue refuses", () => {
  test.each([
    ["what is no JSON", "hello", "invalid_json", null],
    ["an unknown type", { type: "response.explode" }, "invalid_value", "type"],
    [
      "a bad stream_id",
      { type: "response.create", stream_id: "a b" },
      "invalid_stream_id",
      "stream_id",
    ],
    ["a turn without a model", { type: "response.create" }, "missing_required_parameter", "model"],
  ])("%s and goes on", async (_title, message, code, param) => {
    client.send(message);
    const event = await client.next();
    expect(event).toMatchObject({ type: "error", status: 400, error: { code, param } });
    create();
    await done();
  });

  test("an unknown previous_response_id in the lane that named it", async () => {
    create({ previous_response_id: "resp_none", stream_id: "l" });
    expect(await client.next()).toEqual({
      type: "error",
      status: 400,
      stream_id: "l",
      error: {
        type: "invalid_request_error",
        code: "previous_response_not_found",
        message: "Previous response with id 'resp_none' not found.",
        param: "previous_response_id",
      },
    });
  });

  test("a turn as scripted, with the headers of the error, and forgets the parent", async () => {
    create({ store: false });
    const first = await done();
    create({ metadata: { mock: "error=rate_limit_exceeded" } });
    const error = await client.next();
    expect(error).toMatchObject({ status: 429, error: { code: "rate_limit_exceeded" } });
    expect(error.headers["retry-after-ms"]).toBe("1898");
    create({ previous_response_id: first.id });
    expect((await client.next()).error.code).toBe("previous_response_not_found");
  });

  test("a script that cannot be followed", async () => {
    create({ metadata: { mock: "speed=9" } });
    const { error } = await client.next();
    expect([error.code, error.param]).toEqual(["invalid_mock_script", "metadata.mock"]);
  });

  test("a 33rd lane", async () => {
    for (let n = 0; n < 32; n += 1) {
      create({ stream_id: `lane-${n}`, generate: false });
      await done();
    }
    create({ stream_id: "lane-32" });
    expect(await client.next()).toMatchObject({
      stream_id: "lane-32",
      error: { code: "websocket_stream_limit_reached", param: "stream_id" },
    });
    create({ stream_id: "lane-0" });
    await done();
  });

  test("a 17th active response", async () => {
    for (let n = 0; n < 17; n += 1) create({ stream_id: `lane-${n}`, ...slow });
    const error = (await client.until("error")).at(-1);
    expect([error.stream_id, error.error.code]).toEqual([
      "lane-16",
      "websocket_stream_limit_reached",
    ]);
  });

  test("each turn where the handshake's script has an error", async () => {
    const other = await it.connect("/v1/responses", "error=insufficient_quota");
    other.send({ type: "response.create", model: "m", input: "x" });
    expect(await other.next()).toMatchObject({
      status: 429,
      error: { code: "insufficient_quota" },
    });
    other.close();
  });
});
