import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const create = async (body: object, script?: string) =>
  (await it.post("/v1/responses", { model: "gpt-5.5", input: "Hello", ...body }, script)).json();
const get = async (path: string) => (await it.get(`/v1/responses/${path}`)).json();

describe("ResponsesApi", () => {
  test("counts what the response before had, and what of it is cached", async () => {
    const first = await create({ input: "x".repeat(4 * 300) });
    expect(first.usage).toMatchObject({ input_tokens: 300, output_tokens: 8 });
    const second = await create({ previous_response_id: first.id });
    expect(second.usage.input_tokens).toBe(308 + 2);
    expect(second.usage.input_tokens_details.cached_tokens).toBe(256);
  });

  test("refuses an unknown previous_response_id", async () => {
    const { error } = await create({ previous_response_id: "resp_none" });
    expect(error).toMatchObject({
      code: "previous_response_not_found",
      param: "previous_response_id",
    });
  });

  test("does not keep what store: false says not to", async () => {
    const { id } = await create({ store: false });
    expect((await it.get(`/v1/responses/${id}`)).status).toBe(404);
  });

  test("queues a background response, and completes it after the script's delay", async () => {
    const queued = await create({ background: true }, "delay=first:5s,tokens=3");
    expect(queued).toMatchObject({ status: "queued", usage: null, background: true });
    expect((await get(queued.id)).status).toBe("queued");
    it.clock.advance(5_000);
    const done = await get(queued.id);
    expect(done).toMatchObject({ status: "completed", usage: { output_tokens: 3 } });
    expect(await get(queued.id)).toEqual(done);
  });

  test("cancels a queued response", async () => {
    const { id } = await create({ background: true }, "delay=first:5s");
    const cancelled = await (await it.post(`/v1/responses/${id}/cancel`, {})).json();
    expect(cancelled.status).toBe("cancelled");
    it.clock.advance(5_000);
    expect((await get(id)).status).toBe("cancelled");
  });

  test("shows input items, counts input and compacts", async () => {
    const { id } = await create({});
    expect((await get(`${id}/input_items`)).data[0].content).toBe("Hello");
    const counted = await it.post("/v1/responses/input_tokens", { model: "m", input: "Hello" });
    expect((await counted.json()).input_tokens).toBe(2);
    const compacted = await it.post("/v1/responses/compact", { model: "m", input: "Hello" });
    expect(await compacted.json()).toMatchObject({
      object: "response.compaction",
      usage: { input_tokens: 2, total_tokens: 3 },
    });
  });

  test("knows nothing of an id that was never made", async () => {
    expect((await it.get("/v1/responses/resp_none")).status).toBe(404);
    expect((await it.post("/v1/responses/resp_none/cancel", {})).status).toBe(404);
  });
});
