/** The service tier policy at work on requests and messages, with the real readers and engine. */

import { describe, expect, test } from "bun:test";

import type { ProviderConfig } from "../src/config/config.ts";
import { GatewayError } from "../src/errors.ts";
import type { Message, Principal, SubjectLists } from "../src/exchange.ts";
import { policeForm, policeRequest, policeUnread, SessionTiers } from "../src/gateway_tier.ts";
import { parseGlob } from "../src/lib/glob.ts";
import { parseServiceTierPolicy } from "../src/policy/service_tier_policy.ts";
import { providerOf } from "../src/provider/dialect.ts";
import type { MeterDialect } from "../src/provider/provider.ts";
import { readRequestedTurn } from "../src/provider/request.ts";
import type { Candidate } from "../src/route/choose.ts";
import { FakeClock } from "./support/fake_clock.ts";
import { ModelNames } from "../src/route/model_map.ts";
import { providerConfig } from "./support/provider_config.ts";
import { UNRESTRICTED } from "./support/unrestricted.ts";

const PRINCIPAL: Principal = {
  kind: "token",
  projectId: "prj_1",
  tokenId: "tok_1",
  expiresAtMs: null,
  issuedAtMs: 0,
  restrictions: null,
};

const PATHS = {
  openai_responses: ["openai", "/v1/responses"],
  openai_realtime: ["openai", "/v1/realtime"],
  anthropic_messages: ["anthropic", "/v1/messages"],
  gemini_generate: ["gemini", "/v1beta/models/gemini-3-flash:generateContent"],
  gemini_live: [
    "gemini",
    "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
  ],
} as const satisfies Partial<Record<MeterDialect, readonly [string, string]>>;

function candidate(dialect: keyof typeof PATHS): Candidate {
  const [type, path] = PATHS[dialect];
  const family = providerOf(type);
  const method = ["openai_realtime", "gemini_live"].includes(dialect) ? "GET" : "POST";
  const endpoint = family.endpoint(method, path);
  if (endpoint === null) throw new Error(`There is no ${path}`);
  return { provider: providerConfig({ type }), apiKey: null, family, endpoint, path };
}

/** The parts that the policy is applied with, and what they were told. */
class World {
  readonly counted: string[] = [];
  readonly logged: Record<string, unknown>[] = [];
  tierPolicy: { policy: ReturnType<typeof parseServiceTierPolicy> };

  constructor(...rules: object[]) {
    this.tierPolicy = { policy: parseServiceTierPolicy({ rules }) };
  }

  readonly metrics = {
    count: (name: string, labels: readonly string[]) =>
      void this.counted.push(`${name} ${labels.join(" ")}`),
  };

  readonly clock = new FakeClock();
  /** Whether the project has a key of its own. */
  hasOwnKey = false;
  /** What the caller may be used for. */
  lists: readonly SubjectLists[] = [];
  readonly authenticator = { lists: () => this.lists };
  readonly credentials = { hasCredential: () => this.hasOwnKey };

  readonly log = (event: string, fields = {}) => void this.logged.push({ event, ...fields });

  get parts() {
    // Of the metrics only the counting is used.
    return this as unknown as ConstructorParameters<typeof SessionTiers>[0];
  }

  session(
    dialect: "openai_responses" | "openai_realtime" | "gemini_live",
    model: string | null = null,
  ) {
    const to = candidate(dialect);
    return new SessionTiers(this.parts, PRINCIPAL, to, new ModelNames(to.provider), model);
  }

  request(
    dialect: keyof typeof PATHS,
    text: string,
    headers = new Headers(),
    caller: Partial<Principal> = {},
    provider: Partial<ProviderConfig> = {},
  ) {
    const body = new TextEncoder().encode(text);
    const plain = candidate(dialect);
    const to = { ...plain, provider: { ...plain.provider, ...provider } };
    const requested = readRequestedTurn(dialect, body, to.path);
    const principal = { ...PRINCIPAL, ...caller };
    const policed = policeRequest(this.parts, principal, to, headers, body, requested);
    return {
      ...policed,
      text: new TextDecoder().decode(policed.body),
      isSame: policed.body === body,
    };
  }
}

const ONLY_FLEX = { ...UNRESTRICTED, tiers: ["flex"] };
const TOKEN_LISTS = { subject: "token:tok_1", lists: { ...ONLY_FLEX, tiers: ["flex", "fast"] } };
const FILTER = { service_tier: "priority", action: "filter" };
const BLOCK = { service_tier: "priority", action: "block" };
const FORCE = { service_tier: "priority", action: "force", force_tier: "flex" };
const CREATE = '{"service_tier": "fast","type":"response.create" ,"model":"gpt-5.5"}';

function thrown(run: () => unknown): GatewayError {
  try {
    run();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error("It passed");
}

describe("policeRequest()", () => {
  test.each([
    ["openai_responses", '{"model":"m","service_tier":"fast","n":1.0}', '{"model":"m","n":1.0}'],
    ["anthropic_messages", '{"model":"m", "speed":"fast"}', '{"model":"m"}'],
    ["gemini_generate", '{"serviceTier":"priority","contents":[]}', '{"contents":[]}'],
  ] as const)("filters a tier of %s and nothing else", (dialect, text, expected) => {
    const world = new World(FILTER);
    const policed = world.request(dialect, text);
    expect(JSON.parse(policed.text)).toEqual(JSON.parse(expected));
    expect(policed.decidedTier).toBeNull();
    expect(world.counted).toEqual(["sluice_policy_decisions_total service_tier filter false"]);
  });

  test("rewrites the alias where it passes, and leaves the very bytes where there is none", () => {
    const world = new World();
    const policed = world.request("openai_responses", '{"model":"m","service_tier":"fast"}');
    expect([policed.text, policed.decidedTier]).toEqual([
      '{"model":"m","service_tier":"priority"}',
      "priority",
    ]);
    const plain = world.request("openai_responses", '{"model":"m"}');
    expect([plain.isSame, plain.decidedTier]).toEqual([true, null]);
  });

  test("forces another tier", () => {
    const policed = new World(FORCE).request("openai_responses", '{"service_tier":"priority"}');
    expect([policed.text, policed.decidedTier]).toEqual(['{"service_tier":"flex"}', "flex"]);
  });

  test("blocks with 403 and the words of the rule", () => {
    const world = new World({ ...BLOCK, error_message: "Not on this plan" });
    const error = thrown(() => world.request("openai_responses", '{"service_tier":"fast"}'));
    expect([error.code, error.status, error.message, error.events]).toEqual([
      "tier_blocked",
      403,
      "Not on this plan",
      [],
    ]);
  });

  test("takes Anthropic's fast mode out of its header alone", () => {
    const headers = new Headers({ "anthropic-beta": "a-1,fast-mode-2026-02-01, b-2" });
    const world = new World(FILTER);
    const policed = world.request("anthropic_messages", '{"model":"m"}', headers);
    expect([policed.isSame, policed.betas]).toEqual([true, "a-1, b-2"]);
    const other = new Headers({ "anthropic-beta": "a-1" });
    expect(world.request("anthropic_messages", '{"model":"m"}', other).betas).toBeUndefined();
  });

  test("says of fast mode what was asked for and what is sent", () => {
    const passed = new World().request("anthropic_messages", '{"model":"m","speed":"fast"}');
    expect([passed.requestedTier, passed.decidedTier]).toEqual(["fast", "priority"]);
    const headers = new Headers({ "anthropic-beta": "fast-mode-2026-02-01" });
    const filtered = new World(FILTER).request("anthropic_messages", '{"model":"m"}', headers);
    expect([filtered.requestedTier, filtered.decidedTier]).toEqual(["fast", null]);
    const both = '{"model":"m","speed":"fast","service_tier":"auto"}';
    for (const [rule, decided] of [
      [{ ...FILTER, shadow: true }, "priority"],
      [FILTER, null],
    ] as const) {
      const policed = new World(rule).request("anthropic_messages", both, headers);
      expect([policed.requestedTier, policed.decidedTier]).toEqual(["fast", decided]);
    }
  });

  test.each([
    ["anthropic_messages", '{"model":"m","speed":"fast"}'],
    ["gemini_generate", '{"serviceTier":"priority"}'],
    ["openai_responses", '{"service_tier":"priority"}'],
  ] as const)("holds a caller to the tiers of each list in %s", (dialect, text) => {
    const world = new World();
    world.lists = [TOKEN_LISTS, { subject: "project:prj_1", lists: ONLY_FLEX }];
    const error = thrown(() => world.request(dialect, text));
    expect([error.code, error.subject]).toEqual(["tier_blocked", "project:prj_1"]);
  });

  test("goes by the credential that is sent: a project's own is an API key", () => {
    const world = new World({ ...BLOCK, scope: "apikey" });
    const oauth = { credentialKind: "oauth" } as const;
    const text = '{"service_tier":"priority"}';
    expect(() => world.request("openai_responses", text, new Headers(), {}, oauth)).not.toThrow();
    world.hasOwnKey = true;
    const ask = () => world.request("openai_responses", text, new Headers(), {}, oauth);
    expect(thrown(ask).code).toBe("tier_blocked");
  });

  test("goes by the project and the token", () => {
    const world = new World({ ...BLOCK, projects: ["prj_2"] }, { ...FORCE, tokens: ["tok_1"] });
    const policed = world.request("openai_responses", '{"service_tier":"fast"}');
    expect(policed.decidedTier).toBe("flex");
  });
});

describe("policeForm()", () => {
  const form = (serviceTier: string | null) => ({
    ...readRequestedTurn("openai_responses", new TextEncoder().encode("{}"), "/v1/responses"),
    serviceTier,
  });
  const police = (world: World, serviceTier: string | null) =>
    policeForm(world.parts, PRINCIPAL, candidate("openai_responses"), form(serviceTier));

  test("refuses a tier that may not go on as it is", () => {
    expect(thrown(() => police(new World(FILTER), "fast")).code).toBe("tier_blocked");
    expect(thrown(() => police(new World(), "fast")).code).toBe("tier_blocked");
  });

  test("lets the others pass", () => {
    expect(() => police(new World(FILTER), null)).not.toThrow();
    expect(() => police(new World(FILTER), "flex")).not.toThrow();
  });
});

describe("policeUnread()", () => {
  const police = (world: World, model: string | null = null) =>
    policeUnread(world.parts, PRINCIPAL, candidate("openai_responses"), model);

  test("refuses where any tier that there is would be blocked, and counts nothing", () => {
    const world = new World({ ...BLOCK, service_tier: "flex" });
    expect(thrown(() => police(world))).toMatchObject({ code: "tier_blocked", status: 403 });
    expect(world.counted).toEqual([]);
    const dear = new World({ ...BLOCK, model_whitelist: ["dear"], fallback_action: "pass" });
    expect(thrown(() => police(dear)).message).toContain("the service tier priority");
    expect(() => police(dear, "cheap")).not.toThrow();
  });

  test("lets pass where tiers would be taken out or replaced", () => {
    expect(() => police(new World(FILTER, FORCE))).not.toThrow();
  });

  test("refuses whoever is held to a list of tiers", () => {
    const world = new World();
    const lists = { models: null, endpoints: null, tiers: ["default"] };
    world.lists = [{ subject: "token:tok_1", lists }];
    expect(thrown(() => police(world)).code).toBe("tier_blocked");
  });
});

describe("SessionTiers", () => {
  test("refuses a parameter that the provider limits, in text and in bytes", () => {
    const glob = parseGlob("gpt-5.5*");
    if (glob === undefined) throw new Error("It is no pattern");
    const to = candidate("openai_responses");
    const provider = providerConfig({ paramWhitelist: new Map([["model", [glob]]]) });
    const names = new ModelNames(provider);
    const limited = { ...to, provider };
    const tiers = new SessionTiers(new World().parts, PRINCIPAL, limited, names, null);
    expect(tiers.police('{"type":"response.create","model":"gpt-5.5"}').tiers).toBeNull();
    const bad = '{"type":"response.create","model":"o3"}';
    for (const message of [bad, new TextEncoder().encode(bad)]) {
      const { code, param } = thrown(() => tiers.police(message));
      expect([code, param]).toEqual(["param_not_allowed", "model"]);
    }
  });

  const police = (tiers: SessionTiers, message: Message) => tiers.police(message);

  test("rewrites the field of a message, and says what was asked for", () => {
    const tiers = new World(FORCE).session("openai_responses");
    expect(police(tiers, CREATE)).toEqual({
      message: '{"service_tier": "flex","type":"response.create" ,"model":"gpt-5.5"}',
      tiers: { requested: "fast", decided: "flex" },
      isQuiet: false,
    });
  });

  test("gives the very message back where nothing is asked for", () => {
    const tiers = new World(FILTER).session("openai_responses");
    const bytes = new TextEncoder().encode('{"type":"response.create","model":"m"}');
    expect(police(tiers, bytes)).toEqual({ message: bytes, tiers: null, isQuiet: false });
    expect(police(tiers, bytes).message).toBe(bytes);
  });

  test("obeys a changed policy with the next message", () => {
    const world = new World();
    const tiers = world.session("openai_responses");
    expect(police(tiers, CREATE).message).toContain('"priority"');
    world.tierPolicy = new World(BLOCK).tierPolicy;
    expect(thrown(() => police(tiers, CREATE)).code).toBe("tier_blocked");
  });

  test("fails the turn alone where the rule says so", () => {
    const tiers = new World({ ...BLOCK, on_block: "fail_turn" }).session("openai_responses");
    const { events, goesOn } = thrown(() => police(tiers, CREATE));
    expect(goesOn).toBe(true);
    expect(JSON.parse(events[0] ?? "").response.created_at).toBe(1_795_190_000);
    expect(events.map((text) => JSON.parse(text).type)).toEqual([
      "response.created",
      "response.failed",
    ]);
    expect(events[1]).toContain("service_tier=priority is not allowed for model gpt-5.5");
  });

  test.each([
    ["the URL's model", "rt-good", [], null, "pass"],
    ["a model it was moved to", "rt-good", ["rt-bad"], null, "block"],
    ["the one before, until the upstream confirms", "rt-bad", ["rt-good"], null, "block"],
    ["the confirmed one", "rt-bad", ["rt-good"], "rt-good", "pass"],
    ["the confirmed one, whatever was asked", "rt-good", ["rt-good"], "rt-bad", "block"],
    ["no model at all", null, [], null, "block"],
  ] as const)("judges a Realtime tier by %s", (_title, url, updates, confirmed, expected) => {
    const rule = {
      service_tier: "priority",
      action: "pass",
      model_whitelist: ["rt-good"],
      fallback_action: "block",
    };
    const tiers = new World(rule).session("openai_realtime", url);
    for (const model of updates) {
      police(tiers, JSON.stringify({ type: "session.update", session: { model } }));
    }
    if (confirmed !== null) tiers.confirmModel(confirmed);
    const create = '{"type":"response.create","response":{"service_tier":"priority"}}';
    if (expected === "pass") expect(police(tiers, create).message).toBe(create);
    else expect(thrown(() => police(tiers, create)).code).toBe("tier_blocked");
  });

  const UPDATE = '{"type":"session.update","session":{"service_tier":"priority"}}';
  const TURN = '{"type":"response.create"}';

  test("gives turns the tier that their session holds", () => {
    const tiers = new World().session("openai_realtime", "rt");
    police(tiers, UPDATE);
    expect(police(tiers, TURN).tiers).toMatchObject({
      requested: "priority",
      decided: "priority",
    });
  });

  /** A session that holds a tier which a changed policy takes away. */
  function holding(...rules: object[]) {
    const world = new World();
    const tiers = world.session("openai_realtime", "rt");
    police(tiers, UPDATE);
    world.tierPolicy = new World(...rules).tierPolicy;
    return { world, tiers };
  }

  const FAIL_TURN = { ...BLOCK, on_block: "fail_turn" };
  const APPEND = '{"type":"input_audio_buffer.append","audio":"AAAA"}';

  test.each([
    ["block", BLOCK, false],
    ["block and fail the turn", FAIL_TURN, true],
    // The field is upstream already: nothing can be taken out of it, or put in its place.
    ["filter", FILTER, true],
    ["force", FORCE, true],
  ] as const)("refuses turns on a tier that is held where rules now %s", (_title, rule, goesOn) => {
    const { tiers } = holding(rule);
    const error = thrown(() => police(tiers, TURN));
    expect([error.code, error.goesOn]).toEqual(["tier_blocked", goesOn]);
    const types = error.events.map((text) => JSON.parse(text).type);
    expect(types).toEqual(goesOn ? ["response.created", "response.done"] : []);
  });

  test("refuses all that may start a turn on such a tier, and nothing else", () => {
    const { tiers } = holding(FAIL_TURN);
    for (const text of [APPEND, new TextEncoder().encode(APPEND), '{"type":"response.new"}']) {
      const { code, goesOn, events } = thrown(() => police(tiers, text));
      expect([code, goesOn, events]).toEqual(["tier_blocked", true, []]);
    }
    for (const type of ["response.cancel", "conversation.item.create", "session.update"]) {
      const text = JSON.stringify({ type, item: {} });
      expect(police(tiers, text).message).toBe(text);
    }
  });

  test("goes on when the client sets a tier that is allowed, or the policy allows it again", () => {
    const { world, tiers } = holding(FAIL_TURN);
    expect(() => police(tiers, TURN)).toThrow();
    expect(thrown(() => police(tiers, UPDATE)).goesOn).toBe(true);
    expect(() => police(tiers, TURN)).toThrow();
    world.tierPolicy = new World().tierPolicy;
    expect(police(tiers, TURN).tiers?.decided).toBe("priority");
    world.tierPolicy = new World(FAIL_TURN).tierPolicy;
    expect(() => police(tiers, TURN)).toThrow();
    police(tiers, UPDATE.replace("priority", "default"));
    expect(police(tiers, TURN).tiers?.decided).toBe("default");
    expect(police(tiers, APPEND).message).toBe(APPEND);
  });

  test("still holds what it did where another tier was taken out", () => {
    const { tiers } = holding(FILTER);
    expect(police(tiers, UPDATE).message).not.toContain("priority");
    expect(thrown(() => police(tiers, TURN)).goesOn).toBe(true);
  });

  test("refuses a model, asked for or confirmed, on which it may not hold its tier", () => {
    const rule = { ...FAIL_TURN, model_whitelist: ["dear*"], fallback_action: "pass" };
    const tiers = new World(rule).session("openai_realtime", "cheap");
    police(tiers, UPDATE);
    const move = '{"type":"session.update","session":{"model":"dear-1"}}';
    expect(thrown(() => police(tiers, move)).code).toBe("tier_blocked");
    expect(police(tiers, TURN).tiers?.decided).toBe("priority");
    tiers.confirmModel("dear-1");
    expect(thrown(() => police(tiers, TURN)).code).toBe("tier_blocked");
  });

  test("holds both tiers of one setup to a changed policy", () => {
    const world = new World();
    const tiers = world.session("gemini_live");
    police(tiers, '{"setup":{"serviceTier":"priority","generationConfig":{"serviceTier":"flex"}}}');
    world.tierPolicy = new World(BLOCK).tierPolicy;
    expect(thrown(() => police(tiers, '{"realtimeInput":{}}')).code).toBe("tier_blocked");
  });

  test("keeps what was asked for after the model that the upstream confirms", () => {
    const rule = { ...BLOCK, model_whitelist: ["dear*"], fallback_action: "pass" };
    const tiers = new World(rule).session("openai_realtime", "cheap");
    for (const model of ["cheap-2", "dear-1"]) {
      police(tiers, JSON.stringify({ type: "session.update", session: { model } }));
    }
    const create = '{"type":"response.create","response":{"service_tier":"priority"}}';
    tiers.confirmModel("cheap-2");
    expect(thrown(() => police(tiers, create)).code).toBe("tier_blocked");
  });

  test("refuses the same on a tier that is not in the caller's lists any more", () => {
    const world = new World();
    const tiers = world.session("openai_realtime", "rt");
    police(tiers, UPDATE);
    world.lists = [{ subject: "project:prj_1", lists: ONLY_FLEX }];
    for (const text of [APPEND, TURN]) {
      const { code, goesOn, message } = thrown(() => police(tiers, text));
      expect([code, goesOn]).toEqual(["tier_blocked", true]);
      expect(message).toStartWith("This project may not be used for the service tier");
    }
    expect(() => police(tiers, '{"type":"response.cancel"}')).not.toThrow();
    police(tiers, UPDATE.replace("priority", "flex"));
    expect(police(tiers, TURN).tiers?.decided).toBe("flex");
  });

  test("holds what a session is set to use to the lists that hold at that moment", () => {
    const world = new World();
    const tiers = world.session("openai_realtime", "rt-1");
    const model = '{"type":"session.update","session":{"model":"rt-2"}}';
    const transcription =
      '{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"t-1"}}}}}';
    for (const update of [model, transcription]) {
      world.lists = [];
      police(tiers, update);
      world.lists = [{ subject: "project:prj_1", lists: { ...UNRESTRICTED, models: ["rt-1"] } }];
      const error = thrown(() => police(tiers, update));
      expect([error.code, error.subject]).toEqual(["model_not_allowed", "project:prj_1"]);
    }
  });

  test("judges by every model that was set and not confirmed", () => {
    const rule = { ...BLOCK, model_whitelist: ["dear*"], fallback_action: "pass" };
    const tiers = new World(rule).session("openai_realtime", "cheap");
    for (const model of ["dear-1", "cheap"]) {
      police(tiers, JSON.stringify({ type: "session.update", session: { model } }));
    }
    const create = '{"type":"response.create","response":{"service_tier":"priority"}}';
    expect(thrown(() => police(tiers, create)).code).toBe("tier_blocked");
  });

  test("bounds the models that a client sets one after the other", () => {
    const tiers = new World().session("openai_realtime", "rt");
    const update = (model: string) => {
      police(tiers, JSON.stringify({ type: "session.update", session: { model } }));
    };
    for (let count = 0; count < 32; count += 1) update("a");
    for (let count = 1; count < 16; count += 1) update(`b${count}.`);
    expect(thrown(() => update("c")).code).toBe("bad_request");
    tiers.confirmModel("a-2026-01-01");
    expect(() => update("c")).not.toThrow();
  });

  test("(trap 8) takes a Responses session's first model for requests that name none", () => {
    const rule = { ...BLOCK, model_whitelist: ["dear*"], fallback_action: "pass" };
    const tiers = new World(rule).session("openai_responses");
    police(tiers, '{"type":"response.create","model":"cheap"}');
    const create = '{"type":"response.create","service_tier":"priority"}';
    expect(police(tiers, create).message).toBe(create);
  });

  test("counts and logs what a shadow rule would have done, and changes nothing", () => {
    const world = new World({ ...BLOCK, shadow: true });
    const tiers = world.session("openai_responses");
    expect(police(tiers, CREATE).message).toContain('"priority"');
    expect(world.counted).toEqual([
      "sluice_policy_decisions_total service_tier pass false",
      "sluice_policy_decisions_total service_tier block true",
    ]);
    expect(world.logged).toMatchObject([
      { event: "policy_shadow", rule: 0, action: "block", requested_service_tier: "fast" },
    ]);
  });
});
