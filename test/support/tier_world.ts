/** The parts that the service tier policy is applied with, and what they were told. */

import type { ProviderConfig } from "../../src/config/config.ts";
import { GatewayError } from "../../src/errors.ts";
import type { Principal, SubjectLists } from "../../src/exchange.ts";
import { policeRequest } from "../../src/gateway/request_tiers.ts";
import { SessionTiers } from "../../src/gateway/session_tiers.ts";
import { parseServiceTierPolicy } from "../../src/policy/service_tier_policy.ts";
import { providerOf } from "../../src/provider/dialect.ts";
import type { MeterDialect } from "../../src/provider/provider.ts";
import { readRequestedTurn } from "../../src/provider/request.ts";
import type { Candidate } from "../../src/route/choose.ts";
import { ModelNames } from "../../src/route/model_map.ts";
import { FakeClock } from "./fake_clock.ts";
import { providerConfig } from "./provider_config.ts";
import { UNRESTRICTED } from "./unrestricted.ts";

export const PRINCIPAL: Principal = {
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

export function candidate(dialect: keyof typeof PATHS): Candidate {
  const [type, path] = PATHS[dialect];
  const family = providerOf(type);
  const method = ["openai_realtime", "gemini_live"].includes(dialect) ? "GET" : "POST";
  const endpoint = family.endpoint(method, path);
  if (endpoint === null) throw new Error(`There is no ${path}`);
  return { provider: providerConfig({ type }), apiKey: null, family, endpoint, path };
}

export class TierWorld {
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

export const ONLY_FLEX = { ...UNRESTRICTED, tiers: ["flex"] };
export const TOKEN_LISTS = {
  subject: "token:tok_1",
  lists: { ...ONLY_FLEX, tiers: ["flex", "fast"] },
};
export const FILTER = { service_tier: "priority", action: "filter" };
export const BLOCK = { service_tier: "priority", action: "block" };
export const FORCE = { service_tier: "priority", action: "force", force_tier: "flex" };
export const CREATE = '{"service_tier": "fast","type":"response.create" ,"model":"gpt-5.5"}';

export function thrown(run: () => unknown): GatewayError {
  try {
    run();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error("It passed");
}
