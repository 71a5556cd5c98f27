import { describe, expect, test } from "bun:test";

import type { CommandConfig } from "../../src/config/config.ts";
import { GatewayError } from "../../src/errors.ts";
import { type Admitted, reportInternal, upstreamHeaderOptions } from "../../src/gateway/arrival.ts";
import { openai } from "../../src/provider/openai.ts";
import type { Candidate } from "../../src/route/choose.ts";
import { Health } from "../../src/route/health.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { providerConfig } from "../support/provider_config.ts";

function reported(error: GatewayError): unknown[] {
  const lines: unknown[] = [];
  reportInternal({ log: (event, fields) => void lines.push([event, fields]) }, "ex_1", error);
  return lines;
}

test("reportInternal() logs the cause of what was not foreseen, with its stack", () => {
  const cause = new Error("boom");
  expect(reported(new GatewayError("internal", { cause }))).toEqual([
    ["internal_error", { request_id: "ex_1", reason: cause.stack }],
  ]);
  expect(reported(new GatewayError("internal", { cause: "text" }))).toEqual([
    ["internal_error", { request_id: "ex_1", reason: "text" }],
  ]);
});

test("reportInternal() leaves refusals to the line that every refusal has", () => {
  expect(reported(new GatewayError("token_missing"))).toEqual([]);
});

describe("upstreamHeaderOptions()", () => {
  const COMMAND: CommandConfig = { command: "print-key", ttlMs: 60_000 };
  const route = { family: openai, endpoint: openai.endpoint("GET", "/v1/models"), path: "/" };

  function candidate(changes: Pick<Candidate, "provider" | "apiKey">): Candidate {
    const { endpoint } = route;
    if (endpoint === null) throw new Error("There is such an endpoint");
    return { ...route, endpoint, ...changes };
  }

  /** @param printed null: the command failed */
  function ask(one: Candidate, own: string | null, printed: string | null) {
    const health = new Health(new FakeClock(), () => {});
    const renewed: string[] = [];
    const parts = {
      credentials: { credential: () => own, hasCredential: () => own !== null },
      commandCredentials: {
        value: () => printed ?? Promise.reject<string>(new GatewayError("upstream_auth_failed")),
        current: () => printed,
        renew: async (_config: CommandConfig, refused: string) => renewed.push(refused) > 0,
      },
      health,
    };
    // The fields that it reads of an admitted request.
    const admitted = {
      id: "ex_1",
      principal: { projectId: "prj_1" },
      found: { credentials: [] },
      connection: { remoteAddress: "192.0.2.7", secure: true },
    } as unknown as Admitted;
    return { options: upstreamHeaderOptions(parts, admitted, one), health, renewed };
  }

  test("sends what a command printed, and renews just that", async () => {
    const one = candidate({ provider: providerConfig(), apiKey: COMMAND });
    const { options, renewed } = ask(one, null, "key-1");
    const { credential, renewCredential } = await options;
    expect(credential).toEqual([["authorization", "Bearer key-1"]]);
    await renewCredential?.();
    expect(renewed).toEqual(["key-1"]);
  });

  test("takes an auth_value's command for the whole value", async () => {
    const provider = providerConfig({ authHeader: "x-key", authValue: COMMAND });
    const { credential } = await ask(candidate({ provider, apiKey: null }), null, "Token 1")
      .options;
    expect(credential).toEqual([["x-key", "Token 1"]]);
  });

  test("takes a project's own key before any command's", async () => {
    const one = candidate({ provider: providerConfig(), apiKey: COMMAND });
    const { credential, renewCredential } = await ask(one, "sk-own", null).options;
    expect([credential, renewCredential]).toEqual([[["authorization", "Bearer sk-own"]], null]);
  });

  test("lets an upstream rest whose command has no credential", async () => {
    const one = candidate({ provider: providerConfig(), apiKey: COMMAND });
    const { options, health } = ask(one, null, null);
    expect(await options.catch(({ code }) => code)).toBe("upstream_auth_failed");
    expect(health.rests(one)).toBe(true);
  });
});
