/** What a node learns of its upstreams from the answers it gets. */

import { beforeEach, describe, expect, test } from "bun:test";

import { ERROR_TABLE, type ErrorCode, GatewayError } from "../../src/errors.ts";
import { LOG_EVENTS } from "../../src/emit/event.ts";
import { Health, type HealthChange, type Upstream } from "../../src/route/health.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { providerConfig } from "../support/provider_config.ts";

const circuitBreaker = { failures: 2, cooldownMs: 30_000, statuses: [502, 503] };
const provider = providerConfig({ circuitBreaker });
const ONE: Upstream = { provider, apiKey: "one" };
const TWO: Upstream = { provider, apiKey: "two" };
const OTHER: Upstream = {
  provider: providerConfig({ name: "other", circuitBreaker }),
  apiKey: null,
};

let clock: FakeClock;
let changes: [HealthChange, Upstream["apiKey"]][];
let health: Health;

beforeEach(() => {
  clock = new FakeClock();
  changes = [];
  health = new Health(clock, (change, { apiKey }) => changes.push([change, apiKey]));
});

describe("Health", () => {
  test("(trap 16) opens the circuit of the one upstream that fails, not of the others", () => {
    health.failed(ONE);
    health.answered(TWO, 503, null);
    expect([ONE, TWO, OTHER].map((upstream) => health.obstacle(upstream))).toEqual([
      "circuit_open",
      "circuit_open",
      null,
    ]);
    expect(changes).toEqual([["circuit_opened", "two"]]);
  });

  test("(trap 16) lets one probe through after the cooldown, and closes with its answer", () => {
    health.failed(ONE);
    health.failed(ONE);
    clock.advance(30_000);
    expect([health.obstacle(ONE), health.enter(ONE), health.enter(TWO)]).toEqual([
      null,
      true,
      false,
    ]);
    expect(health.obstacle(TWO)).toBe("circuit_open");
    health.answered(ONE, 200, null);
    expect(health.obstacle(TWO)).toBeNull();
    expect(changes.map(([change]) => change)).toEqual(["circuit_opened", "circuit_closed"]);
  });

  test.each([400, 401, 403, 404, 408, 422, 429, 499, 500, 504])(
    "an answer of %p that is not listed is no failure, and ends a row of them",
    (status) => {
      health.failed(ONE);
      health.answered(ONE, status, null);
      health.failed(ONE);
      expect(health.obstacle(ONE)).toBeNull();
    },
  );

  test("(trap 16) our own refusals and a client that left are no failures", () => {
    const upstreams: ErrorCode[] = ["upstream_unreachable", "upstream_timeout", "upstream_closed"];
    // The keys of the table are the codes.
    const codes = Object.keys(ERROR_TABLE) as ErrorCode[];
    for (const code of codes.filter((one) => !upstreams.includes(one))) {
      health.threw(ONE, new GatewayError(code));
    }
    health.threw(ONE, new Error("the client left"));
    health.threw(ONE, new GatewayError("upstream_timeout"));
    expect(health.obstacle(ONE)).toBeNull();
    health.threw(ONE, new GatewayError("upstream_unreachable"));
    expect(health.obstacle(ONE)).toBe("circuit_open");
  });

  test.each([
    [429, "20", 20_000],
    [429, null, 1_000],
    [401, null, 30_000],
  ])("%p with retry-after %p lets that key rest, and no other", (status, header, restMs) => {
    health.answered(ONE, status, header);
    clock.advance(restMs - 1);
    expect([health.rests(ONE), health.rests(TWO)]).toEqual([true, false]);
    expect(health.obstacle(ONE)).toBeNull();
    clock.advance(1);
    expect(health.rests(ONE)).toBe(false);
  });

  test("a key that is answered again rests no longer", () => {
    health.answered(ONE, 429, "20");
    health.answered(ONE, 200, null);
    expect(health.rests(ONE)).toBe(false);
  });

  test("a key whose command printed none rests until the command ran again", () => {
    const command = { command: "print-key", ttlMs: 60_000 };
    const upstream = { ...ONE, apiKey: command };
    health.lacksCredential(upstream);
    const same = { ...ONE, apiKey: { ...command } };
    expect([upstream, same, ONE].map((one) => health.rests(one))).toEqual([true, false, false]);
    clock.advance(5_000);
    expect(health.rests(upstream)).toBe(false);
  });

  test("what a project's own key is refused is held against nobody", () => {
    const own: Upstream = { provider, apiKey: null };
    health.answered(own, 401, null);
    health.answered(own, 429, "20");
    expect([own, ONE].map((upstream) => health.rests(upstream))).toEqual([false, false]);
  });

  test("a check that fails takes one upstream out until one succeeds", () => {
    health.checked(ONE, false);
    health.checked(ONE, false);
    expect([health.obstacle(ONE), health.obstacle(TWO)]).toEqual(["unhealthy", null]);
    health.answered(ONE, 200, null);
    expect(health.obstacle(ONE)).toBe("unhealthy");
    health.checked(ONE, true);
    expect(health.obstacle(ONE)).toBeNull();
    expect(changes).toEqual([
      ["health_check_failed", "one"],
      ["health_check_recovered", "one"],
    ]);
  });

  test("refusal() says when an open circuit is tried again", () => {
    health.failed(ONE);
    health.failed(ONE);
    clock.advance(12_500);
    const { code, status, headers } = health.refusal([ONE, TWO]);
    expect([code, status, headers["retry-after"]]).toEqual(["circuit_open", 503, "18"]);
  });

  test("refusal() is no_healthy_provider where another is down for another reason", () => {
    health.failed(ONE);
    health.failed(ONE);
    health.checked(OTHER, false);
    expect(health.refusal([ONE, OTHER]).code).toBe("no_healthy_provider");
  });

  test("every change is the name of a log event", () => {
    const names: HealthChange[] = [
      "circuit_opened",
      "circuit_closed",
      "health_check_failed",
      "health_check_recovered",
    ];
    expect(names.filter((name) => !(name in LOG_EVENTS))).toEqual([]);
  });
});
