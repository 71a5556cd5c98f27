/**
 * How secrets at rest are bound to their rows, and how a secret is shown.
 *
 * Owns: the associated data of each kind of ciphertext, and masking.
 * Does not own: the encryption (`store/cipher.ts`).
 * Invariant: a ciphertext moved to another row, project or provider does not decrypt there.
 */

import type { CredentialRow } from "../store/store.ts";

/** Authenticated encryption under the node's key ring. */
export interface Cipher {
  encrypt(plaintext: string, associatedData: string): Promise<string>;
  /** @throws when the ciphertext was made under another key, for other data, or was altered */
  decrypt(ciphertext: string, associatedData: string): Promise<string>;
}

/** The part of a row that its ciphertext is bound to. */
type CredentialIdentity = Pick<CredentialRow, "id" | "project_id" | "provider">;

/** Encrypts a provider's credential for the row it will be stored in. */
export function sealCredential(
  cipher: Pick<Cipher, "encrypt">,
  row: CredentialIdentity,
  apiKey: string,
): Promise<string> {
  return cipher.encrypt(apiKey, credentialBinding(row));
}

/** The credential of a row in the clear. Throws when the ciphertext is not of this row. */
export function openCredential(
  cipher: Pick<Cipher, "decrypt">,
  row: CredentialIdentity & Pick<CredentialRow, "ciphertext">,
): Promise<string> {
  return cipher.decrypt(row.ciphertext, credentialBinding(row));
}

/** The associated data of a signing key's ciphertext. */
export function signingKeyBinding(kid: string): string {
  return JSON.stringify(["signing_key", kid]);
}

/** The associated data of what a client secret says: it is in no row. */
export const CLIENT_SECRET_BINDING = JSON.stringify(["client_secret"]);

/**
 * The associated data of a credential's ciphertext: a list in JSON, so that no two rows share a
 * spelling whatever their names contain.
 */
export function credentialBinding(row: CredentialIdentity): string {
  return JSON.stringify(["credential", row.id, row.project_id, row.provider]);
}

const MASK = "****";

/** Below this a key shows nothing at all; below twice this, only its end. */
const SHOWN_LENGTH_MIN = 12;

/** At most the first and last four characters, and never more than a third of the key. */
export function maskKey(key: string): string {
  if (key.length < SHOWN_LENGTH_MIN) return MASK;
  if (key.length < 2 * SHOWN_LENGTH_MIN) return `${MASK}${key.slice(-4)}`;
  return `${key.slice(0, 4)}${MASK}${key.slice(-4)}`;
}

/** Whether someone sends back what a listing showed, instead of the key itself. */
export function looksMasked(key: string): boolean {
  return key.includes(MASK) || key.includes("...") || key.includes("…") || key.includes("•");
}
