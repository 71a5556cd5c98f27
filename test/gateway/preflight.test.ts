/** Preflights, with the real routing. */

import { expect, test } from "bun:test";

import type { ProviderConfig } from "../../src/config/config.ts";
import { GatewayError } from "../../src/errors.ts";
import type { Arrival } from "../../src/gateway/arrival.ts";
import { answerPreflight } from "../../src/gateway/preflight.ts";
import { Cors } from "../../src/policy/cors.ts";
import { buildTable } from "../../src/route/table.ts";
import { providerConfig } from "../support/provider_config.ts";

const [OPENAI, CLAUDE, ANY] = [
  "https://openai.example",
  "https://claude.example",
  "https://any.example",
];

const PROVIDERS = [
  providerConfig({ name: "a", type: "openai", allowedOrigins: [OPENAI] }),
  providerConfig({ name: "b", type: "anthropic", allowedOrigins: [CLAUDE] }),
  providerConfig({ name: "c", type: "openai", host: "open.example" }),
];

interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly origin?: string;
  readonly headers?: string;
  readonly host?: string;
}

/** The origin that may go on, the code of the refusal, or null: it is no business of ours. */
function ask(
  { path = "/v1/responses", method = "POST", origin = OPENAI, headers = "", host = "gw" }: Asked,
  global: readonly string[] = [ANY],
  providers: readonly ProviderConfig[] = PROVIDERS,
): string | null {
  const rules = { allowedMethods: [], allowedHeaders: [], allowCredentials: false, maxAgeMs: 0 };
  const request = new Request(`http://gw${path}`, {
    method: "OPTIONS",
    headers: {
      host,
      origin,
      "access-control-request-method": method,
      "access-control-request-headers": headers,
    },
  });
  // Of an arrival only these are looked at.
  const arrival = { id: "ex_1", request, path } as unknown as Arrival;
  const cors = new Cors({ allowedOrigins: global, ...rules });
  try {
    const answer = answerPreflight({ table: buildTable(providers, null), cors }, arrival);
    return answer?.headers.get("access-control-allow-origin") ?? null;
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown;
    return thrown.code;
  }
}

test.each([
  ["the provider's, of the path", { origin: OPENAI }, OPENAI],
  ["no other provider's", { origin: CLAUDE }, "origin_not_allowed"],
  ["not the global ones where the provider has its own", { origin: ANY }, "origin_not_allowed"],
  [
    "of a shared path, by the header to come",
    { path: "/v1/models", method: "GET", headers: "anthropic-version", origin: CLAUDE },
    CLAUDE,
  ],
  [
    "of a shared path without it",
    { path: "/v1/models", method: "GET", origin: CLAUDE },
    "origin_not_allowed",
  ],
  ["the global ones of a host without its own", { host: "open.example", origin: ANY }, ANY],
  ["the global ones of an unknown path", { path: "/nothing", origin: ANY }, ANY],
  ["the global ones of a method that there is not", { method: "BREW", origin: ANY }, ANY],
])("answerPreflight() goes by the origins: %s", (_, asked, expected) => {
  expect(ask(asked)).toBe(expected);
});

test("answerPreflight() is null where origins are not limited", () => {
  expect(ask({}, [], [providerConfig()])).toBeNull();
  expect(ask({ path: "/nothing" }, [])).toBeNull();
});
