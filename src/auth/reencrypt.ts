/**
 * Encryption at rest over the life of its keys: what is stored moves to the newest key while nodes
 * run, and a node whose keys do not fit does not start.
 *
 * Owns: which rows are moved, when a key comes and goes, the report and its audit entries.
 * Does not own: encryption (`store/cipher.ts`), the file of made keys (`store/key_file.ts`), what a
 * ciphertext is bound to (`vault.ts`).
 * Invariant: at any instant every ciphertext is under a key that a restart finds again. A row is
 * replaced only by the same secret, and only if nobody changed it meanwhile. Nothing is changed
 * before the audit says that a rotation began.
 */

import { type Clock, sleep } from "../runtime/clock.ts";
import { CipherError, type CipherFailure, keyIdOf } from "../store/cipher.ts";
import {
  addEncryptionKey,
  lockEncryptionKeys,
  makeEncryptionKey,
  readEncryptionKeys,
  removeEncryptionKeys,
} from "../store/key_file.ts";
import type { AuditEntry, Store } from "../store/store.ts";
import { type Cipher, credentialBinding, signingKeyBinding } from "./vault.ts";

/**
 * Longer than a write commonly waits in the store: what a node encrypted before it could see the
 * new key is stored by then. What comes later is still read: the key before is kept.
 */
const SETTLE_MS = 6_000;

const KEY_FAILURES: ReadonlySet<CipherFailure> = new Set(["unknown_key", "wrong_key"]);

/** A cipher whose ring can be looked at. */
interface KeyRing extends Cipher {
  readonly newestId: string;
  readonly keyIds: readonly string[];
  reload(): void;
}

type SecretRows = Pick<Store, "listCredentials" | "listSigningKeys">;
type SecretStore = SecretRows &
  Pick<Store, "replaceCredentialCiphertext" | "replaceSigningKeyCiphertext" | "appendAudit">;

interface RotationOptions {
  readonly store: SecretStore;
  readonly cipher: KeyRing;
  readonly clock: Clock;
  /** Where the keys were made by nodes; null: they come from the configuration. */
  readonly dataDir: string | null;
}

type SecretKind = "credential" | "signing_key";

interface Failure {
  readonly kind: SecretKind;
  readonly id: string;
  readonly reason: string;
}

/** How many were moved, were under the newest key already, and cannot be read. */
interface Counts {
  readonly rotated: number;
  readonly current: number;
  readonly failed: number;
}

/** What a rotation did, in the words of the management API. */
interface RotationReport {
  /** The key that everything is under now, save the failures. */
  readonly key_id: string;
  readonly key_source: "configuration" | "data_dir";
  /** False: it was there already, because it is configured or a rotation before was cut short. */
  readonly key_made: boolean;
  readonly credentials: Counts;
  readonly signing_keys: Counts;
  readonly failures: readonly Failure[];
  /** Nothing is under them any more. Those in `data_dir` were removed. */
  readonly unused_key_ids: readonly string[];
  /**
   * In `data_dir`: nothing is under it any more, and the next rotation removes it. A node that
   * stored something late is not left without it. Null: there is none.
   */
  readonly kept_key_id: string | null;
}

/** A stored ciphertext, whichever table it is in. */
interface Secret {
  readonly kind: SecretKind;
  readonly id: string;
  readonly ciphertext: string;
  readonly binding: string;
}

/**
 * What rotates the encryption keys. A run that was cut short is completed by the next one.
 * @returns a function of who asks, for the audit; it rejects when the database or the key file
 * cannot be used, and when another process rotates right now
 */
export function rotateEncryption(
  options: RotationOptions,
): (by: AuditEntry) => Promise<RotationReport> {
  return async (by) => {
    const { store, cipher, dataDir } = options;
    if (dataDir !== null) return renewKey(options, dataDir, by);
    await store.appendAudit([beginning(cipher.newestId, false, by)]);
    const report = await reencrypt(options, cipher.keyIds);
    await store.appendAudit([ending(report, by)]);
    return report;
  };
}

/**
 * Sees that what is stored can be read: one ciphertext of each kind and key.
 * @throws Error that names the key that is missing or another one, for a node that must not start
 */
export async function verifyKeys(store: SecretRows, cipher: KeyRing): Promise<void> {
  const samples = new Map<string, Secret>();
  for (const secret of await listSecrets(store)) {
    samples.set(`${secret.kind} ${keyIdOrNull(secret)}`, secret);
  }
  for (const { kind, id, ciphertext, binding } of samples.values()) {
    try {
      await cipher.decrypt(ciphertext, binding);
    } catch (cause) {
      // One damaged row fails where it is used; it says nothing of the keys.
      if (cause instanceof CipherError && !KEY_FAILURES.has(cause.failure)) continue;
      throw new Error(refusal(kind, id, cause, cipher), { cause });
    }
  }
}

function refusal(kind: SecretKind, id: string, cause: unknown, cipher: KeyRing): string {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const known = cipher.keyIds.join(", ");
  return `Cannot start: ${kind} ${id} cannot be read. ${reason}. Keys that there are: ${known}`;
}

/** With keys that nodes make: a new one is on the disk before anything is encrypted under it. */
async function renewKey(
  options: RotationOptions,
  dataDir: string,
  by: AuditEntry,
): Promise<RotationReport> {
  const { store, cipher } = options;
  const lock = lockEncryptionKeys(dataDir);
  try {
    const former = readEncryptionKeys(dataDir).map(({ id }) => id);
    const made = (await isComplete(store, former)) ? makeEncryptionKey() : null;
    const ids = made === null ? former : [made.id, ...former];
    await store.appendAudit([beginning(ids[0] ?? "", made !== null, by)]);
    if (made !== null) addEncryptionKey(dataDir, made);
    cipher.reload();
    const moved = await reencrypt(options, ids);
    const report: RotationReport = {
      ...moved,
      ...forgetUnused(dataDir, ids, moved),
      key_source: "data_dir",
      key_made: made !== null,
    };
    await store.appendAudit([ending(report, by)]);
    return report;
  } finally {
    lock.release();
  }
}

/**
 * Whether the rotation before was completed: only then another key is made, so that keys do not
 * pile up where one fails again and again.
 */
async function isComplete(store: SecretRows, ids: readonly string[]): Promise<boolean> {
  if (ids.length === 1) return true;
  const secrets = await listSecrets(store);
  return secrets.every((secret) => keyIdOrNull(secret) === ids[0]);
}

/** Removes the keys that nothing needs, save the one before the newest. */
function forgetUnused(
  dataDir: string,
  ids: readonly string[],
  { failures, unused_key_ids }: RotationReport,
): Pick<RotationReport, "unused_key_ids" | "kept_key_id"> {
  const [, previous = ""] = ids;
  const kept_key_id = unused_key_ids.includes(previous) ? previous : null;
  if (failures.length > 0) return { unused_key_ids: [], kept_key_id };
  const removed = unused_key_ids.filter((id) => id !== previous);
  removeEncryptionKeys(dataDir, new Set(removed));
  return { unused_key_ids: removed, kept_key_id };
}

/**
 * Moves everything, twice: the second time what was written under an older key meanwhile.
 * @param ids of all keys there are
 */
async function reencrypt(
  options: RotationOptions,
  ids: readonly string[],
): Promise<RotationReport> {
  const { store, cipher, clock, dataDir } = options;
  const first = await moveAll(store, cipher);
  if (dataDir !== null) await sleep(clock, SETTLE_MS);
  const second = await moveAll(store, cipher);
  return {
    key_id: cipher.newestId,
    key_source: "configuration",
    key_made: false,
    credentials: countsOf("credential", first, second),
    signing_keys: countsOf("signing_key", first, second),
    failures: second.failures,
    unused_key_ids: ids.filter((id) => !second.usedKeyIds.has(id)),
    kept_key_id: null,
  };
}

interface Pass {
  readonly total: Record<SecretKind, number>;
  readonly rotated: Record<SecretKind, number>;
  readonly failures: Failure[];
  /** Keys that ciphertexts may still be under. */
  readonly usedKeyIds: Set<string>;
}

async function moveAll(store: SecretStore, cipher: KeyRing): Promise<Pass> {
  const pass: Pass = {
    total: { credential: 0, signing_key: 0 },
    rotated: { credential: 0, signing_key: 0 },
    failures: [],
    usedKeyIds: new Set([cipher.newestId]),
  };
  for (const secret of await listSecrets(store)) {
    pass.total[secret.kind] += 1;
    await move(secret, store, cipher, pass);
  }
  return pass;
}

async function move(
  secret: Secret,
  store: SecretStore,
  cipher: KeyRing,
  pass: Pass,
): Promise<void> {
  const { kind, id, ciphertext, binding } = secret;
  const keyId = keyIdOrNull(secret);
  if (keyId === cipher.newestId) return;
  let plaintext: string;
  try {
    plaintext = await cipher.decrypt(ciphertext, binding);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    pass.failures.push({ kind, id, reason });
    if (keyId !== null) pass.usedKeyIds.add(keyId);
    return;
  }
  const moved = await cipher.encrypt(plaintext, binding);
  if (await replace(store, secret, moved)) pass.rotated[kind] += 1;
  // Changed or deleted meanwhile. Where it was changed by a node with older keys, it is under one.
  else if (keyId !== null) pass.usedKeyIds.add(keyId);
}

function replace(store: SecretStore, secret: Secret, ciphertext: string): Promise<boolean> {
  const { kind, id, ciphertext: from } = secret;
  if (kind === "credential") return store.replaceCredentialCiphertext(id, from, ciphertext);
  return store.replaceSigningKeyCiphertext(id, from, ciphertext);
}

async function listSecrets(store: SecretRows): Promise<Secret[]> {
  const [credentials, signingKeys] = await Promise.all([
    store.listCredentials(),
    store.listSigningKeys(),
  ]);
  return [
    ...credentials.map((row) => {
      const { id, ciphertext } = row;
      return { kind: "credential" as const, id, ciphertext, binding: credentialBinding(row) };
    }),
    ...signingKeys.map(({ kid, ciphertext }) => {
      const binding = signingKeyBinding(kid);
      return { kind: "signing_key" as const, id: kid, ciphertext, binding };
    }),
  ];
}

/** Null for what is no ciphertext. */
function keyIdOrNull({ ciphertext }: Secret): string | null {
  try {
    return keyIdOf(ciphertext);
  } catch {
    return null;
  }
}

function countsOf(kind: SecretKind, first: Pass, second: Pass): Counts {
  const rotated = first.rotated[kind] + second.rotated[kind];
  const failed = second.failures.filter((failure) => failure.kind === kind).length;
  // Rows that were moved may have been deleted since.
  return { rotated, current: Math.max(0, second.total[kind] - rotated - failed), failed };
}

function beginning(keyId: string, key_made: boolean, by: AuditEntry): AuditEntry {
  return { ...by, subject: `encryption_key:${keyId}`, details: { phase: "begun", key_made } };
}

function ending(report: RotationReport, by: AuditEntry): AuditEntry {
  const { key_id, key_made, key_source, credentials, signing_keys, failures } = report;
  const removed = key_source === "data_dir" ? report.unused_key_ids : [];
  return {
    ...by,
    subject: `encryption_key:${key_id}`,
    outcome: failures.length === 0 ? "done" : "failed",
    details: {
      phase: "ended",
      key_made,
      credentials_rotated: credentials.rotated,
      signing_keys_rotated: signing_keys.rotated,
      failed: failures.length,
      keys_removed: removed.length === 0 ? null : removed.join(", "),
    },
  };
}
