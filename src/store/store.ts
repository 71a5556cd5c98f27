/**
 * What must survive a restart, as the interface that both databases implement.
 *
 * Owns: the rows' shapes and the store's contract. One suite (`test/conformance/store_suite.ts`)
 * holds every implementation to it.
 * Does not own: secrets in the clear. A credential or signing key arrives here as ciphertext.
 * Invariant: every method is one transaction; when its promise resolves, the change is durable.
 */

import type { AllowLists, LimitChanges, Limits, Restrictions, UsageEvent } from "../exchange.ts";
import type { Lease, LeaseRequest, LimitQuantity, NodeReport } from "./leases.ts";

/** Times are milliseconds since the epoch, ids opaque text. */
export interface ProjectRow extends Restrictions {
  id: string;
  name: string;
  is_active: boolean;
  created_at: number;
  updated_at: number;
  deactivated_at: number | null;
}

/** What is to be another; the rest stays, of limits too. */
export interface ProjectChange extends Partial<AllowLists> {
  readonly name?: string;
  readonly is_active?: boolean;
  readonly limits?: LimitChanges;
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

export interface TokenRow extends Restrictions {
  /** `jti`. */
  id: string;
  project_id: string;
  label: string | null;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
  /** The three below lag behind by a second or so. */
  last_used_at: number | null;
  request_count: number;
  cache_hit_count: number;
}

/** A token that must not be used any more. */
export interface RevocationRow {
  jti: string;
  revoked_at: number;
  /** When the token it names has expired and the row may be forgotten. */
  expires_at: number;
}

/** All tokens of a project that were issued at or before a time. */
export interface ProjectRevocationRow {
  project_id: string;
  issued_before: number;
  revoked_at: number;
  expires_at: number;
}

/** What was changed of a token after it was signed; it only narrows what the token says. */
export interface TokenOverrideRow {
  jti: string;
  is_active: boolean;
  limits: Limits;
  /** Later with every change, whatever the clocks of the nodes say. */
  changed_at: number;
  expires_at: number;
}

/** A page of a list, newest first. */
export interface PageQuery {
  readonly limit: number;
  readonly cursor?: string;
}

export interface TokenQuery extends PageQuery {
  readonly projectId?: string;
}

export interface TokenPage {
  readonly tokens: readonly TokenRow[];
  /** As `UsagePage.nextCursor`, here and below. */
  readonly nextCursor: string | null;
}

export interface RevocationPage {
  readonly revocations: readonly (RevocationRow | ProjectRevocationRow)[];
  readonly nextCursor: string | null;
}

/** Rows that are newer than some revision, and the revision that they bring the reader to. */
export interface RevocationChanges {
  readonly revision: number;
  readonly tokens: readonly RevocationRow[];
  readonly projects: readonly ProjectRevocationRow[];
  readonly overrides: readonly TokenOverrideRow[];
}

/**
 * How often each thing that nodes keep in memory was changed so far. A management change raises the
 * revision of what it changes in its own transaction, `revocations` ones in the order of commits.
 */
export interface Revisions {
  /** Projects and credentials. */
  readonly directory: number;
  /** Revocations of tokens and projects, and overrides. */
  readonly revocations: number;
  readonly signing_keys: number;
  readonly policies: number;
  /** The database's own clock, for nodes whose clock differs. */
  readonly nowMs: number;
}

/** What is written of a management change or a refusal, before it has a place in the chain. */
export interface AuditEntry {
  /** Name of the admin token, `gateway`, or `unknown` where nobody was authenticated. */
  readonly actor: string;
  /** Such as `project.create`. */
  readonly action: string;
  /** Such as `project:<id>`; "" for none. */
  readonly subject: string;
  readonly outcome: "done" | "refused" | "failed";
  readonly request_id: string;
  readonly client_address: string;
  /** More, by name; nothing secret. */
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}

export interface AuditRow extends AuditEntry {
  /** From 1, without gaps. */
  readonly sequence: number;
  readonly recorded_at: number;
  readonly node_id: string;
  /** SHA-256 in hex over the hash before it and every other field: see `audit_chain.ts`. */
  readonly hash: string;
}

export interface AuditQuery extends PageQuery {
  readonly actor?: string;
  readonly action?: string;
  readonly subject?: string;
  readonly hash?: string;
  readonly sinceMs?: number;
  readonly untilMs?: number;
}

export interface AuditPage {
  readonly entries: readonly AuditRow[];
  readonly nextCursor: string | null;
}

/** Whether the chain is whole. */
export interface AuditVerification {
  /** How many were checked: all that there were at the beginning, unless it is broken. */
  readonly entries: number;
  /** Hash of the last one of them, to be noted elsewhere; null: there is none. */
  readonly head: string | null;
  /** The first entry that does not fit (null: it has no number), and why; null: all fit. */
  readonly broken: { readonly sequence: number | null; readonly reason: string } | null;
}

/** How far a check has come. */
export interface AuditProgress extends AuditVerification {
  /** The number of the last entry when it began, up to which it goes. */
  readonly expected: number;
  readonly isDone: boolean;
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

/** A version of a policy. */
export interface PolicyRow {
  /** From 1, without gaps; the newest one is in force. */
  version: number;
  /** JSON text; null: this version took the policy away again. */
  document: string | null;
  created_at: number;
  /** Name of the admin token that put it. */
  actor: string;
}

/** A version of a policy without its document. */
export interface PolicyVersion extends Omit<PolicyRow, "document"> {
  /** It took the policy away again. */
  is_reset: boolean;
}

export interface UsageQuery extends PageQuery {
  readonly projectId?: string;
  readonly tokenId?: string;
  readonly sessionId?: string;
  readonly sinceMs?: number;
  readonly untilMs?: number;
}

export interface UsagePage {
  readonly events: UsageEvent[];
  /** Hand back as `cursor` for the next page; null on the last one. */
  readonly nextCursor: string | null;
}

/** A credential that is not stored yet, and what the audit says of it then. */
export interface NewCredential {
  readonly row: CredentialRow;
  readonly by: AuditEntry;
}

/**
 * Methods with `by` are management changes: the change, the entry of the audit and the revision of
 * what changed are one transaction. Where nothing was changed (not found, taken, in use), nothing
 * is written.
 *
 * What people ask to see (lists, single rows, the check of the audit) waits where it is much, so
 * that what the nodes ask for themselves does not.
 */
export interface Store {
  listProjects(): Promise<ProjectRow[]>;
  /** With a credential both are stored, or neither. False: the name or id is taken. */
  insertProject(row: ProjectRow, by: AuditEntry, credential?: NewCredential): Promise<boolean>;
  /** Null: no such project. */
  updateProject(
    id: string,
    change: ProjectChange,
    nowMs: number,
    by: AuditEntry,
  ): Promise<ProjectRow | null>;
  /** `in_use`: it has usage. */
  deleteProject(id: string, by: AuditEntry): Promise<"deleted" | "not_found" | "in_use">;

  listCredentials(): Promise<CredentialRow[]>;
  /** One credential a project and provider: an existing one is replaced. */
  putCredential(row: CredentialRow, by: AuditEntry): Promise<void>;
  deleteCredential(id: string, by: AuditEntry): Promise<boolean>;
  /** Puts another ciphertext of the same secret in place, unless the row changed meanwhile. */
  replaceCredentialCiphertext(id: string, from: string, to: string): Promise<boolean>;

  /** Newest first by `created_at`. */
  listTokens(query: TokenQuery): Promise<TokenPage>;
  getToken(id: string): Promise<TokenRow | null>;
  insertToken(row: TokenRow, by: AuditEntry): Promise<void>;
  /** Null: no such token. */
  updateToken(
    id: string,
    change: { label: string | null },
    by: AuditEntry,
  ): Promise<TokenRow | null>;
  /** Revokes now; a token that is revoked already keeps its first time. Null: no such token. */
  revokeToken(id: string, nowMs: number, by: AuditEntry): Promise<TokenRow | null>;
  /**
   * Changes the token's override: what is not named stays as it is there.
   * @param token whose it is
   * @returns the override as it is afterwards
   */
  changeTokenOverride(
    token: Pick<TokenRow, "id" | "expires_at">,
    change: { is_active?: boolean; limits?: LimitChanges },
    nowMs: number,
    by: AuditEntry,
  ): Promise<TokenOverrideRow>;

  /** For a token that this store never saw. One that is revoked already keeps its first time. */
  insertRevocation(row: RevocationRow, by: AuditEntry): Promise<void>;
  /**
   * Revokes a project's tokens; of two times the later one holds.
   * @param row without `issued_before`: every token there is, also those of a node whose clock is
   *   ahead
   * @returns the revocation as it holds
   */
  insertProjectRevocation(
    row: Omit<ProjectRevocationRow, "issued_before"> & { readonly issued_before: number | null },
    by: AuditEntry,
  ): Promise<ProjectRevocationRow>;
  /**
   * Notes with some of the tokens that a project's revocation is about, and that have not expired,
   * that they are revoked. What they may is not decided by it.
   * @returns how many; 0: there are no more
   */
  markRevokedTokens(projectId: string, nowMs: number): Promise<number>;
  /**
   * What came after `revision`; 0 for everything. Leaves out what had expired at `nowMs`. Reads the
   * revision and the rows as of one moment.
   */
  listRevocations(afterRevision: number, nowMs: number): Promise<RevocationChanges>;
  /** Newest first by `revoked_at`, without what had expired at `nowMs`. */
  pageRevocations(query: PageQuery, nowMs: number): Promise<RevocationPage>;
  /**
   * Deletes some of the revocations, overrides and sums that had expired at `nowMs`, and of the
   * tokens that had expired 30 days before it.
   * @returns how many rows; 0: there are no more
   */
  forgetExpired(nowMs: number): Promise<number>;

  readRevisions(): Promise<Revisions>;
  /**
   * Calls `listener` when another node may have changed something. Says nothing of what, and may
   * be late or fail altogether: `readRevisions` at an interval finds what was missed.
   * @returns what ends it
   */
  watchRevisions(listener: () => void): () => void;

  listSigningKeys(): Promise<SigningKeyRow[]>;
  /**
   * Inserts unless there is a key of its algorithm already, and returns all keys there are: the
   * first node wins.
   */
  ensureSigningKey(row: SigningKeyRow): Promise<SigningKeyRow[]>;
  insertSigningKey(row: SigningKeyRow, by: AuditEntry): Promise<void>;
  deleteSigningKey(kid: string): Promise<void>;
  replaceSigningKeyCiphertext(kid: string, from: string, to: string): Promise<boolean>;

  /** The newest version. Null: there never was one. */
  getPolicy(name: string): Promise<PolicyRow | null>;
  getPolicyVersion(name: string, version: number): Promise<PolicyRow | null>;
  /** Newest first, those before the version `before`; null: from the newest on. */
  listPolicyVersions(name: string, limit: number, before: number | null): Promise<PolicyVersion[]>;
  /**
   * Adds a version; the entry of the audit says which. Taking away what is not there writes nothing
   * and answers the newest version, 0 where there is none.
   * @param document null takes the policy away; its versions stay
   * @param expectedVersion the newest one as the caller knows it, 0 for none; null: whichever it is
   */
  putPolicy(
    name: string,
    document: string | null,
    expectedVersion: number | null,
    nowMs: number,
    by: AuditEntry,
  ): Promise<{ version: number } | "stale">;

  /**
   * Grants portions to a node, in one transaction. A grant is nothing where less than `least` is
   * left, else up to `wanted`, or an eighth of what is left where that is more.
   * @param requests one entry a subject and quantity
   */
  lease(nodeId: string, requests: readonly LeaseRequest[]): Promise<Lease[]>;
  /**
   * Takes a node's report, and notes that it is alive. What a node holds now is free for others
   * once it was not heard of for 30 s, and counts again when it is. What it has of a minute stays.
   */
  reportLeases(nodeId: string, report: NodeReport): Promise<void>;
  /** Forgets what the node holds now: it stopped. */
  removeNode(nodeId: string): Promise<void>;
  /** What was used of a subject, by quantity and period. */
  listSpend(subject: string): Promise<{ quantity: LimitQuantity; period: string; used: number }[]>;

  /** For what is no change: refusals. */
  appendAudit(entries: readonly AuditEntry[]): Promise<void>;
  /** Newest first. */
  listAudit(query: AuditQuery): Promise<AuditPage>;
  /**
   * Checks some entries of the chain; `verifyAudit` of `audit_chain.ts` checks all.
   * @param progress what the call before returned; null begins
   */
  checkAudit(progress: AuditProgress | null): Promise<AuditProgress>;

  /**
   * Inserts those whose `event_id` is new and returns the inserted ids. Their `settled_micros` are
   * added to the sums of their token and project (day and month of `recorded_at`, and total) in the
   * same transaction. Their node says itself that it holds them no more.
   */
  insertUsage(events: readonly UsageEvent[]): Promise<string[]>;
  /** The newest `pending` row of a response of this provider; null: there is none. */
  findPendingUsage(provider: string, responseId: string): Promise<UsageEvent | null>;
  /** Completes a `pending` row, once, and corrects the sums. False: there is none. */
  completeUsage(event: UsageEvent): Promise<boolean>;
  /** Newest first by `recorded_at`. */
  listUsage(query: UsageQuery): Promise<UsagePage>;

  close(): Promise<void>;
}
