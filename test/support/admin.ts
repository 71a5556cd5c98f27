/**
 * The real management API over any store, in memory by default, with sessions that only remember
 * how they ended.
 */

import { type AdminHandler, createAdminHandler } from "../../src/admin/api.ts";
import type { AdminOptions, LiveSession } from "../../src/admin/context.ts";
import { RefusalAudit } from "../../src/admin/refusal_audit.ts";
import { endWhenRefused } from "../../src/auth/authenticate.ts";
import { PendingChanges } from "../../src/auth/pending.ts";
import type { AdminConfig, ProviderConfig } from "../../src/config/config.ts";
import type { GatewayError } from "../../src/errors.ts";
import { CurrentPolicy } from "../../src/policy/current_policy.ts";
import type { Store } from "../../src/store/store.ts";
import { FakeClock } from "./fake_clock.ts";
import { type Identity, openIdentityOver, TOKENS_CONFIG } from "./identity.ts";
import { MemoryStore } from "./memory_store.ts";
import { providerConfig } from "./provider_config.ts";

export const ADMIN_TOKEN = "admin-token-for-tests";
export const VIEWER_TOKEN = "viewer-token-for-tests";

/** Address of the client that `request` speaks for. */
export const CLIENT_ADDRESS = "192.0.2.7";

const ADMINS: readonly AdminConfig[] = [
  { name: "alice", token: ADMIN_TOKEN, role: "admin" },
  { name: "victor", token: VIEWER_TOKEN, role: "viewer" },
];

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

  /** Its token is as old as the session. */
  get issuedAtMs(): number | null {
    return this.tokenId === null ? null : this.startedAtMs;
  }

  end(error: GatewayError): void {
    this.ended = error.code;
  }
}

/** How a request differs from an administrator's ordinary one. */
export interface Sender {
  readonly token?: string;
  readonly address?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface AdminSetup<S extends Store = MemoryStore> extends Identity<S> {
  readonly handle: AdminHandler;
  readonly sessions: FakeSession[];
  readonly errors: unknown[];
  readonly pending: PendingChanges;
  readonly refusalAudit: RefusalAudit;
  /** Sends a request with the admin token; `body` as JSON. */
  request(method: string, path: string, body?: unknown, sender?: Sender): Promise<Response>;
}

/** A node over a store of its own. */
export function setUpAdmin(change: Partial<AdminOptions> = {}): Promise<AdminSetup> {
  const clock = new FakeClock();
  return setUpAdminOver(new MemoryStore(clock), clock, change);
}

/** A node over `store`; a second one over the same store is another node. */
export async function setUpAdminOver<S extends Store>(
  store: S,
  clock: FakeClock,
  change: Partial<AdminOptions> = {},
): Promise<AdminSetup<S>> {
  const identity = await openIdentityOver(store, clock);
  const tierPolicy = new CurrentPolicy(null, () => {});
  await tierPolicy.load(store);
  const sessions: FakeSession[] = [];
  const errors: unknown[] = [];
  const onFailure = (error: unknown) => errors.push(error);
  const pending = new PendingChanges({ store, clock, onFailure });
  const refusalAudit = new RefusalAudit({ store, clock, onFailure });
  endWhenRefused(identity.revocations, identity.directory, {
    endWhere(matches, error) {
      const ending = sessions.filter((session) => matches(session));
      for (const session of ending) session.end(error);
      return ending.length;
    },
  });
  const handle = createAdminHandler({
    ...identity,
    tierPolicy,
    sessions: { list: () => sessions, get: (id) => sessions.find((one) => one.id === id) },
    nodeId: "node-1",
    pending,
    refusalAudit,
    admins: ADMINS,
    rotateEncryption: async (by) => {
      await store.appendAudit([by]);
      return { key_id: "k2", failures: [] };
    },
    hostnames: ["sluice.internal"],
    version: "0.0.0-test",
    tokenLifetimeMaxMs: TOKENS_CONFIG.maxLifetimeMs,
    providers: () => [provider("openai"), provider("anthropic")],
    health: (probe) => Response.json({ status: "ok", probe }),
    metrics: () => "sluice_up 1\n",
    status: () => ({ database: "sqlite" }),
    onRefused: () => {},
    onError: (error) => errors.push(error),
    ...change,
  });
  const request = (method: string, path: string, body?: unknown, sender: Sender = {}) =>
    handle(
      new Request(`http://127.0.0.1:9090${path}`, {
        method,
        headers: {
          authorization: `Bearer ${sender.token ?? ADMIN_TOKEN}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...sender.headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
      { remoteAddress: sender.address ?? CLIENT_ADDRESS },
    );
  return { ...identity, handle, sessions, errors, pending, refusalAudit, request };
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
