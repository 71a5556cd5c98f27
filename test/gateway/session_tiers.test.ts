/** The service tier policy at work on messages, with the real readers and engine. */

import { describe, expect, test } from "bun:test";

import type { Message } from "../../src/exchange.ts";
import { SessionTiers } from "../../src/gateway/session_tiers.ts";
import { parseGlob } from "../../src/lib/glob.ts";
import { ModelNames } from "../../src/route/model_map.ts";
import { providerConfig } from "../support/provider_config.ts";
import { UNRESTRICTED } from "../support/unrestricted.ts";
import {
  BLOCK,
  candidate,
  CREATE,
  FILTER,
  FORCE,
  ONLY_FLEX,
  PRINCIPAL,
  thrown,
  TierWorld,
} from "../support/tier_world.ts";

describe("SessionTiers", () => {
  test("refuses a parameter that the provider limits, in text and in bytes", () => {
    const glob = parseGlob("gpt-5.5*");
    if (glob === undefined) throw new Error("It is no pattern");
    const to = candidate("openai_responses");
    const provider = providerConfig({ paramWhitelist: new Map([["model", [glob]]]) });
    const names = new ModelNames(provider);
    const limited = { ...to, provider };
    const tiers = new SessionTiers(new TierWorld().parts, PRINCIPAL, limited, names, null);
    expect(tiers.police('{"type":"response.create","model":"gpt-5.5"}').tiers).toBeNull();
    const bad = '{"type":"response.create","model":"o3"}';
    for (const message of [bad, new TextEncoder().encode(bad)]) {
      const { code, param } = thrown(() => tiers.police(message));
      expect([code, param]).toEqual(["param_not_allowed", "model"]);
    }
  });

  const police = (tiers: SessionTiers, message: Message) => tiers.police(message);

  test("rewrites the field of a message, and says what was asked for", () => {
    const tiers = new TierWorld(FORCE).session("openai_responses");
    expect(police(tiers, CREATE)).toEqual({
      message: '{"service_tier": "flex","type":"response.create" ,"model":"gpt-5.5"}',
      tiers: { requested: "fast", decided: "flex" },
      isQuiet: false,
    });
  });

  test("gives the very message back where nothing is asked for", () => {
    const tiers = new TierWorld(FILTER).session("openai_responses");
    const bytes = new TextEncoder().encode('{"type":"response.create","model":"m"}');
    expect(police(tiers, bytes)).toEqual({ message: bytes, tiers: null, isQuiet: false });
    expect(police(tiers, bytes).message).toBe(bytes);
  });

  test("obeys a changed policy with the next message", () => {
    const world = new TierWorld();
    const tiers = world.session("openai_responses");
    expect(police(tiers, CREATE).message).toContain('"priority"');
    world.tierPolicy = new TierWorld(BLOCK).tierPolicy;
    expect(thrown(() => police(tiers, CREATE)).code).toBe("tier_blocked");
  });

  test("fails the turn alone where the rule says so", () => {
    const tiers = new TierWorld({ ...BLOCK, on_block: "fail_turn" }).session("openai_responses");
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
    const tiers = new TierWorld(rule).session("openai_realtime", url);
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
    const tiers = new TierWorld().session("openai_realtime", "rt");
    police(tiers, UPDATE);
    expect(police(tiers, TURN).tiers).toMatchObject({
      requested: "priority",
      decided: "priority",
    });
  });

  /** A session that holds a tier which a changed policy takes away. */
  function holding(...rules: object[]) {
    const world = new TierWorld();
    const tiers = world.session("openai_realtime", "rt");
    police(tiers, UPDATE);
    world.tierPolicy = new TierWorld(...rules).tierPolicy;
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
    world.tierPolicy = new TierWorld().tierPolicy;
    expect(police(tiers, TURN).tiers?.decided).toBe("priority");
    world.tierPolicy = new TierWorld(FAIL_TURN).tierPolicy;
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
    const tiers = new TierWorld(rule).session("openai_realtime", "cheap");
    police(tiers, UPDATE);
    const move = '{"type":"session.update","session":{"model":"dear-1"}}';
    expect(thrown(() => police(tiers, move)).code).toBe("tier_blocked");
    expect(police(tiers, TURN).tiers?.decided).toBe("priority");
    tiers.confirmModel("dear-1");
    expect(thrown(() => police(tiers, TURN)).code).toBe("tier_blocked");
  });

  test("holds both tiers of one setup to a changed policy", () => {
    const world = new TierWorld();
    const tiers = world.session("gemini_live");
    police(tiers, '{"setup":{"serviceTier":"priority","generationConfig":{"serviceTier":"flex"}}}');
    world.tierPolicy = new TierWorld(BLOCK).tierPolicy;
    expect(thrown(() => police(tiers, '{"realtimeInput":{}}')).code).toBe("tier_blocked");
  });

  test("keeps what was asked for after the model that the upstream confirms", () => {
    const rule = { ...BLOCK, model_whitelist: ["dear*"], fallback_action: "pass" };
    const tiers = new TierWorld(rule).session("openai_realtime", "cheap");
    for (const model of ["cheap-2", "dear-1"]) {
      police(tiers, JSON.stringify({ type: "session.update", session: { model } }));
    }
    const create = '{"type":"response.create","response":{"service_tier":"priority"}}';
    tiers.confirmModel("cheap-2");
    expect(thrown(() => police(tiers, create)).code).toBe("tier_blocked");
  });

  test("refuses the same on a tier that is not in the caller's lists any more", () => {
    const world = new TierWorld();
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
    const world = new TierWorld();
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
    const tiers = new TierWorld(rule).session("openai_realtime", "cheap");
    for (const model of ["dear-1", "cheap"]) {
      police(tiers, JSON.stringify({ type: "session.update", session: { model } }));
    }
    const create = '{"type":"response.create","response":{"service_tier":"priority"}}';
    expect(thrown(() => police(tiers, create)).code).toBe("tier_blocked");
  });

  test("bounds the models that a client sets one after the other", () => {
    const tiers = new TierWorld().session("openai_realtime", "rt");
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
    const tiers = new TierWorld(rule).session("openai_responses");
    police(tiers, '{"type":"response.create","model":"cheap"}');
    const create = '{"type":"response.create","service_tier":"priority"}';
    expect(police(tiers, create).message).toBe(create);
  });

  test("counts and logs what a shadow rule would have done, and changes nothing", () => {
    const world = new TierWorld({ ...BLOCK, shadow: true });
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
