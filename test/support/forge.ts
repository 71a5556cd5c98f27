/**
 * Builds tokens by hand, the way an attacker or a careless issuer would, without any JWT library.
 */

import {
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import type { SigningKeyRow } from "../../src/store/store.ts";
import type { MemoryStore } from "./memory_store.ts";

export function base64Url(value: string | Uint8Array): string {
  return Buffer.from(value).toString("base64url");
}

/** Joins header and claims (JSON text or values) and signs them with `signer`. */
export function forge(
  header: unknown,
  claims: unknown,
  signer: (input: string) => Uint8Array,
): string {
  const input = `${base64Url(jsonText(header))}.${base64Url(jsonText(claims))}`;
  return `${input}.${base64Url(signer(input))}`;
}

/** Strings pass as they are, so that a test can write JSON no serializer would. */
function jsonText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function ed25519(key: KeyObject): (input: string) => Uint8Array {
  return (input) => sign(null, Buffer.from(input), key);
}

export function hmac(secret: string | Uint8Array): (input: string) => Uint8Array {
  return (input) => createHmac("sha256", secret).update(input).digest();
}

export function strangersKey(): KeyObject {
  return generateKeyPairSync("ed25519").privateKey;
}

/** The node's own signing key, as only someone with its store and encryption key could have it. */
export function stolenKey(store: MemoryStore): { key: KeyObject; kid: string; publicJwk: string } {
  const { row, jwk } = stolenJwk(store, "EdDSA");
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  return { key, kid: row.kid, publicJwk: row.public_jwk };
}

/** The same of an HS256 key. */
export function stolenSecret(store: MemoryStore): { secret: Uint8Array; kid: string } {
  const { row, jwk } = stolenJwk(store, "HS256");
  return { secret: Buffer.from(String(jwk.k), "base64url"), kid: row.kid };
}

function stolenJwk(
  store: MemoryStore,
  algorithm: string,
): { row: SigningKeyRow; jwk: Record<string, unknown> } {
  const row = store.signingKeys.find((one) => one.algorithm === algorithm);
  if (row === undefined) throw new Error(`The store has no signing key for ${algorithm}`);
  const sealed: unknown = JSON.parse(row.ciphertext);
  const jwk: unknown = Array.isArray(sealed) ? JSON.parse(String(sealed[2])) : null;
  if (typeof jwk !== "object" || jwk === null) throw new Error("The key is no JWK");
  return { row, jwk: { ...jwk } };
}
