/** Everything of `auth/` over the in-memory store, as the composition root builds it. */

import { Authenticator } from "../../src/auth/authenticate.ts";
import { ClientSecrets } from "../../src/auth/client_secret.ts";
import { Directory } from "../../src/auth/directory.ts";
import { Revocations } from "../../src/auth/revocation.ts";
import { Tokens } from "../../src/auth/token.ts";
import type { TokensConfig } from "../../src/config/config.ts";
import type { AuditEntry, Store } from "../../src/store/store.ts";
import { FakeCipher } from "./fake_cipher.ts";
import { FakeClock } from "./fake_clock.ts";
import { MemoryStore } from "./memory_store.ts";

export const DAY_MS = 86_400_000;

export const TOKENS_CONFIG: TokensConfig = {
  issuer: "sluice",
  audience: "sluice",
  algorithm: "EdDSA",
  maxLifetimeMs: 365 * DAY_MS,
  leewayMs: 5000,
};

/** A change by an administrator, for tests that are not about the audit. */
export const BY_ADMIN: AuditEntry = {
  actor: "admin",
  action: "test",
  subject: "",
  outcome: "done",
  request_id: "req_test",
  client_address: "192.0.2.1",
  details: {},
};

export interface Identity<S extends Store = MemoryStore> {
  readonly store: S;
  readonly cipher: FakeCipher;
  readonly clock: FakeClock;
  readonly tokens: Tokens;
  readonly clientSecrets: ClientSecrets;
  readonly revocations: Revocations;
  readonly directory: Directory;
  readonly authenticator: Authenticator;
  /** Whether revocations count as too old from now on. */
  setStale(isStale: boolean): void;
}

/** Opens it over `store`; a second one over the same store is another node. */
export function openIdentity(
  store = new MemoryStore(),
  clock = new FakeClock(),
  change: Partial<TokensConfig> = {},
): Promise<Identity> {
  return openIdentityOver(store, clock, change);
}

/** The same over any store. */
export async function openIdentityOver<S extends Store>(
  store: S,
  clock: FakeClock,
  change: Partial<TokensConfig> = {},
): Promise<Identity<S>> {
  const cipher = new FakeCipher();
  const config = { ...TOKENS_CONFIG, ...change };
  const tokens = await Tokens.open({ store, cipher, clock, config });
  const { leewayMs } = config;
  const revocations = new Revocations({ clock, leewayMs, reportLag: () => {} });
  await revocations.load(store);
  const directory = new Directory(store, cipher);
  await directory.reload();
  let isStale = false;
  const clientSecrets = new ClientSecrets({ tokens, cipher, clock, config });
  const authenticator = new Authenticator(tokens, clientSecrets, {
    isRevoked: (principal) => revocations.isRevoked(principal),
    isActive: (projectId) => directory.isActive(projectId),
    overrideOf: (jti) => revocations.overrideOf(jti),
    restrictionsOf: (projectId) => directory.project(projectId),
    isStale: () => isStale,
  });
  const setStale = (value: boolean) => void (isStale = value);
  const parts = { store, cipher, clock, tokens, clientSecrets, revocations, directory };
  return { ...parts, authenticator, setStale };
}
