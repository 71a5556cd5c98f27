/**
 * Our tokens: `sk-sluice-<JWT>`, signed with EdDSA by a key that lives encrypted in the store.
 *
 *   {"alg":"EdDSA","typ":"JWT","kid":"<thumbprint>"}
 *   {"iss":"sluice","aud":"sluice","sub":"<project>","jti":"tok_…","iat":0,"nbf":0,"exp":0}
 *
 * Owns: minting, verifying, the signing keys and the cache of verified tokens. Nothing else imports
 * jose.
 * Does not own: revocation and projects (`authenticate.ts`).
 * Invariant: only what `mint` writes verifies: one algorithm, one spelling of header and claims, no
 * claim more or less. So a claim that restricts a token, made by a version that knows it, is
 * refused here and not ignored. No check that fails before the signature says which one it was.
 */

import {
  calculateJwkThumbprint,
  compactVerify,
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  SignJWT,
} from "jose";
import { GatewayError } from "../errors.ts";
import type { Principal } from "../exchange.ts";
import type { TokensConfig } from "../config/config.ts";
import { decodeBase64Url, decodeUtf8 } from "../lib/encoding.ts";
import { Lru } from "../lib/lru.ts";
import { SingleFlight } from "../lib/single_flight.ts";
import type { Clock } from "../runtime/clock.ts";
import type { SigningKeyRow } from "../store/store.ts";
import { type Cipher, signingKeyBinding } from "./vault.ts";

/** What tells our tokens from a provider's keys at a glance, and lets secret scanners find them. */
export const TOKEN_PREFIX = "sk-sluice-";

/**
 * A longer credential is refused before anything is done with it. Ours have about 400 characters.
 */
export const CREDENTIAL_LENGTH_MAX = 8192;

const VERIFIED_TOKENS_MAX = 16_384;
/** The largest time that a JavaScript Date can hold, in seconds (ECMA-262, time values). */
const EPOCH_SECONDS_MAX = 8_640_000_000_000;
const ALGORITHM = "EdDSA";
const CLAIM_NAMES = ["iss", "aud", "sub", "jti", "iat", "nbf", "exp"];
/** 64 bytes in base64url; the last of 86 characters carries two bits, so four spellings exist. */
const SHAPE = /^[\w-]{2,}\.[\w-]{2,}\.[\w-]{85}[AQgw]$/;

/** Where signing keys are kept. */
interface SigningKeyStore {
  listSigningKeys(): Promise<SigningKeyRow[]>;
  ensureSigningKey(row: SigningKeyRow): Promise<SigningKeyRow[]>;
}

interface TokensOptions {
  readonly store: SigningKeyStore;
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

interface SigningKey {
  readonly kid: string;
  readonly publicJwk: JWK;
  readonly verifying: CryptoKey;
  readonly signing: CryptoKey;
}

export class Tokens {
  readonly #clock: Clock;
  readonly #config: TokensConfig;
  readonly #keys: ReadonlyMap<string, SigningKey>;
  readonly #signer: SigningKey;
  readonly #verified = new Lru<string, Principal>(VERIFIED_TOKENS_MAX);
  readonly #verifying = new SingleFlight<string, Principal>();

  private constructor(options: TokensOptions, keys: readonly SigningKey[], signer: SigningKey) {
    this.#clock = options.clock;
    this.#config = options.config;
    this.#keys = new Map(keys.map((key) => [key.kid, key]));
    this.#signer = signer;
  }

  /** Reads the signing keys; makes the first one where there is none. The newest one signs. */
  static async open(options: TokensOptions): Promise<Tokens> {
    let rows = await options.store.listSigningKeys();
    if (rows.length === 0) rows = await ensureSigningKey(options);
    const newestFirst = rows.toSorted((left, right) => right.created_at - left.created_at);
    const keys = await Promise.all(newestFirst.map((row) => openKey(row, options.cipher)));
    const [signer] = keys;
    if (signer === undefined) throw new Error("Cannot sign tokens: the store keeps no signing key");
    return new Tokens(options, keys, signer);
  }

  /** Public keys as a JWK set (RFC 7517), for `/.well-known/jwks.json`. */
  jwks(): { keys: JWK[] } {
    return { keys: [...this.#keys.values()].map((key) => key.publicJwk) };
  }

  /**
   * A new token of a project. Lifetimes are whole seconds, rounded up.
   * @throws RangeError when `lifetimeMs` is not above 0 or exceeds the configured maximum
   */
  async mint(projectId: string, lifetimeMs: number): Promise<MintedToken> {
    if (!(lifetimeMs > 0 && lifetimeMs <= this.#config.maxLifetimeMs)) {
      throw new RangeError(`Cannot mint a token for ${lifetimeMs} ms: outside tokens.max_lifetime`);
    }
    const iat = Math.floor(this.#clock.nowMs() / 1000);
    const exp = iat + Math.ceil(lifetimeMs / 1000);
    const jti = `tok_${crypto.randomUUID().replaceAll("-", "")}`;
    const { issuer: iss, audience: aud } = this.#config;
    const jwt = await new SignJWT({ iss, aud, sub: projectId, jti, iat, nbf: iat, exp })
      .setProtectedHeader({ alg: ALGORITHM, typ: "JWT", kid: this.#signer.kid })
      .sign(this.#signer.signing);
    const token = TOKEN_PREFIX + jwt;
    return { token, jti, issuedAtMs: iat * 1000, expiresAtMs: exp * 1000 };
  }

  /**
   * Whose token this is, if it was verified before; undefined where it has to be verified.
   * @throws GatewayError `token_expired` once its time is over
   */
  cached(token: string): Principal | undefined {
    const principal = this.#verified.get(token);
    if (principal === undefined || !this.isExpired(principal)) return principal;
    this.#verified.delete(token);
    throw new GatewayError("token_expired");
  }

  /**
   * Verifies a token, with or without its prefix, and remembers it.
   * @throws GatewayError `token_expired` for a genuine token whose time is over, else
   * `token_invalid`
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

  async #verify(token: string): Promise<Principal> {
    const jwt = token.startsWith(TOKEN_PREFIX) ? token.slice(TOKEN_PREFIX.length) : token;
    const key = this.#keyOf(jwt);
    if (key === null) throw new GatewayError("token_invalid");
    const payload = await checkSignature(jwt, key.verifying);
    const principal = payload === null ? null : this.#principalOf(payload);
    if (principal === null) throw new GatewayError("token_invalid");
    if (this.isExpired(principal)) throw new GatewayError("token_expired");
    return principal;
  }

  /** The key that a well-formed token names. Reads nothing of it but its header. */
  #keyOf(jwt: string): SigningKey | null {
    if (!SHAPE.test(jwt)) return null;
    const header = parseCanonical(decodeSegment(jwt.slice(0, jwt.indexOf("."))));
    if (header === null || !hasExactly(header, ["alg", "typ", "kid"])) return null;
    const { alg, typ, kid } = header;
    if (alg !== ALGORITHM || typ !== "JWT" || typeof kid !== "string") return null;
    return this.#keys.get(kid) ?? null;
  }

  #principalOf(payload: Uint8Array): Principal | null {
    const claims = parseCanonical(payload);
    if (claims === null || !hasExactly(claims, CLAIM_NAMES)) return null;
    const { iss, aud, sub, jti, iat, nbf, exp } = claims;
    if (iss !== this.#config.issuer || aud !== this.#config.audience) return null;
    if (typeof sub !== "string" || typeof jti !== "string" || sub === "" || jti === "") return null;
    if (!isEpochSeconds(iat) || !isEpochSeconds(nbf) || !isEpochSeconds(exp)) return null;
    const latestMs = this.#clock.nowMs() + this.#config.leewayMs;
    if (iat * 1000 > latestMs || nbf * 1000 > latestMs) return null;
    const expiresAtMs = exp * 1000;
    return { kind: "token", projectId: sub, tokenId: jti, expiresAtMs, issuedAtMs: iat * 1000 };
  }
}

/** Makes a signing key unless another node was faster, and returns the keys there are. */
async function ensureSigningKey(options: TokensOptions): Promise<SigningKeyRow[]> {
  const pair = await generateKeyPair(ALGORITHM, { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const privateJwk = JSON.stringify(await exportJWK(pair.privateKey));
  return options.store.ensureSigningKey({
    kid,
    algorithm: ALGORITHM,
    public_jwk: JSON.stringify(publicJwk),
    ciphertext: await options.cipher.encrypt(privateJwk, signingKeyBinding(kid)),
    created_at: options.clock.nowMs(),
  });
}

/**
 * A stored key, ready for use. Its public half comes from the ciphertext too: whoever can write to
 * the database but has no encryption key cannot make us trust a key of theirs.
 */
async function openKey(row: SigningKeyRow, cipher: Cipher): Promise<SigningKey> {
  const { kid, algorithm } = row;
  if (algorithm !== ALGORITHM) {
    throw new Error(
      `Cannot use signing key "${kid}": its algorithm "${algorithm}" is not ${ALGORITHM}`,
    );
  }
  const secret = parseCanonical(new TextEncoder().encode(await decryptKey(row, cipher)));
  const { kty, crv, x, d } = secret ?? {};
  if (kty !== "OKP" || crv !== "Ed25519" || typeof x !== "string" || typeof d !== "string") {
    throw new Error(`Cannot use signing key "${kid}": it is no Ed25519 key`);
  }
  const [verifying, signing] = await Promise.all([
    importKey({ kty, crv, x }),
    importKey({ kty, crv, x, d }),
  ]);
  const publicJwk = { kty, crv, x, kid, alg: ALGORITHM, use: "sig" };
  return { kid, publicJwk, verifying, signing };
}

async function decryptKey(row: SigningKeyRow, cipher: Cipher): Promise<string> {
  try {
    return await cipher.decrypt(row.ciphertext, signingKeyBinding(row.kid));
  } catch (cause) {
    const reason = "encryption_keys must hold the key it was stored under";
    throw new Error(`Cannot decrypt signing key "${row.kid}": ${reason}`, { cause });
  }
}

async function importKey(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, ALGORITHM);
  if (key instanceof Uint8Array) throw new TypeError("Cannot import an Ed25519 key as bytes");
  return key;
}

/** The signed claims, or null where the signature is not of this key. */
async function checkSignature(jwt: string, key: CryptoKey): Promise<Uint8Array | null> {
  try {
    return (await compactVerify(jwt, key, { algorithms: [ALGORITHM] })).payload;
  } catch {
    return null;
  }
}

function decodeSegment(segment: string): Uint8Array | null {
  try {
    return decodeBase64Url(segment);
  } catch {
    return null;
  }
}

/**
 * The object in `bytes` if this is the one way to write it: no key twice, no white space, no
 * escapes that are not needed, so that no other reader of the token can see something else in it.
 */
function parseCanonical(bytes: Uint8Array | null): Record<string, unknown> | null {
  if (bytes === null) return null;
  try {
    const text = decodeUtf8(bytes);
    const value: unknown = JSON.parse(text);
    return isRecord(value) && JSON.stringify(value) === text ? value : null;
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hasExactly(value: Record<string, unknown>, names: readonly string[]): boolean {
  return Object.keys(value).length === names.length && names.every((n) => Object.hasOwn(value, n));
}

function isEpochSeconds(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= EPOCH_SECONDS_MAX;
}
