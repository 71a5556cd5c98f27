/**
 * What must survive a restart, as the interface that both databases implement.
 *
 * Owns: the rows' shapes and the store's contract. One suite (`test/conformance/store_suite.ts`)
 * holds every implementation to it.
 * Does not own: secrets in the clear. A credential or signing key arrives here as ciphertext.
 * Invariant: every method is one transaction; when its promise resolves, the change is durable.
 */

import type { UsageEvent } from "../exchange.ts";

/** Times are milliseconds since the epoch, ids opaque text. */
export interface ProjectRow {
  id: string;
  name: string;
  is_active: boolean;
  created_at: number;
  updated_at: number;
  deactivated_at: number | null;
}

export interface CredentialRow {
  id: string;
  project_id: string;
  /** Name of the configured provider it is for. */
  provider: string;
  label: string | null;
  /** See `cipher.ts`; bound to this row's id, project and provider. */
  ciphertext: string;
  /** First and last four characters at most, for display. */
  masked: string;
  created_at: number;
  updated_at: number;
}

export interface TokenRow {
  /** `jti`. */
  id: string;
  project_id: string;
  label: string | null;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
}

export interface RevocationRow {
  jti: string;
  revoked_at: number;
  /** When the token it names has expired and the row may be forgotten. */
  expires_at: number;
}

export interface SigningKeyRow {
  kid: string;
  algorithm: string;
  /** Public JWK as JSON text. */
  public_jwk: string;
  /** Private JWK as JSON text, encrypted and bound to `kid`. */
  ciphertext: string;
  created_at: number;
}

export interface UsageQuery {
  readonly projectId?: string;
  readonly tokenId?: string;
  readonly sessionId?: string;
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly limit: number;
  readonly cursor?: string;
}

export interface UsagePage {
  readonly events: UsageEvent[];
  /** Hand back as `cursor` for the next page; null on the last one. */
  readonly nextCursor: string | null;
}

export interface Store {
  listProjects(): Promise<ProjectRow[]>;
  /** False: the name or id is taken. */
  insertProject(row: ProjectRow): Promise<boolean>;
  /** Null: no such project. */
  updateProject(
    id: string,
    change: { name?: string; is_active?: boolean },
    nowMs: number,
  ): Promise<ProjectRow | null>;
  /** `in_use`: it has usage. */
  deleteProject(id: string): Promise<"deleted" | "not_found" | "in_use">;

  listCredentials(): Promise<CredentialRow[]>;
  /** One credential a project and provider: an existing one is replaced. */
  putCredential(row: CredentialRow): Promise<void>;
  deleteCredential(id: string): Promise<boolean>;

  listTokens(projectId?: string): Promise<TokenRow[]>;
  getToken(id: string): Promise<TokenRow | null>;
  insertToken(row: TokenRow): Promise<void>;
  /** Null: no such token. */
  updateToken(id: string, change: { label: string | null }): Promise<TokenRow | null>;
  /** Revokes now; a token that is revoked already keeps its first time. Null: no such token. */
  revokeToken(id: string, nowMs: number): Promise<TokenRow | null>;
  revokeTokensOfProject(projectId: string, nowMs: number): Promise<TokenRow[]>;

  /** Those whose token could still be alive at `nowMs`. */
  listRevocations(nowMs: number): Promise<RevocationRow[]>;
  /**
   * For a token that this store never saw. A `jti` that is revoked already keeps its first time.
   */
  insertRevocation(row: RevocationRow): Promise<void>;

  listSigningKeys(): Promise<SigningKeyRow[]>;
  /** Inserts unless there is a key already, and returns the keys there are: the first node wins. */
  ensureSigningKey(row: SigningKeyRow): Promise<SigningKeyRow[]>;

  /** Inserts those whose `event_id` is new and returns the inserted ids. */
  insertUsage(events: readonly UsageEvent[]): Promise<string[]>;
  /** The newest `pending` row of a response of this provider; null: there is none. */
  findPendingUsage(provider: string, responseId: string): Promise<UsageEvent | null>;
  /** Completes a `pending` row, once. False: there is none. */
  completeUsage(event: UsageEvent): Promise<boolean>;
  /** Newest first by `recorded_at`. */
  listUsage(query: UsageQuery): Promise<UsagePage>;

  close(): Promise<void>;
}
