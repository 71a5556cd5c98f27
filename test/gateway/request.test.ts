/** Which bodies are held and judged, with the real readers and engine; and what streams by. */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { Principal } from "../../src/exchange.ts";
import type { Asked } from "../../src/gateway/arrival.ts";
import { readRequestBody, requestFor } from "../../src/gateway/request.ts";
import { parseGlob } from "../../src/lib/glob.ts";
import { parseServiceTierPolicy } from "../../src/policy/service_tier_policy.ts";
import { openai } from "../../src/provider/openai.ts";
import type { RequestedTurn } from "../../src/provider/provider.ts";
import { Ending } from "../../src/relay/ending.ts";
import { BodyBudget } from "../../src/relay/request_body.ts";
import { Upload } from "../../src/relay/upload.ts";
import type { Candidate } from "../../src/route/choose.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { providerConfig } from "../support/provider_config.ts";

const PRINCIPAL: Principal = {
  kind: "token",
  projectId: "prj_1",
  tokenId: "tok_1",
  expiresAtMs: null,
  issuedAtMs: 0,
  restrictions: null,
};

const EDITS = "/v1/images/edits";
const BLOCK = { service_tier: "priority", action: "block" };
const FORM = "multipart/form-data; boundary=x";
const HELD_BYTES_MAX = 256 * 1024;

/** The parts that a body is read with, and what they were told. */
class World {
  readonly budget = new BodyBudget(1_000_000);
  readonly shadows: unknown[] = [];
  readonly told: RequestedTurn[] = [];
  sentBytes = 0;
  readonly #rules: readonly object[];

  constructor(...rules: readonly object[]) {
    this.#rules = rules;
  }

  get #parts() {
    // The fields that it reads, of all that a node has.
    return {
      clock: new FakeClock(),
      config: { limits: { inspectBodyBytesMax: 500_000, bodyBytesMax: 5_000_000 } },
      bodyBudget: this.budget,
      tierPolicy: { policy: parseServiceTierPolicy({ rules: this.#rules }) },
      metrics: { count: () => {} },
      log: (event: string) => void this.shadows.push(event),
      credentials: { hasCredential: () => false },
      authenticator: { lists: () => [] },
    } as unknown as Parameters<typeof readRequestBody>[0];
  }

  /** Who is chosen when it is known what for, where that decides. */
  chosen: Candidate | null = null;
  readonly askedFor: Asked[] = [];

  async read(request: Request, one: Candidate = candidate(EDITS)) {
    const asking = {
      request,
      principal: PRINCIPAL,
      candidates: [one],
      decidesByModel: this.chosen !== null,
      chooseFor: (asked: Asked) => {
        this.askedFor.push(asked);
        return [this.chosen ?? one] as const;
      },
    } as const;
    const { body } = await readRequestBody(
      this.#parts,
      asking,
      {
        sent: (byteCount) => void (this.sentBytes += byteCount),
        requested: (requested) => void this.told.push(requested),
      },
      new Ending(),
    );
    return body;
  }

  /** Reads the request for one candidate, then for another. */
  async readAgain(request: Request, other: Candidate) {
    const body = await this.read(request);
    return requestFor(this.#parts, { request, principal: PRINCIPAL }, other, body);
  }
}

function candidate(path: string, paramWhitelist = new Map<string, string>()): Candidate {
  const endpoint = openai.endpoint("POST", path);
  if (endpoint === null) throw new Error(`There is no ${path}`);
  const limits = new Map(
    [...paramWhitelist].map(([name, glob]) => [name, [parseGlob(glob) ?? []].flat()]),
  );
  const provider = providerConfig({ paramWhitelist: limits });
  return { provider, apiKey: null, family: openai, endpoint, path };
}

function post(contentType: string | null, text: string | null, headers = {}, path = EDITS) {
  const body = text === null ? null : new TextEncoder().encode(text);
  const request = new Request(`http://gw.example${path}`, { method: "POST", body, headers });
  if (contentType !== null) request.headers.set("content-type", contentType);
  if (body !== null && !request.headers.has("transfer-encoding")) {
    request.headers.set("content-length", String(body.length));
  }
  return request;
}

function form(fields: Record<string, string>): string {
  const parts = Object.entries(fields).map(
    ([name, value]) => `--x\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  return `${parts.join("")}--x--\r\n`;
}

const CHUNKED = { "transfer-encoding": "chunked" };
const LARGE = { image: "x".repeat(HELD_BYTES_MAX) };

async function refusal(promise: Promise<unknown>) {
  const thrown: unknown = await promise.then(
    () => null,
    (error) => error,
  );
  if (thrown instanceof GatewayError) return [thrown.code, thrown.status];
  throw new Error("Nothing was refused", { cause: thrown });
}

/** Pulls what streams by to its end, as the upstream does. */
async function drain({ body }: Awaited<ReturnType<World["read"]>>): Promise<number> {
  if (!(body instanceof Upload)) throw new Error("It does not stream");
  let bytes = 0;
  for await (const chunk of body.stream) bytes += chunk.byteLength;
  return bytes;
}

describe("readRequestBody() of an endpoint that takes forms", () => {
  test.each(["application/json", "APPLICATION/JSON; charset=utf-8", "application/x+json"])(
    "judges %s as it does where only JSON is taken",
    async (type) => {
      const world = new World(BLOCK);
      const text = '{"model":"gpt-image-1","service_tier":"priority"}';
      expect(await refusal(world.read(post(type, text)))).toEqual(["tier_blocked", 403]);
      expect(world.budget.usedBytes).toBe(0);
      const passed = await world.read(post(type, text.replace("priority", "flex")));
      expect(passed).toMatchObject({
        requested: { model: "gpt-image-1", serviceTier: "flex" },
        decidedTier: "flex",
      });
      expect(await refusal(world.read(post(type, "no JSON")))).toEqual(["invalid_json", 400]);
    },
  );

  test.each([
    null,
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/mixed; boundary=x",
    `multipart/form-data; boundary=${"x".repeat(71)}`,
  ])("refuses %p, which is neither a form nor JSON", async (type) => {
    const request = post(type, '{"service_tier":"priority"}');
    expect(await refusal(new World().read(request))).toEqual(["unsupported_encoding", 415]);
  });

  test("leaves it to the upstream what to say of no body at all", async () => {
    const body = await new World(BLOCK).read(post(null, null));
    expect(body).toMatchObject({ body: null, held: null, requested: null });
  });

  test("holds a small form, and says what it asks for and what goes on", async () => {
    const world = new World(BLOCK);
    const text = form({ image: "x", model: "gpt-image-1", service_tier: "flex", stream: "true" });
    const { body, held, requested, decidedTier } = await world.read(post(FORM, text));
    expect(body).toEqual(new TextEncoder().encode(text));
    expect(requested).toMatchObject({ model: "gpt-image-1", serviceTier: "flex", stream: true });
    expect([decidedTier, world.budget.usedBytes, world.told]).toEqual(["flex", text.length, []]);
    held?.release();
    expect(world.budget.usedBytes).toBe(0);
  });

  test("refuses a small form before anything is sent", async () => {
    const world = new World(BLOCK);
    const request = post(FORM, form({ model: "gpt-image-1", service_tier: "priority" }));
    expect(await refusal(world.read(request))).toEqual(["tier_blocked", 403]);
    expect([world.budget.usedBytes, world.sentBytes]).toEqual([0, 0]);
  });

  test.each([
    ["a field named twice", `${form({ model: "a" }).slice(0, -7)}${form({ model: "b" })}`],
  ])("refuses a small form with %s", async (_title, text) => {
    const world = new World();
    expect(await refusal(world.read(post(FORM, text)))).toEqual(["ambiguous_json", 400]);
  });

  test.each(["model", "service_tier"])("refuses a %s too long to be judged", async (name) => {
    const world = new World(BLOCK);
    const text = form({ [name]: `priority${" ".repeat(1_024)}` });
    expect(await refusal(world.read(post(FORM, text)))).toEqual(["bad_request", 400]);
  });

  test("refuses a part whose headers are too long to be read", async () => {
    const request = post(FORM, `--x\r\nx: ${"x".repeat(20_000)}`);
    expect(await refusal(new World(BLOCK).read(request))).toEqual(["bad_request", 400]);
  });

  test.each([{}, CHUNKED])("refuses a content coding, with %p", async (headers) => {
    const coded = { "content-encoding": "gzip", ...headers };
    const small = post(FORM, form({ model: "gpt-image-1" }), coded);
    expect(await refusal(new World().read(small))).toEqual(["unsupported_encoding", 415]);
    const large = post(FORM, form(LARGE), coded);
    expect(await refusal(new World().read(large))).toEqual(["unsupported_encoding", 415]);
  });

  test.each([{}, CHUNKED])("streams a form that is large, with %p", async (headers) => {
    const world = new World();
    const text = form({ model: "gpt-image-1", ...LARGE });
    const body = await world.read(post(FORM, text, headers));
    expect([body.held, body.requested, world.budget.usedBytes]).toEqual([null, null, 0]);
    const bytes = await drain(body);
    expect(bytes).toBe(text.length);
    expect([world.sentBytes, world.told.map(({ model }) => model)]).toEqual([
      bytes,
      ["gpt-image-1"],
    ]);
  });

  test("holds a form without a length, as long as it is small", async () => {
    const world = new World(BLOCK);
    const passed = await world.read(post(FORM, form({ model: "gpt-image-1" }), CHUNKED));
    expect(passed).toMatchObject({ requested: { model: "gpt-image-1" }, decidedTier: null });
    passed.held?.release();
    const asking = form({ model: "gpt-image-1", service_tier: "priority" });
    const refused = world.read(post(FORM, asking, CHUNKED));
    expect(await refusal(refused)).toEqual(["tier_blocked", 403]);
    expect([world.told, world.sentBytes, world.budget.usedBytes]).toEqual([[], 0, 0]);
  });

  test("tells of a form that streams by only where it asks for something else", async () => {
    const world = new World();
    const image = LARGE.image.repeat(2);
    const text = form({ model: "a", image, service_tier: "flex", user: "b" });
    const pieces = text.match(/.{1,1000}/gs)?.map((piece) => new TextEncoder().encode(piece)) ?? [];
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        const piece = pieces.shift();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    });
    const headers = { "content-type": FORM, ...CHUNKED };
    const init = { method: "POST", body: stream, headers };
    await drain(await world.read(new Request("http://gw.example/", init)));
    expect(world.told.map(({ model, serviceTier }) => [model, serviceTier])).toEqual([
      ["a", null],
      ["a", "flex"],
    ]);
  });

  test("tells of a form without a model once, at its end", async () => {
    const world = new World();
    await drain(await world.read(post(FORM, form({ service_tier: "flex", ...LARGE }))));
    expect(world.told.map(({ serviceTier }) => serviceTier)).toEqual(["flex"]);
  });
});

describe("readRequestBody() of other endpoints", () => {
  test("streams what is neither billed nor limited as it comes, whatever its coding", async () => {
    const world = new World(BLOCK);
    const request = post("text/plain", "any", { "content-encoding": "gzip" });
    expect(await drain(await world.read(request, candidate("/v1/files")))).toBe(3);
    expect([world.sentBytes, world.told]).toEqual([0, []]);
  });

  test("refuses a content coding where the stream is billed", async () => {
    const request = post("application/sdp", "v=0", { "content-encoding": "br" });
    const calls = new World().read(request, candidate("/v1/realtime/calls"));
    expect(await refusal(calls)).toEqual(["unsupported_encoding", 415]);
  });

  test("searches a form that is not billed for what is limited, and for that alone", async () => {
    const limited = candidate("/v1/files", new Map([["purpose", "batch"]]));
    const fields = { purpose: "batch", service_tier: "priority" };
    const world = new World(BLOCK);
    expect(await world.read(post(FORM, form(fields)), limited)).toMatchObject({ requested: null });
    const other = post(FORM, form({ ...fields, purpose: "evals" }));
    expect(await refusal(world.read(other, limited))).toEqual(["param_not_allowed", 400]);
  });
});

describe("readRequestBody() chooses by model", () => {
  const CHAT = "/v1/chat/completions";
  const renaming = (path: string): Candidate => ({
    ...candidate(path),
    provider: providerConfig({ models: new Map([["fast", "gpt-5-mini"]]) }),
  });
  const json = (text: string) => post("application/json", text, {}, CHAT);

  test("and gives it the upstream's name, while the usage event keeps the caller's", async () => {
    const world = new World();
    world.chosen = renaming(CHAT);
    const text = '{ "messages":[], "model" : "fast","x":1.0 }';
    const body = await world.read(json(text), candidate(CHAT));
    expect(world.askedFor).toEqual([{ model: "fast", previousResponseId: null }]);
    expect(body.requested?.model).toBe("fast");
    expect(body.model).toBe("gpt-5-mini");
    expect(textOf(body.body)).toBe(text.replace("fast", "gpt-5-mini"));
    expect(body.names.toCaller("gpt-5-mini-2026-01-31")).toBe("fast");
  });

  test("and by the response that a request goes on from", async () => {
    const world = new World();
    const path = "/v1/responses";
    const text = '{"model":"gpt-5","previous_response_id":"resp_1"}';
    await world.read(post("application/json", text, {}, path), candidate(path));
    expect(world.askedFor).toEqual([{ model: "gpt-5", previousResponseId: "resp_1" }]);
  });

  test("and leaves every byte where the name is the upstream's own", async () => {
    const world = new World();
    const request = json('{"model":"gpt-5-mini"}');
    const body = await world.read(request, renaming(CHAT));
    expect([textOf(body.body), body.names.renamesAnswers]).toEqual([
      '{"model":"gpt-5-mini"}',
      false,
    ]);
  });

  test("of a form of any size, and renames it there", async () => {
    const world = new World();
    const text = form({ image: "ü".repeat(HELD_BYTES_MAX / 2), model: "fast", n: "1" });
    const body = await world.read(post(FORM, text), renaming(EDITS));
    expect(textOf(body.body)).toBe(text.replace("\r\nfast\r\n", "\r\ngpt-5-mini\r\n"));
    expect([body.requested?.model, body.model]).toEqual(["fast", "gpt-5-mini"]);
  });

  test.each([
    ["/v1/realtime/calls", "application/sdp", "v=0"],
    ["/v1/realtime/calls", null, null],
    ["/v1/realtime/calls/rtc_1/accept", "application/json", '{"model":"gpt-realtime"}'],
  ])("and takes what nobody reads as naming none: %s, %p", async (path, type, text) => {
    const world = new World();
    world.chosen = candidate(path);
    await world.read(post(type, text, {}, path), candidate(path));
    expect(world.askedFor).toEqual([{ model: null, previousResponseId: null }]);
  });
});

function textOf(body: unknown): string {
  if (body instanceof Uint8Array) return new TextDecoder().decode(body);
  throw new Error("It is not held");
}

test("requestFor() judges a held form anew for the next candidate", async () => {
  const world = new World();
  const limited = candidate(EDITS, new Map([["model", "dall-e-*"]]));
  const request = () => post(FORM, form({ model: "gpt-image-1" }));
  expect(await refusal(world.readAgain(request(), limited))).toEqual(["param_not_allowed", 400]);
  const again = await world.readAgain(request(), candidate(EDITS));
  expect(again.requested?.model).toBe("gpt-image-1");
});
