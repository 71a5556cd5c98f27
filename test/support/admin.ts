/**
 * The real management API over the in-memory store, with sessions that only remember how they
 * ended.
 */

import { type AdminHandler, createAdminHandler } from "../../src/admin/api.ts";
import type { AdminOptions, LiveSession } from "../../src/admin/context.ts";
import { endWhenRefused } from "../../src/auth/authenticate.ts";
import type { ProviderConfig, TimeoutsConfig } from "../../src/config/config.ts";
import type { GatewayError } from "../../src/errors.ts";
import type { UsageEvent } from "../../src/exchange.ts";
import { type Identity, openIdentity, TOKENS_CONFIG } from "./identity.ts";

export const ADMIN_TOKEN = "admin-token-for-tests";

export class FakeSession implements LiveSession {
  readonly transport = "websocket" as const;
  readonly provider = "openai";
  readonly endpoint = "/v1/responses";
  readonly remoteAddress = "192.0.2.1";
  readonly turns = 2;
  /** Code of the error it was ended with. */
  ended: string | null = null;

  constructor(
    readonly id: string,
    readonly projectId: string,
    readonly tokenId: string | null,
    readonly startedAtMs: number,
  ) {}

  end(error: GatewayError): void {
    this.ended = error.code;
  }
}

export interface AdminSetup extends Identity {
  readonly handle: AdminHandler;
  readonly sessions: FakeSession[];
  readonly errors: unknown[];
  /** Sends a request with the admin token; `body` as JSON. */
  request(method: string, path: string, body?: unknown): Promise<Response>;
}

export async function setUpAdmin(change: Partial<AdminOptions> = {}): Promise<AdminSetup> {
  const identity = await openIdentity();
  const sessions: FakeSession[] = [];
  const errors: unknown[] = [];
  endWhenRefused(identity.revocations, identity.directory, {
    endWhere(matches, error) {
      const ending = sessions.filter((session) => matches(session));
      for (const session of ending) session.end(error);
      return ending.length;
    },
  });
  const handle = createAdminHandler({
    ...identity,
    sessions: { list: () => sessions, get: (id) => sessions.find((one) => one.id === id) },
    adminToken: ADMIN_TOKEN,
    hostnames: ["sluice.internal"],
    version: "0.0.0-test",
    tokenLifetimeMaxMs: TOKENS_CONFIG.maxLifetimeMs,
    providers: () => [provider("openai"), provider("anthropic")],
    health: (probe) => Response.json({ status: "ok", probe }),
    metrics: () => "sluice_up 1\n",
    status: () => ({ database: "sqlite" }),
    onError: (error) => errors.push(error),
    ...change,
  });
  const request = (method: string, path: string, body?: unknown) =>
    handle(
      new Request(`http://127.0.0.1:9090${path}`, {
        method,
        headers: {
          authorization: `Bearer ${ADMIN_TOKEN}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
  return { ...identity, handle, sessions, errors, request };
}

/** A provider whose own key must show up nowhere. */
export function provider(name: "openai" | "anthropic"): ProviderConfig {
  return {
    name,
    type: name,
    host: null,
    pathPrefix: `/${name}`,
    upstream: { hostname: `api.${name}.example`, port: 443, tls: true, basePath: "" },
    weight: 1,
    priority: 0,
    isFallback: false,
    apiKeys: [{ key: "sk-configured-secret", weight: 1 }],
    authHeader: null,
    authValue: null,
    auth: "required",
    authKeys: ["client-static-secret"],
    headersStrip: [],
    headersInject: { "x-secret": "header-secret" },
    timeouts: TIMEOUTS,
    retry: { attempts: 2, on: [] },
    injectStreamUsage: true,
    xForwardedFor: "strip",
    connection: { idleMax: 1, idleTimeoutMs: 1 },
  };
}

const TIMEOUTS: TimeoutsConfig = {
  requestMs: 0,
  dialMs: 0,
  responseHeaderMs: 0,
  idleMs: 0,
  writeMs: 0,
  firstFrameMs: 0,
  betweenTurnsMs: 0,
  pingMs: 0,
  drainAfterDisconnectMs: 0,
};

export function usageEvent(change: Partial<UsageEvent>): UsageEvent {
  return {
    event_id: "evt",
    recorded_at: 1_795_190_000_000,
    node_id: "node",
    project_id: "default",
    token_id: null,
    session_id: "session",
    turn: 1,
    kind: "response",
    transport: "websocket",
    provider: "openai",
    endpoint: "/v1/responses",
    requested_model: "gpt-5",
    model: "gpt-5",
    requested_service_tier: null,
    decided_service_tier: null,
    service_tier: null,
    status: "completed",
    error_code: null,
    http_status: 200,
    response_id: "resp_1",
    upstream_request_id: null,
    input_tokens: 11,
    cached_input_tokens: 0,
    cache_creation_input_tokens: null,
    output_tokens: 7,
    reasoning_tokens: null,
    audio_input_tokens: null,
    audio_output_tokens: null,
    audio_seconds: null,
    web_search_requests: null,
    usage_source: "upstream",
    details: {},
    cost_micros: null,
    first_token_ms: 120,
    duration_ms: 900,
    frames_up: 1,
    frames_down: 9,
    bytes_up: 100,
    bytes_down: 900,
    ...change,
  };
}
