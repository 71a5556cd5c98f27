/**
 * The real management API over the in-memory store, with sessions that only remember how they
 * ended.
 */

import { type AdminHandler, createAdminHandler } from "../../src/admin/api.ts";
import type { AdminOptions, LiveSession } from "../../src/admin/context.ts";
import { endWhenRefused } from "../../src/auth/authenticate.ts";
import type { ProviderConfig } from "../../src/config/config.ts";
import type { GatewayError } from "../../src/errors.ts";
import { type Identity, openIdentity, TOKENS_CONFIG } from "./identity.ts";
import { providerConfig } from "./provider_config.ts";

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
    onUnauthorized: () => {},
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
  return providerConfig({
    name,
    type: name,
    pathPrefix: `/${name}`,
    upstream: { hostname: `api.${name}.example`, port: 443, tls: true, basePath: "" },
    apiKeys: [{ key: "sk-configured-secret", weight: 1 }],
    authKeys: ["client-static-secret"],
    headersInject: { "x-secret": "header-secret" },
  });
}
