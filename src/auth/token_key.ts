/**
 * One signing key: EdDSA (Ed25519), or HS256 with 32 random bytes.
 *
 * Owns: making one, opening one that was stored, signing and checking with one. The only importer
 * of jose. Does not own: which keys there are (`token_ring.ts`), or what is signed
 * (`token_claims.ts`).
 * Invariant: a key is used with its own algorithm only, whatever a token says, and both halves of
 * it come out of the ciphertext: whoever can write to the database but has no encryption key
 * cannot make us trust a key of theirs.
 */

import {
  calculateJwkThumbprint,
  CompactSign,
  compactVerify,
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
} from "jose";
import type { TokensConfig } from "../config/config.ts";
import { decodeBase64Url, encodeBase64Url, encodeUtf8 } from "../lib/encoding.ts";
import type { SigningKeyRow } from "../store/store.ts";
import { type Cipher, signingKeyBinding } from "./vault.ts";

type Algorithm = TokensConfig["algorithm"];

const SECRET_BYTES = 32;
/**
 * Signatures of 64 and of 32 bytes in base64url. The last character carries fewer than six bits, so
 * that only some may stand there: others would be a second spelling of the same bytes.
 */
const SHAPES: Readonly<Record<Algorithm, RegExp>> = {
  EdDSA: /^[\w-]{2,}\.[\w-]{2,}\.[\w-]{85}[AQgw]$/,
  HS256: /^[\w-]{2,}\.[\w-]{2,}\.[\w-]{42}[AEIMQUYcgkosw048]$/,
};

/** What others need to check our signatures (RFC 7517). */
export interface PublicJwk {
  readonly kty: "OKP";
  readonly crv: "Ed25519";
  readonly x: string;
  readonly kid: string;
  readonly alg: "EdDSA";
  readonly use: "sig";
}

export interface SigningKey {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly createdAtMs: number;
  /** First segment of every token that it signs. */
  readonly header: string;
  /** Null: nobody but us can check its signatures. */
  readonly publicJwk: PublicJwk | null;
  readonly signing: CryptoKey;
  readonly verifying: CryptoKey;
}

/** A key before it is stored or used. */
interface KeyMaterial {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly publicJwk: JWK;
  readonly privateJwk: JWK;
}

/** A new key as the row to be stored. */
export async function makeSigningKey(
  algorithm: Algorithm,
  createdAtMs: number,
  cipher: Pick<Cipher, "encrypt">,
): Promise<SigningKeyRow> {
  const { kid, publicJwk, privateJwk } = await makeMaterial(algorithm);
  return {
    kid,
    algorithm,
    public_jwk: JSON.stringify(publicJwk),
    ciphertext: await cipher.encrypt(JSON.stringify(privateJwk), signingKeyBinding(kid)),
    created_at: createdAtMs,
  };
}

/** A stored key, ready for use. @throws Error that names the key and says what is wrong with it */
export async function openSigningKey(
  row: SigningKeyRow,
  cipher: Pick<Cipher, "decrypt">,
): Promise<SigningKey> {
  const { kid, algorithm, created_at: createdAtMs } = row;
  if (algorithm !== "EdDSA" && algorithm !== "HS256") {
    const reason = `its algorithm "${algorithm}" is neither EdDSA nor HS256`;
    throw new Error(`Cannot use signing key "${kid}": ${reason}`);
  }
  const privateJwk: JWK = JSON.parse(await decrypt(row, cipher));
  return { ...(await openMaterial({ kid, algorithm, privateJwk })), createdAtMs };
}

/** A token without our prefix, over `payload`. */
export function sign(
  key: Pick<SigningKey, "kid" | "algorithm" | "signing">,
  payload: string,
): Promise<string> {
  return new CompactSign(encodeUtf8(payload)).setProtectedHeader(headerOf(key)).sign(key.signing);
}

/** Whether a token can have been signed by this key, to look at. */
export function hasShapeOf({ algorithm }: Pick<SigningKey, "algorithm">, jwt: string): boolean {
  return SHAPES[algorithm].test(jwt);
}

/** Whether the token, which has the shape, is signed by this key. */
export async function isSignedBy(
  key: Pick<SigningKey, "algorithm" | "verifying">,
  jwt: string,
): Promise<boolean> {
  try {
    await compactVerify(jwt, key.verifying, { algorithms: [key.algorithm] });
    return true;
  } catch {
    return false;
  }
}

/**
 * What does the work of finding a signature wrong, for what names no key of ours: so that the time
 * taken does not tell which keys there are.
 */
export async function makeDecoy(algorithm: Algorithm): Promise<(text: string) => Promise<void>> {
  const key = await openMaterial(await makeMaterial(algorithm));
  const signature = (await sign(key, "decoy")).split(".")[2] ?? "";
  return async (text) => {
    await isSignedBy(key, `${key.header}.${encodeBase64Url(encodeUtf8(text))}.${signature}`);
  };
}

async function makeMaterial(algorithm: Algorithm): Promise<KeyMaterial> {
  if (algorithm === "HS256") {
    const kid = encodeBase64Url(crypto.getRandomValues(new Uint8Array(16)));
    const k = encodeBase64Url(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));
    return { kid, algorithm, publicJwk: {}, privateJwk: { kty: "oct", k } };
  }
  const pair = await generateKeyPair(algorithm, { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const privateJwk = await exportJWK(pair.privateKey);
  return { kid: await calculateJwkThumbprint(publicJwk), algorithm, publicJwk, privateJwk };
}

async function openMaterial({
  kid,
  algorithm,
  privateJwk,
}: Omit<KeyMaterial, "publicJwk">): Promise<Omit<SigningKey, "createdAtMs">> {
  const header = encodeBase64Url(encodeUtf8(JSON.stringify(headerOf({ kid, algorithm }))));
  const base = { kid, algorithm, header };
  if (algorithm === "HS256") {
    const secret = await importSecret(kid, privateJwk);
    return { ...base, publicJwk: null, signing: secret, verifying: secret };
  }
  const { kty, crv, x, d } = privateJwk;
  if (kty !== "OKP" || crv !== "Ed25519" || typeof x !== "string" || typeof d !== "string") {
    throw new Error(`Cannot use signing key "${kid}": it is no Ed25519 key`);
  }
  const publicJwk = { kty: "OKP", crv: "Ed25519", x } as const;
  const signing = await importPair({ ...publicJwk, d });
  const verifying = await importPair(publicJwk);
  return {
    ...base,
    publicJwk: { ...publicJwk, kid, alg: algorithm, use: "sig" },
    signing,
    verifying,
  };
}

async function importPair(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, "EdDSA");
  if (key instanceof Uint8Array) throw new TypeError("Cannot import an Ed25519 key as bytes");
  return key;
}

function importSecret(kid: string, { kty, k }: JWK): Promise<CryptoKey> {
  const bytes = kty === "oct" && typeof k === "string" ? decodeBase64Url(k) : null;
  if (bytes?.length !== SECRET_BYTES) {
    throw new Error(`Cannot use signing key "${kid}": it is no HS256 key of ${SECRET_BYTES} bytes`);
  }
  const hmac = { name: "HMAC", hash: "SHA-256" };
  return crypto.subtle.importKey("raw", bytes, hmac, false, ["sign", "verify"]);
}

async function decrypt(row: SigningKeyRow, cipher: Pick<Cipher, "decrypt">): Promise<string> {
  try {
    return await cipher.decrypt(row.ciphertext, signingKeyBinding(row.kid));
  } catch (cause) {
    const reason = "encryption_keys must hold the key it was stored under";
    throw new Error(`Cannot decrypt signing key "${row.kid}": ${reason}`, { cause });
  }
}

/** In the order in which it is written. */
function headerOf({ kid, algorithm }: Pick<SigningKey, "kid" | "algorithm">) {
  return { alg: algorithm, typ: "JWT", kid };
}
