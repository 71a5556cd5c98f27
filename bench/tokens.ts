/**
 * What it costs to know a token: for the first time (cold: one signature is checked), and again.
 *
 * Owns: measuring, in this process, the code that the executable runs. Does not own: what an
 * exchange costs with it (`scenarios.ts`), as reading the token from the request.
 * Invariant: every cold token is another one, and none was seen before.
 */

import { Tokens } from "../src/auth/token.ts";
import { systemClock } from "../src/runtime/clock.ts";
import type { SigningKeyRow } from "../src/store/store.ts";

const ALGORITHMS = ["EdDSA", "HS256"] as const;
const HOUR_MS = 3_600_000;
const ROUNDS = 5;
const COLD_TOKENS = 500;
const CACHED_LOOKUPS = 200_000;

/** Microseconds a token, of the median round. */
export interface TokenCost {
  readonly algorithm: (typeof ALGORITHMS)[number];
  readonly coldUs: number;
  readonly cachedUs: number;
}

/** The cost for each algorithm; `quick` takes one round instead of several. */
export async function measureTokens(quick: boolean): Promise<TokenCost[]> {
  const costs: TokenCost[] = [];
  for (const algorithm of ALGORITHMS) {
    const tokens = await openTokens(algorithm);
    await measureCold(tokens);
    const cold: number[] = [];
    const cached: number[] = [];
    for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
      cold.push(await measureCold(tokens));
      cached.push(await measureCached(tokens));
    }
    costs.push({ algorithm, coldUs: median(cold), cachedUs: median(cached) });
  }
  return costs;
}

/** The costs as text. */
export function tokenTable(costs: readonly TokenCost[]): string {
  const rows = costs.map(({ algorithm, coldUs, cachedUs }) => {
    return `${algorithm}  ${coldUs.toFixed(1).padStart(7)}  ${cachedUs.toFixed(3).padStart(9)}`;
  });
  return `\ntoken verification\n       cold µs  cached µs\n${rows.join("\n")}`;
}

/** A store of signing keys that keeps nothing and hides nothing. */
function openTokens(algorithm: TokenCost["algorithm"]): Promise<Tokens> {
  const config = { issuer: "bench", audience: "bench", maxLifetimeMs: HOUR_MS, leewayMs: 0 };
  return Tokens.open({
    store: {
      listSigningKeys: () => Promise.resolve([]),
      ensureSigningKey: (row: SigningKeyRow) => Promise.resolve([row]),
      insertSigningKey: () => Promise.resolve(),
      deleteSigningKey: () => Promise.resolve(),
    },
    cipher: {
      encrypt: (plaintext) => Promise.resolve(plaintext),
      decrypt: (ciphertext) => Promise.resolve(ciphertext),
    },
    clock: systemClock,
    config: { ...config, algorithm },
  });
}

async function measureCold(tokens: Tokens): Promise<number> {
  const minted: string[] = [];
  for (let count = 0; count < COLD_TOKENS; count++) minted.push(await mint(tokens));
  const startMs = performance.now();
  for (const token of minted) await tokens.verify(token);
  return ((performance.now() - startMs) * 1000) / COLD_TOKENS;
}

async function measureCached(tokens: Tokens): Promise<number> {
  const minted: string[] = [];
  for (let count = 0; count < COLD_TOKENS; count++) minted.push(await mint(tokens));
  for (const token of minted) await tokens.verify(token);
  const startMs = performance.now();
  for (let count = 0; count < CACHED_LOOKUPS; count++) {
    if (tokens.cached(minted[count % COLD_TOKENS] ?? "") === undefined)
      throw new Error("Not cached");
  }
  return ((performance.now() - startMs) * 1000) / CACHED_LOOKUPS;
}

async function mint(tokens: Tokens): Promise<string> {
  const limits = { requests_per_minute: 600 };
  const restrictions = { models: ["gpt-5*"], endpoints: null, tiers: null, limits };
  return (await tokens.mint("bench", HOUR_MS, restrictions)).token;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}
