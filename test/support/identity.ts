/** Everything of `auth/` over the in-memory store, as the composition root builds it. */

import { Authenticator } from "../../src/auth/authenticate.ts";
import { Directory } from "../../src/auth/directory.ts";
import { Revocations } from "../../src/auth/revocation.ts";
import { Tokens } from "../../src/auth/token.ts";
import type { TokensConfig } from "../../src/config/config.ts";
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

export interface Identity {
  readonly store: MemoryStore;
  readonly cipher: FakeCipher;
  readonly clock: FakeClock;
  readonly tokens: Tokens;
  readonly revocations: Revocations;
  readonly directory: Directory;
  readonly authenticator: Authenticator;
}

/** Opens it over `store`; a second one over the same store is another node. */
export async function openIdentity(
  store = new MemoryStore(),
  clock = new FakeClock(),
): Promise<Identity> {
  const cipher = new FakeCipher();
  const tokens = await Tokens.open({ store, cipher, clock, config: TOKENS_CONFIG });
  const revocations = new Revocations(clock, TOKENS_CONFIG.leewayMs);
  await revocations.load(store);
  const directory = new Directory(store, cipher);
  await directory.reload();
  const authenticator = new Authenticator(tokens, {
    isRevoked: (jti) => revocations.isRevoked(jti),
    isActive: (projectId) => directory.isActive(projectId),
  });
  return { store, cipher, clock, tokens, revocations, directory, authenticator };
}
