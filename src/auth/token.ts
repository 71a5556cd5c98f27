/**
 * Our tokens: `sk-sluice-<JWT>`, signed by a key that lives encrypted in the store.
 *
 * Owns: minting, verifying, and the cache of verified tokens. Does not own: the keys
 * (`token_ring.ts`), the claims' shapes (`token_claims.ts`), revocation and projects
 * (`authenticate.ts`).
 * Invariant: only what `mint` writes verifies: the header is one that a key of ours writes, and of
 * the claims there is one spelling. No refusal before the signature was found right says why, and
 * each of them costs one check of a signature.
 */

import type { TokensConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import type { Principal, Restrictions } from "../exchange.ts";
import { decodeBase64Url, decodeUtf8 } from "../lib/encoding.ts";
import { Lru } from "../lib/lru.ts";
import { SingleFlight } from "../lib/single_flight.ts";
import type { Clock } from "../runtime/clock.ts";
import type { AuditEntry, Store } from "../store/store.ts";
import { type Claims, readClaims, writeClaims } from "./token_claims.ts";
import {
  hasShapeOf,
  isSignedBy,
  makeDecoy,
  type PublicJwk,
  sign,
  type SigningKey,
} from "./token_key.ts";
import { KeyRing, type RotatedKey } from "./token_ring.ts";
import type { Cipher } from "./vault.ts";

/** What tells our tokens from a provider's keys at a glance, and lets secret scanners find them. */
export const TOKEN_PREFIX = "sk-sluice-";

/**
 * A longer credential is refused before anything is done with it. Ours have about 400 characters.
 */
export const CREDENTIAL_LENGTH_MAX = 8192;

const VERIFIED_TOKENS_MAX = 16_384;

interface TokensOptions {
  readonly store: Pick<
    Store,
    "listSigningKeys" | "ensureSigningKey" | "insertSigningKey" | "deleteSigningKey"
  >;
  readonly cipher: Cipher;
  readonly clock: Clock;
  readonly config: TokensConfig;
}

interface MintedToken {
  readonly token: string;
  readonly jti: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export class Tokens {
  readonly #clock: Clock;
  readonly #config: TokensConfig;
  readonly #ring: KeyRing;
  readonly #decoy: (text: string) => Promise<void>;
  readonly #verified = new Lru<string, Principal>(VERIFIED_TOKENS_MAX);
  readonly #verifying = new SingleFlight<string, Principal>();

  private constructor(
    { clock, config }: TokensOptions,
    ring: KeyRing,
    decoy: (text: string) => Promise<void>,
  ) {
    this.#clock = clock;
    this.#config = config;
    this.#ring = ring;
    this.#decoy = decoy;
  }

  /**
   * Reads the signing keys; makes the first one of the configured algorithm where there is none.
   * @throws Error that names a key that cannot be decrypted or used
   */
  static async open(options: TokensOptions): Promise<Tokens> {
    const ring = await KeyRing.open(options);
    return new Tokens(options, ring, await makeDecoy(options.config.algorithm));
  }

  /** Public keys as a JWK set (RFC 7517), for `/.well-known/jwks.json`. */
  jwks(): { keys: PublicJwk[] } {
    return { keys: this.#ring.publicKeys() };
  }

  /** The id of the key that new tokens are signed with now. */
  signingKeyId(): string {
    return this.#ring.signer().kid;
  }

  /**
   * Reads the signing keys again, which other nodes may have changed.
   * @throws what the store throws, or an Error that names a key that cannot be used; the others
   *   are in force then
   */
  reload(): Promise<void> {
    return this.#ring.reload();
  }

  /** Makes a new signing key. It signs as soon as every node has had the time to read it. */
  rotate(by: AuditEntry): Promise<RotatedKey> {
    return this.#ring.rotate(by);
  }

  /** Deletes signing keys whose tokens have all expired, and returns their ids. */
  forgetRetired(): Promise<string[]> {
    return this.#ring.forgetRetired();
  }

  /**
   * A new token of a project. Lifetimes are whole seconds, rounded up.
   * @param restrictions null or empty ones restrict nothing
   * @throws RangeError when `lifetimeMs` is not above 0 or exceeds the configured maximum, or the
   *   token would be too long to be accepted; TypeError when a restriction is malformed
   */
  async mint(
    projectId: string,
    lifetimeMs: number,
    restrictions: Restrictions | null,
  ): Promise<MintedToken> {
    if (!(lifetimeMs > 0 && lifetimeMs <= this.#config.maxLifetimeMs)) {
      throw new RangeError(`Cannot mint a token for ${lifetimeMs} ms: outside tokens.max_lifetime`);
    }
    const iat = Math.floor(this.#clock.nowMs() / 1000);
    const exp = iat + Math.ceil(lifetimeMs / 1000);
    const jti = `tok_${crypto.randomUUID().replaceAll("-", "")}`;
    const { issuer: iss, audience: aud } = this.#config;
    const text = writeClaims({ iss, aud, sub: projectId, jti, iat, nbf: iat, exp, restrictions });
    readClaims(text);
    const token = TOKEN_PREFIX + (await sign(this.#ring.signer(), text));
    if (token.length > CREDENTIAL_LENGTH_MAX) {
      const size = `of ${token.length} characters: ${CREDENTIAL_LENGTH_MAX} are accepted`;
      throw new RangeError(`Cannot mint a token ${size}. Name fewer models or endpoints`);
    }
    return { token, jti, issuedAtMs: iat * 1000, expiresAtMs: exp * 1000 };
  }

  /**
   * Whose token this is, if it was verified before; undefined where it has to be verified.
   * @throws GatewayError `token_expired` once its time is over
   */
  cached(token: string): Principal | undefined {
    const principal = this.#verified.get(token);
    if (principal === undefined) return undefined;
    const isOver = this.isExpired(principal);
    // A key may have been taken away for what was signed with it.
    if (!isOver && this.#namedBy(withoutPrefix(token)) !== null) return principal;
    this.#verified.delete(token);
    if (isOver) throw new GatewayError("token_expired");
    return undefined;
  }

  /**
   * Verifies a token, with or without its prefix, and remembers it.
   * @throws GatewayError `token_expired` for a genuine token whose time is over, else
   *   `token_invalid`
   */
  async verify(token: string): Promise<Principal> {
    if (token.length > CREDENTIAL_LENGTH_MAX) throw new GatewayError("token_invalid");
    const principal = await this.#verifying.run(token, () => this.#verify(token));
    this.#verified.set(token, principal);
    return principal;
  }

  /** Whether this claims to be a token of ours: by its prefix, or by naming one of our keys. */
  recognizes(credential: string): boolean {
    if (credential.startsWith(TOKEN_PREFIX)) return true;
    return credential.length <= CREDENTIAL_LENGTH_MAX && this.#keyOf(credential) !== null;
  }

  /** Whether the principal's time is over, leeway included. */
  isExpired(principal: Principal): boolean {
    if (principal.expiresAtMs === null) return false;
    return principal.expiresAtMs + this.#config.leewayMs <= this.#clock.nowMs();
  }

  /** Signs a text that is no token's claims. The signature is a bare JWT's. */
  sign(payload: string): Promise<string> {
    return sign(this.#ring.signer(), payload);
  }

  /** The text in a JWT that a key of ours has signed; null: forged or malformed. */
  async payloadOf(jwt: string): Promise<string | null> {
    const key = this.#keyOf(jwt);
    if (key === null) {
      await this.#decoy(jwt);
      return null;
    }
    return (await isSignedBy(key, jwt)) ? payloadText(jwt) : null;
  }

  async #verify(token: string): Promise<Principal> {
    const principal = await this.#genuine(withoutPrefix(token));
    if (principal === null) throw new GatewayError("token_invalid");
    if (this.isExpired(principal)) throw new GatewayError("token_expired");
    return principal;
  }

  /** Whose token this is; null where it is forged, malformed or not valid yet. */
  async #genuine(jwt: string): Promise<Principal | null> {
    const payload = await this.payloadOf(jwt);
    const claims = payload === null ? null : claimsOf(payload);
    return claims === null ? null : this.#principalOf(claims);
  }

  /** The key that a well-formed token names. */
  #keyOf(jwt: string): SigningKey | null {
    const key = this.#namedBy(jwt);
    return key !== null && hasShapeOf(key, jwt) ? key : null;
  }

  /** The key whose tokens begin as this one. Its header is compared and never decoded. */
  #namedBy(jwt: string): SigningKey | null {
    return this.#ring.byHeader(jwt.slice(0, jwt.indexOf(".")));
  }

  #principalOf(claims: Claims): Principal | null {
    const { issuer, audience, leewayMs, maxLifetimeMs } = this.#config;
    const { iss, aud, sub, jti, iat, nbf, exp, restrictions } = claims;
    if (iss !== issuer || aud !== audience) return null;
    if (Math.max(iat, nbf) * 1000 > this.#clock.nowMs() + leewayMs) return null;
    // Revocations of whole projects are kept for the longest lifetime: nothing may outlive that
    // which was signed when it was longer.
    const endsS = Math.min(exp, iat + Math.ceil(maxLifetimeMs / 1000));
    const times = { expiresAtMs: endsS * 1000, issuedAtMs: iat * 1000 };
    return { kind: "token", projectId: sub, tokenId: jti, ...times, restrictions };
  }
}

function withoutPrefix(token: string): string {
  return token.startsWith(TOKEN_PREFIX) ? token.slice(TOKEN_PREFIX.length) : token;
}

/** Null: it is no UTF-8 in base64url. */
function payloadText(jwt: string): string | null {
  try {
    return decodeUtf8(decodeBase64Url(jwt.split(".")[1] ?? ""));
  } catch {
    return null;
  }
}

/** What a token says whose signature was found right, or null where that is not written as ours. */
function claimsOf(payload: string): Claims | null {
  try {
    return readClaims(payload);
  } catch {
    return null;
  }
}
