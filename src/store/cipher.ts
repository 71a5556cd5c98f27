/**
 * Secrets at rest: AES-256-GCM under a ring of keys (NIST SP 800-38D, 96-bit random nonces).
 *
 *   v1.<key id>.<checks>.<nonce ‖ ciphertext ‖ tag>      the last two in base64url
 *
 * The checks are short digests of the key and of the row that the ciphertext is bound to. They
 * protect nothing (the tag does, and covers them); they let a refusal say which of the two is the
 * wrong one.
 *
 * Owns: the format, and the ring. Does not own: where keys come from (`key_file.ts`, the
 * configuration), what a ciphertext is bound to (the caller's associated data), and rotation
 * (`auth/reencrypt.ts`).
 * Invariant: decrypting gives the very text that was encrypted for the same associated data, or
 * throws. Nothing passes unencrypted, and no error carries a key or a secret. A key that was once
 * in the ring decrypts for as long as the process lives.
 */

import type { EncryptionKeyConfig } from "../config/config.ts";
import { decodeBase64Url, decodeUtf8, encodeBase64Url, encodeUtf8 } from "../lib/encoding.ts";

const VERSION = "v1";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_CHECK_BYTES = 4;
const BINDING_CHECK_BYTES = 8;
const ALGORITHM = "AES-GCM";
const KEY_ID = /^[\w-]{1,64}$/;

/** Why a ciphertext was refused. */
export type CipherFailure =
  "malformed" | "unknown_version" | "unknown_key" | "wrong_key" | "moved" | "altered" | "empty";

const ADVICE: Readonly<Record<CipherFailure, string>> = {
  malformed: "it is no ciphertext of sluice. Store the secret again",
  unknown_version: "a newer sluice made it. Start that version again",
  unknown_key:
    "its key is not in the key ring. Put the key back into encryption_keys, or into the file " +
    "encryption.key of data_dir",
  wrong_key: "the key of that id is another one than it was made with. Restore the former key",
  moved: "it belongs to another row. Store the secret again",
  altered: "it was altered. Restore it from a backup, or store the secret again",
  empty: "it is empty, and an empty secret is never stored. Store the secret again",
};

export class CipherError extends Error {
  override readonly name = "CipherError";
  readonly failure: CipherFailure;
  /** The id that the ciphertext names; null where it names none. */
  readonly keyId: string | null;

  constructor(failure: CipherFailure, keyId: string | null) {
    const key = keyId === null ? "" : ` (key ${keyId})`;
    super(`The stored secret cannot be decrypted${key}: ${ADVICE[failure]}`);
    this.failure = failure;
    this.keyId = keyId;
  }
}

interface ImportedKey {
  readonly key: CryptoKey;
  readonly check: Uint8Array;
}

interface RingKey {
  readonly bytes: Uint8Array;
  readonly imported: Promise<ImportedKey>;
}

interface Parsed {
  readonly keyId: string;
  /** `v1.<key id>.<checks>`. */
  readonly header: string;
  readonly keyCheck: Uint8Array;
  readonly bindingCheck: Uint8Array;
  readonly nonce: Uint8Array<ArrayBuffer>;
  readonly sealed: Uint8Array<ArrayBuffer>;
}

export class Cipher {
  readonly #read: (() => readonly EncryptionKeyConfig[]) | null;
  readonly #keys = new Map<string, RingKey>();
  #newestId = "";

  /**
   * Takes a key ring: the first key encrypts, all of them decrypt.
   * @param read gives the ring as it is now, where other processes may have changed it. It is asked
   * before every encryption, so that nothing new is made under an old key, and once when a
   * ciphertext names a key that is not known here.
   * @throws Error when there is no key, a key has no 32 bytes, or an id is malformed or used twice
   */
  constructor(
    keys: readonly EncryptionKeyConfig[],
    read: (() => readonly EncryptionKeyConfig[]) | null = null,
  ) {
    this.#read = read;
    this.#take(keys);
  }

  /** Id of the key that encrypts. */
  get newestId(): string {
    return this.#newestId;
  }

  /** Ids of all keys there are, in no order. */
  get keyIds(): readonly string[] {
    return [...this.#keys.keys()];
  }

  /** Reads the ring again, where it can change. Throws what reading it throws. */
  reload(): void {
    if (this.#read !== null) this.#take(this.#read());
  }

  /**
   * Encrypts under the newest key. The text decrypts only together with the same `associatedData`.
   * @throws CipherError `empty` for an empty plaintext, or what reading the ring throws
   */
  async encrypt(plaintext: string, associatedData: string): Promise<string> {
    if (plaintext === "") throw new CipherError("empty", null);
    this.reload();
    const id = this.#newestId;
    const { key, check } = await this.#ringKey(id);
    const checks = encodeBase64Url(concat(check, await bindingCheck(associatedData)));
    const header = `${VERSION}.${id}.${checks}`;
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const parameters = gcm(nonce, header, associatedData);
    const sealed = await crypto.subtle.encrypt(parameters, key, encodeUtf8(plaintext));
    return `${header}.${encodeBase64Url(concat(nonce, new Uint8Array(sealed)))}`;
  }

  /** @throws CipherError saying which of its reasons it is */
  async decrypt(ciphertext: string, associatedData: string): Promise<string> {
    const parsed = parse(ciphertext);
    const { keyId } = parsed;
    const ringKey = await this.#ringKey(keyId);
    if (!equal(parsed.keyCheck, ringKey.check)) throw new CipherError("wrong_key", keyId);
    if (!equal(parsed.bindingCheck, await bindingCheck(associatedData))) {
      throw new CipherError("moved", keyId);
    }
    const plaintext = await unseal(parsed, ringKey.key, associatedData);
    if (plaintext === "") throw new CipherError("empty", keyId);
    return plaintext;
  }

  #ringKey(id: string): Promise<ImportedKey> {
    if (!this.#keys.has(id)) this.reload();
    const key = this.#keys.get(id);
    if (key === undefined) throw new CipherError("unknown_key", id);
    return key.imported;
  }

  /** Keys that are in the ring no more stay: rows read before may still be under them. */
  #take(keys: readonly EncryptionKeyConfig[]): void {
    checkKeys(keys);
    const [newest] = keys;
    if (newest === undefined) {
      throw new Error("There is no encryption key. Make one with: sluice keys generate");
    }
    for (const { id, key: bytes } of keys) {
      const known = this.#keys.get(id);
      if (known !== undefined && equal(known.bytes, bytes)) continue;
      this.#keys.set(id, { bytes, imported: importKey(bytes) });
    }
    this.#newestId = newest.id;
  }
}

/**
 * Id of the key that a ciphertext was made under.
 * @throws CipherError when it is malformed
 */
export function keyIdOf(ciphertext: string): string {
  return parse(ciphertext).keyId;
}

function checkKeys(keys: readonly EncryptionKeyConfig[]): void {
  const ids = new Set<string>();
  for (const key of keys) {
    checkKey(key);
    if (ids.has(key.id)) throw new Error(`Two encryption keys have the id ${key.id}`);
    ids.add(key.id);
  }
}

function checkKey({ id, key }: EncryptionKeyConfig): void {
  if (!KEY_ID.test(id)) {
    throw new Error("An encryption key's id must be 1 to 64 letters, digits, - or _");
  }
  if (key.length !== KEY_BYTES) {
    throw new Error(`The encryption key ${id} has ${key.length} bytes and needs ${KEY_BYTES}`);
  }
}

async function importKey(bytes: Uint8Array): Promise<ImportedKey> {
  const raw = new Uint8Array(bytes);
  const uses: KeyUsage[] = ["encrypt", "decrypt"];
  const key = await crypto.subtle.importKey("raw", raw, ALGORITHM, false, uses);
  const check = await digest(concat(encodeUtf8("sluice key check\0"), raw), KEY_CHECK_BYTES);
  return { key, check };
}

function parse(ciphertext: string): Parsed {
  const [version = "", keyId = "", checks = "", body = "", ...rest] = ciphertext.split(".");
  if (/^v\d+$/.test(version) && version !== VERSION) {
    throw new CipherError("unknown_version", null);
  }
  const malformed = () => new CipherError("malformed", null);
  if (version !== VERSION || !KEY_ID.test(keyId) || rest.length > 0) throw malformed();
  const checkBytes = decodeOr(checks, malformed);
  const bytes = decodeOr(body, malformed);
  if (checkBytes.length !== KEY_CHECK_BYTES + BINDING_CHECK_BYTES) throw malformed();
  if (bytes.length < NONCE_BYTES + TAG_BYTES) throw malformed();
  return {
    keyId,
    header: `${version}.${keyId}.${checks}`,
    keyCheck: checkBytes.subarray(0, KEY_CHECK_BYTES),
    bindingCheck: checkBytes.subarray(KEY_CHECK_BYTES),
    nonce: bytes.subarray(0, NONCE_BYTES),
    sealed: bytes.subarray(NONCE_BYTES),
  };
}

function decodeOr(text: string, failure: () => CipherError): Uint8Array<ArrayBuffer> {
  try {
    return decodeBase64Url(text);
  } catch {
    throw failure();
  }
}

async function unseal(parsed: Parsed, key: CryptoKey, associatedData: string): Promise<string> {
  const { nonce, header, sealed, keyId } = parsed;
  try {
    const parameters = gcm(nonce, header, associatedData);
    return decodeUtf8(new Uint8Array(await crypto.subtle.decrypt(parameters, key, sealed)));
  } catch {
    throw new CipherError("altered", keyId);
  }
}

/** The header is authenticated too. It has no line feed, so the two parts cannot run together. */
function gcm(nonce: Uint8Array<ArrayBuffer>, header: string, associatedData: string): AesGcmParams {
  const additionalData = encodeUtf8(`${header}\n${associatedData}`);
  return { name: ALGORITHM, iv: nonce, additionalData, tagLength: TAG_BYTES * 8 };
}

function bindingCheck(associatedData: string): Promise<Uint8Array> {
  return digest(encodeUtf8(associatedData), BINDING_CHECK_BYTES);
}

async function digest(bytes: Uint8Array<ArrayBuffer>, length: number): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).subarray(0, length);
}

function concat(left: Uint8Array, right: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(left.length + right.length);
  bytes.set(left);
  bytes.set(right, left.length);
  return bytes;
}

/** Of what nobody outside chooses, so its time may depend on it. */
function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
