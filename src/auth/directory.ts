/**
 * Every project's flags and encrypted credentials, in memory, so that no request waits for the
 * database.
 *
 * Owns: the copy, and a bounded number of credentials in the clear. Does not own: the rows, which
 * are the store's; a change is stored first and told here after, save a deactivation.
 * Invariant: a read never touches the store, and a credential in the clear is dropped with its row.
 * What is suspended is inactive, whatever the store says.
 */

import { Lru } from "../lib/lru.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import type { CredentialRow, ProjectRow } from "../store/store.ts";
import { Suspended } from "./suspended.ts";
import { type Cipher, openCredential } from "./vault.ts";

const DECRYPTED_CREDENTIALS_MAX = 1024;

/** Where projects and credentials are read from. */
interface DirectorySource {
  listProjects(): Promise<ProjectRow[]>;
  listCredentials(): Promise<CredentialRow[]>;
}

/** Hears of projects that were active and are no longer, or are gone. */
type DeactivationListener = (projectIds: ReadonlySet<string>) => void;

export class Directory {
  readonly #source: DirectorySource;
  readonly #cipher: Pick<Cipher, "decrypt">;
  readonly #listeners: DeactivationListener[] = [];
  #projects = new Map<string, ProjectRow>();
  /** By `credentialKey`. */
  #credentials = new Map<string, CredentialRow>();
  /** By ciphertext, which is different after every change. */
  readonly #decrypted = new Lru<string, string>(DECRYPTED_CREDENTIALS_MAX);
  readonly #suspended = new Suspended();
  #secrets: readonly string[] | null = null;
  /** Counts changes of what is here, so that a reload that read older rows is noticed. */
  #changes = 0;

  constructor(source: DirectorySource, cipher: Pick<Cipher, "decrypt">) {
    this.#source = source;
    this.#cipher = cipher;
  }

  /** Reads everything again. On failure the last known state stays, and the error is thrown. */
  async reload(): Promise<void> {
    for (;;) {
      const changes = this.#changes;
      const [projects, credentials] = await Promise.all([
        this.#source.listProjects(),
        this.#source.listCredentials(),
      ]);
      // A change that was told meanwhile may be newer than what was read.
      if (changes === this.#changes) return this.#replace(projects, credentials);
    }
  }

  /** The project's row, or null. */
  project(projectId: string): ProjectRow | null {
    const row = this.#projects.get(projectId);
    return row === undefined ? null : this.#asItIs(row);
  }

  projects(): readonly ProjectRow[] {
    return [...this.#projects.values()].map((row) => this.#asItIs(row));
  }

  /** False also for a project that does not exist. */
  isActive(projectId: string): boolean {
    if (this.#suspended.has(projectId)) return false;
    return this.#projects.get(projectId)?.is_active === true;
  }

  /** Credentials of a project, encrypted, in the order of their making. */
  credentialsOf(projectId: string): readonly CredentialRow[] {
    const rows = [...this.#credentials.values()].filter((row) => row.project_id === projectId);
    return rows.sort((left, right) => left.created_at - right.created_at);
  }

  /**
   * The project's own credential for a provider, in the clear, or null where it has none.
   * Not a promise when it was used before. Throws when the ciphertext cannot be decrypted.
   */
  credential(projectId: string, provider: string): MaybePromise<string | null> {
    const row = this.#credentials.get(credentialKey(projectId, provider));
    if (row === undefined) return null;
    return this.#decrypted.get(row.ciphertext) ?? this.#decrypt(row);
  }

  /** Whether the project has a credential of its own for a provider. */
  hasCredential(projectId: string, provider: string): boolean {
    return this.#credentials.has(credentialKey(projectId, provider));
  }

  /** Every credential held in the clear at the moment, for the log to keep out. */
  secrets(): readonly string[] {
    this.#secrets ??= [...this.#decrypted.values()];
    return this.#secrets;
  }

  /** Calls `listener` with each batch of projects that stop being active. */
  onDeactivated(listener: DeactivationListener): void {
    this.#listeners.push(listener);
  }

  /**
   * Deactivates a project ahead of the store; no reload undoes it.
   * @returns what says that the store has it, to be called once
   */
  suspend(projectId: string): () => void {
    const wasActive = this.isActive(projectId);
    const release = this.#suspended.hold(projectId);
    if (wasActive) this.#tell(new Set([projectId]));
    return () => {
      const row = this.project(projectId);
      if (row !== null) this.putProject(row);
      release();
    };
  }

  /** A project was stored, new or changed. */
  putProject(row: ProjectRow): void {
    this.#changes += 1;
    const wasActive = this.isActive(row.id);
    this.#projects.set(row.id, row);
    if (wasActive && !row.is_active) this.#tell(new Set([row.id]));
  }

  /** A project was deleted, and its credentials with it. */
  removeProject(projectId: string): void {
    this.#changes += 1;
    const wasActive = this.isActive(projectId);
    this.#projects.delete(projectId);
    for (const row of this.credentialsOf(projectId)) this.#forget(row);
    if (wasActive) this.#tell(new Set([projectId]));
  }

  /** A credential was stored; it takes the place of the project's former one for that provider. */
  putCredential(row: CredentialRow): void {
    this.#changes += 1;
    const former = this.#credentials.get(credentialKey(row.project_id, row.provider));
    if (former !== undefined) this.#forget(former);
    this.#credentials.set(credentialKey(row.project_id, row.provider), row);
  }

  /** A credential was deleted. */
  removeCredential(credentialId: string): void {
    this.#changes += 1;
    for (const row of this.#credentials.values()) {
      if (row.id === credentialId) this.#forget(row);
    }
  }

  #asItIs(row: ProjectRow): ProjectRow {
    return this.#suspended.has(row.id) ? { ...row, is_active: false } : row;
  }

  async #decrypt(row: CredentialRow): Promise<string> {
    const plaintext = await openCredential(this.#cipher, row);
    // Replaced while it was decrypted: used this once, not kept.
    if (this.#credentials.get(credentialKey(row.project_id, row.provider)) === row) {
      this.#decrypted.set(row.ciphertext, plaintext);
      this.#secrets = null;
    }
    return plaintext;
  }

  #forget(row: CredentialRow): void {
    this.#credentials.delete(credentialKey(row.project_id, row.provider));
    this.#decrypted.delete(row.ciphertext);
    this.#secrets = null;
  }

  #replace(projects: readonly ProjectRow[], credentials: readonly CredentialRow[]): void {
    // Another reload that is under way may have read older rows than these.
    this.#changes += 1;
    const former = this.#projects;
    this.#projects = new Map(projects.map((row) => [row.id, row]));
    const kept = new Set(credentials.map((row) => row.ciphertext));
    for (const row of this.#credentials.values()) {
      if (!kept.has(row.ciphertext)) this.#forget(row);
    }
    this.#credentials = new Map(
      credentials.map((row) => [credentialKey(row.project_id, row.provider), row]),
    );
    const ended = [...former.values()].filter((row) => row.is_active && !this.isActive(row.id));
    if (ended.length > 0) this.#tell(new Set(ended.map((row) => row.id)));
  }

  #tell(projectIds: ReadonlySet<string>): void {
    for (const listener of this.#listeners) listener(projectIds);
  }
}

/** A list in JSON keeps `a` + `b/c` apart from `a/b` + `c`. */
function credentialKey(projectId: string, provider: string): string {
  return JSON.stringify([projectId, provider]);
}
