/**
 * The store's contract in memory, for tests of what stands on it. Reveals callers that change a row
 * they were handed (rows are copied both ways), and writes that go on after a failure (`failWith`).
 * Several nodes over one of it are nodes over one database.
 */

import { changeLimits } from "../../src/config/limits.ts";
import type { UsageEvent } from "../../src/exchange.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import type { Lease, LeaseRequest, NodeReport } from "../../src/store/leases.ts";
import type {
  AuditEntry,
  AuditPage,
  AuditProgress,
  AuditQuery,
  AuditRow,
  CredentialRow,
  NewCredential,
  PageQuery,
  PolicyRow,
  PolicyVersion,
  ProjectRevocationRow,
  ProjectChange,
  ProjectRow,
  RevocationChanges,
  RevocationPage,
  RevocationRow,
  Revisions,
  SigningKeyRow,
  Store,
  TokenOverrideRow,
  TokenPage,
  TokenQuery,
  TokenRow,
  UsagePage,
  UsageQuery,
} from "../../src/store/store.ts";
import { MemoryAudit } from "./memory_audit.ts";
import { MemoryPolicies } from "./memory_policies.ts";
import { MemoryRevocations, pageOfTokens } from "./memory_revocations.ts";
import { MemorySpend } from "./memory_spend.ts";
import { MemoryUsage } from "./memory_usage.ts";
import { UNRESTRICTED } from "./unrestricted.ts";

const EPOCH_MS = 1_795_000_000_000;

export class MemoryStore implements Store {
  readonly projects = new Map<string, ProjectRow>();
  readonly credentials = new Map<string, CredentialRow>();
  readonly tokens = new Map<string, TokenRow>();
  readonly revoked = new MemoryRevocations();
  readonly revocations = this.revoked.tokens;
  readonly overrides = this.revoked.overrides;
  readonly signingKeys: SigningKeyRow[] = [];
  readonly usage: Map<string, UsageEvent>;
  readonly audit: AuditRow[];
  readonly revisions = { directory: 1, revocations: 1, signing_keys: 1, policies: 1 };
  readonly policies = new MemoryPolicies();
  readonly spend: MemorySpend;
  /** Set to have every call fail with it. */
  failWith: Error | null = null;
  /** Set to have changes go unannounced to those who watch. */
  losesNotifications = false;
  /** Calls made so far, by method. */
  readonly calls: string[] = [];
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #audit: MemoryAudit;
  readonly #usage: MemoryUsage;
  readonly #listeners = new Set<() => void>();

  /** @param clock that of the database */
  constructor(clock: Pick<Clock, "nowMs"> = { nowMs: () => EPOCH_MS }) {
    this.#clock = clock;
    this.spend = new MemorySpend(clock);
    this.#audit = new MemoryAudit(clock);
    this.#usage = new MemoryUsage(this.spend);
    this.audit = this.#audit.rows;
    this.usage = this.#usage.rows;
    this.projects.set("default", {
      id: "default",
      name: "default",
      is_active: true,
      created_at: EPOCH_MS,
      updated_at: EPOCH_MS,
      deactivated_at: null,
      ...UNRESTRICTED,
    });
  }

  listProjects(): Promise<ProjectRow[]> {
    return this.#run("listProjects", () => [...this.projects.values()]);
  }

  insertProject(row: ProjectRow, by: AuditEntry, credential?: NewCredential): Promise<boolean> {
    return this.#run("insertProject", () => {
      if (this.projects.has(row.id) || this.#named(row.name) !== undefined) return false;
      this.projects.set(row.id, structuredClone(row));
      this.#changed("directory", by);
      if (credential === undefined) return true;
      this.credentials.set(credential.row.id, { ...credential.row });
      this.#audit.append([credential.by]);
      return true;
    });
  }

  updateProject(
    id: string,
    change: ProjectChange,
    nowMs: number,
    by: AuditEntry,
  ): Promise<ProjectRow | null> {
    return this.#run("updateProject", () => {
      const row = this.projects.get(id);
      if (row === undefined) return null;
      const limits = changeLimits(row.limits, change.limits ?? {});
      Object.assign(row, change, { limits, updated_at: nowMs });
      if (row.is_active) row.deactivated_at = null;
      else row.deactivated_at ??= nowMs;
      this.#changed("directory", by);
      return row;
    });
  }

  deleteProject(id: string, by: AuditEntry): Promise<"deleted" | "not_found" | "in_use"> {
    return this.#run("deleteProject", () => {
      if (!this.projects.has(id)) return "not_found";
      if ([...this.usage.values()].some((event) => event.project_id === id)) return "in_use";
      this.projects.delete(id);
      for (const rows of [this.credentials, this.tokens]) {
        for (const row of [...rows.values()]) if (row.project_id === id) rows.delete(row.id);
      }
      this.#changed("directory", by);
      return "deleted";
    });
  }

  listCredentials(): Promise<CredentialRow[]> {
    return this.#run("listCredentials", () => [...this.credentials.values()]);
  }

  putCredential(row: CredentialRow, by: AuditEntry): Promise<void> {
    return this.#run("putCredential", () => {
      for (const known of [...this.credentials.values()]) {
        if (known.project_id === row.project_id && known.provider === row.provider) {
          this.credentials.delete(known.id);
        }
      }
      this.credentials.set(row.id, { ...row });
      this.#changed("directory", by);
    });
  }

  deleteCredential(id: string, by: AuditEntry): Promise<boolean> {
    return this.#run("deleteCredential", () => {
      const isDeleted = this.credentials.delete(id);
      if (isDeleted) this.#changed("directory", by);
      return isDeleted;
    });
  }

  replaceCredentialCiphertext(id: string, from: string, to: string): Promise<boolean> {
    return this.#run("replaceCredentialCiphertext", () => {
      const row = this.credentials.get(id);
      if (row?.ciphertext !== from) return false;
      row.ciphertext = to;
      this.#raise("directory");
      return true;
    });
  }

  listTokens(query: TokenQuery): Promise<TokenPage> {
    return this.#run("listTokens", () => pageOfTokens([...this.tokens.values()], query));
  }

  getToken(id: string): Promise<TokenRow | null> {
    return this.#run("getToken", () => this.tokens.get(id) ?? null);
  }

  insertToken(row: TokenRow, by: AuditEntry): Promise<void> {
    return this.#run("insertToken", () => {
      this.tokens.set(row.id, structuredClone(row));
      this.#audit.append([by]);
    });
  }

  updateToken(
    id: string,
    change: { label: string | null },
    by: AuditEntry,
  ): Promise<TokenRow | null> {
    return this.#run("updateToken", () => {
      const row = this.tokens.get(id);
      if (row === undefined) return null;
      this.#audit.append([by]);
      return Object.assign(row, change);
    });
  }

  revokeToken(id: string, nowMs: number, by: AuditEntry): Promise<TokenRow | null> {
    return this.#run("revokeToken", () => {
      const row = this.tokens.get(id);
      if (row === undefined) return null;
      row.revoked_at ??= nowMs;
      this.#revoke({ jti: id, revoked_at: nowMs, expires_at: row.expires_at }, by);
      return row;
    });
  }

  changeTokenOverride(
    token: Pick<TokenRow, "id" | "expires_at">,
    change: Parameters<Store["changeTokenOverride"]>[1],
    nowMs: number,
    by: AuditEntry,
  ): Promise<TokenOverrideRow> {
    return this.#run("changeTokenOverride", () =>
      this.revoked.override(token, change, nowMs, this.#changed("revocations", by)),
    );
  }

  insertRevocation(row: RevocationRow, by: AuditEntry): Promise<void> {
    return this.#run("insertRevocation", () => this.#revoke(row, by));
  }

  insertProjectRevocation(
    row: Parameters<Store["insertProjectRevocation"]>[0],
    by: AuditEntry,
  ): Promise<ProjectRevocationRow> {
    return this.#run("insertProjectRevocation", () => {
      const times = this.#tokensOf(row.project_id).map((token) => token.created_at);
      const issued_before = row.issued_before ?? Math.max(row.revoked_at, ...times);
      return this.revoked.revokeProject(
        { ...row, issued_before },
        this.#changed("revocations", by),
      );
    });
  }

  markRevokedTokens(projectId: string, nowMs: number): Promise<number> {
    return this.#run("markRevokedTokens", () => {
      const { issued_before = -1, revoked_at = null } = this.revoked.projects.get(projectId) ?? {};
      const revoked = this.#tokensOf(projectId).filter(
        (token) =>
          token.created_at <= issued_before &&
          token.expires_at > nowMs &&
          token.revoked_at === null,
      );
      for (const token of revoked) token.revoked_at = revoked_at;
      return revoked.length;
    });
  }

  pageRevocations(query: PageQuery, nowMs: number): Promise<RevocationPage> {
    return this.#run("pageRevocations", () => this.revoked.page(query, nowMs));
  }

  listRevocations(afterRevision: number, nowMs: number): Promise<RevocationChanges> {
    return this.#run("listRevocations", () => {
      const { revocations: revision } = this.revisions;
      return { revision, ...this.revoked.newerThan(afterRevision, nowMs) };
    });
  }

  forgetExpired(nowMs: number): Promise<number> {
    return this.#run("forgetExpired", () => {
      this.spend.forgetExpired(nowMs);
      return this.revoked.forgetExpired(nowMs);
    });
  }

  readRevisions(): Promise<Revisions> {
    return this.#run("readRevisions", () => ({ ...this.revisions, nowMs: this.#clock.nowMs() }));
  }

  watchRevisions(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  listSigningKeys(): Promise<SigningKeyRow[]> {
    return this.#run("listSigningKeys", () => this.signingKeys);
  }

  ensureSigningKey(row: SigningKeyRow): Promise<SigningKeyRow[]> {
    return this.#run("ensureSigningKey", () => {
      if (!this.signingKeys.some((key) => key.algorithm === row.algorithm)) {
        this.signingKeys.push({ ...row });
        this.#raise("signing_keys");
      }
      return this.signingKeys;
    });
  }

  insertSigningKey(row: SigningKeyRow, by: AuditEntry): Promise<void> {
    return this.#run("insertSigningKey", () => {
      this.signingKeys.push({ ...row });
      this.#changed("signing_keys", by);
    });
  }

  deleteSigningKey(kid: string): Promise<void> {
    return this.#run("deleteSigningKey", () => {
      const index = this.signingKeys.findIndex((key) => key.kid === kid);
      if (index === -1) return;
      this.signingKeys.splice(index, 1);
      this.#raise("signing_keys");
    });
  }

  replaceSigningKeyCiphertext(kid: string, from: string, to: string): Promise<boolean> {
    return this.#run("replaceSigningKeyCiphertext", () => {
      const row = this.signingKeys.find((key) => key.kid === kid);
      if (row?.ciphertext !== from) return false;
      row.ciphertext = to;
      return true;
    });
  }

  getPolicy(name: string): Promise<PolicyRow | null> {
    return this.#run("getPolicy", () => this.policies.newest(name));
  }

  getPolicyVersion(name: string, version: number): Promise<PolicyRow | null> {
    return this.#run("getPolicyVersion", () => this.policies.version(name, version));
  }

  listPolicyVersions(name: string, limit: number, before: number | null): Promise<PolicyVersion[]> {
    return this.#run("listPolicyVersions", () => this.policies.list(name, limit, before));
  }

  putPolicy(...put: Parameters<Store["putPolicy"]>): ReturnType<Store["putPolicy"]> {
    return this.#run("putPolicy", () =>
      this.policies.put(put, (by) => void this.#changed("policies", by)),
    );
  }

  lease(nodeId: string, requests: readonly LeaseRequest[]): Promise<Lease[]> {
    return this.#run("lease", () => this.spend.lease(nodeId, requests));
  }

  reportLeases(nodeId: string, report: NodeReport): Promise<void> {
    return this.#run("reportLeases", () => {
      const isNew = this.spend.report(nodeId, report);
      for (const use of isNew ? report.uses : []) {
        const row = this.tokens.get(use.tokenId);
        if (row === undefined) continue;
        row.request_count += use.requests;
        row.cache_hit_count += use.cacheHits;
        row.last_used_at = Math.max(row.last_used_at ?? 0, use.lastUsedAt);
      }
    });
  }

  removeNode(nodeId: string): Promise<void> {
    return this.#run("removeNode", () => this.spend.removeNode(nodeId));
  }

  listSpend(subject: string): ReturnType<Store["listSpend"]> {
    return this.#run("listSpend", () => this.spend.list(subject));
  }

  appendAudit(entries: readonly AuditEntry[]): Promise<void> {
    return this.#run("appendAudit", () => this.#audit.append(entries));
  }

  listAudit(query: AuditQuery): Promise<AuditPage> {
    return this.#run("listAudit", () => this.#audit.list(query));
  }

  checkAudit(progress: AuditProgress | null): Promise<AuditProgress> {
    return this.#run("checkAudit", () => this.#audit.check(progress));
  }

  insertUsage(events: readonly UsageEvent[]): Promise<string[]> {
    return this.#run("insertUsage", () => this.#usage.insert(events));
  }

  findPendingUsage(provider: string, responseId: string): Promise<UsageEvent | null> {
    return this.#run("findPendingUsage", () => this.#usage.findPending(provider, responseId));
  }

  completeUsage(event: UsageEvent): Promise<boolean> {
    return this.#run("completeUsage", () => this.#usage.complete(event));
  }

  listUsage(query: UsageQuery): Promise<UsagePage> {
    return this.#run("listUsage", () => this.#usage.list(query));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #run<T>(method: string, work: () => T): Promise<T> {
    this.calls.push(method);
    await Promise.resolve();
    if (this.failWith !== null) throw this.failWith;
    return structuredClone(work());
  }

  #named(name: string): ProjectRow | undefined {
    return [...this.projects.values()].find((row) => row.name === name);
  }

  #tokensOf(projectId: string): TokenRow[] {
    return [...this.tokens.values()].filter((row) => row.project_id === projectId);
  }

  #revoke(row: RevocationRow, by: AuditEntry): void {
    this.revoked.revoke(row, this.#changed("revocations", by));
  }

  #changed(what: keyof MemoryStore["revisions"], by: AuditEntry): number {
    this.#audit.append([by]);
    return this.#raise(what);
  }

  #raise(what: keyof MemoryStore["revisions"]): number {
    if (!this.losesNotifications) {
      for (const listener of this.#listeners) queueMicrotask(listener);
    }
    return ++this.revisions[what];
  }
}
