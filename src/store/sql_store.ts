/**
 * The store over a SQL database, whichever it is.
 *
 * Owns: which statements make up each operation; those of revocations, sums, usage and the audit
 * are in files of their own (`sql_*.ts`). Does not own: the statements (`statements*.ts`), the
 * connection (a `SqlDriver`), the schema (`migrate.ts`), and how a node hears of other nodes'
 * changes, which each database does in its own way.
 * Invariant: every method is one transaction; an operation of several statements says so.
 */

import { changeLimits } from "../config/limits.ts";
import { GatewayError } from "../errors.ts";
import type { UsageEvent } from "../exchange.ts";
import * as rows from "./rows.ts";
import * as audit from "./sql_audit.ts";
import { type Change, runChange, type StoreOrigin } from "./sql_change.ts";
import type { SqlDriver, SqlQueries } from "./sql_driver.ts";
import * as pages from "./sql_pages.ts";
import * as policies from "./sql_policies.ts";
import * as revocations from "./sql_revocations.ts";
import * as spend from "./sql_spend.ts";
import * as usage from "./sql_usage.ts";
import * as sql from "./statements.ts";
import { LIST_SPEND } from "./statements_spend.ts";
import type { Lease, LeaseRequest, NodeReport } from "./leases.ts";
import type {
  AuditEntry,
  AuditPage,
  AuditProgress,
  AuditQuery,
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
} from "./store.ts";

/** A store without an ear for other nodes. */
export type SilentStore = Omit<Store, "watchRevisions">;

export class SqlStore implements SilentStore {
  readonly #driver: SqlDriver;
  readonly #origin: StoreOrigin;

  /** Takes a database whose schema is this version's. */
  constructor(driver: SqlDriver, origin: StoreOrigin) {
    this.#driver = driver;
    this.#origin = origin;
  }

  async listProjects(): Promise<ProjectRow[]> {
    return (await this.#driver.query(sql.LIST_PROJECTS)).map(rows.projectRow);
  }

  insertProject(row: ProjectRow, by: AuditEntry, credential?: NewCredential): Promise<boolean> {
    return this.#change(async (change) => {
      const parameters = rows.projectParameters(row);
      const inserted = await change.queries.query(sql.INSERT_PROJECT, parameters);
      if (inserted.length === 0) return false;
      await change.complete("directory", by);
      if (credential !== undefined) {
        await insertCredential(change, credential.row);
        await change.record(credential.by);
      }
      return true;
    });
  }

  updateProject(
    id: string,
    { name, is_active, limits, ...lists }: ProjectChange,
    nowMs: number,
    by: AuditEntry,
  ): Promise<ProjectRow | null> {
    return this.#change(async (change) => {
      const { queries } = change;
      const found = rows.first(await queries.query(sql.GET_PROJECT, [id]), rows.projectRow);
      if (found === null) return null;
      const isActive = is_active ?? found.is_active;
      await refuseTakenName(queries, name ?? found.name, id);
      await change.complete("directory", by);
      const updated = await queries.query(sql.UPDATE_PROJECT, [
        name ?? found.name,
        Number(isActive),
        nowMs,
        isActive ? null : (found.deactivated_at ?? nowMs),
        ...rows.restrictionParameters({
          ...found,
          ...lists,
          limits: changeLimits(found.limits, limits ?? {}),
        }),
        id,
      ]);
      return rows.first(updated, rows.projectRow);
    });
  }

  deleteProject(id: string, by: AuditEntry): Promise<"deleted" | "not_found" | "in_use"> {
    return this.#change(async (change) => {
      const { queries } = change;
      if ((await queries.query(sql.GET_PROJECT, [id])).length === 0) return "not_found";
      if ((await queries.query(sql.HAS_USAGE, [id])).length > 0) return "in_use";
      await queries.query(sql.DELETE_SPEND_OF_PROJECT, [id]);
      await queries.query(sql.DELETE_CREDENTIALS_OF_PROJECT, [id]);
      await queries.query(sql.DELETE_TOKENS_OF_PROJECT, [id]);
      await queries.query(sql.DELETE_PROJECT, [id]);
      await change.complete("directory", by);
      return "deleted";
    });
  }

  async listCredentials(): Promise<CredentialRow[]> {
    return (await this.#driver.query(sql.LIST_CREDENTIALS)).map(rows.credentialRow);
  }

  putCredential(row: CredentialRow, by: AuditEntry): Promise<void> {
    return this.#change(async (change) => {
      await change.queries.query(sql.FORGET_CREDENTIAL, [row.id, row.project_id, row.provider]);
      await insertCredential(change, row);
      await change.complete("directory", by);
    });
  }

  deleteCredential(id: string, by: AuditEntry): Promise<boolean> {
    return this.#change(async (change) => {
      const deleted = await change.queries.query(sql.DELETE_CREDENTIAL, [id]);
      if (deleted.length === 0) return false;
      await change.complete("directory", by);
      return true;
    });
  }

  replaceCredentialCiphertext(id: string, from: string, to: string): Promise<boolean> {
    return this.#change(async (change) => {
      const replaced = await change.queries.query(sql.REPLACE_CREDENTIAL_CIPHERTEXT, [
        to,
        id,
        from,
      ]);
      if (replaced.length === 0) return false;
      // Nodes keep ciphertexts, and the key of the former one is about to go.
      await change.raise("directory");
      return true;
    });
  }

  listTokens(query: TokenQuery): Promise<TokenPage> {
    return pages.listTokens(this.#driver.views, query);
  }

  async getToken(id: string): Promise<TokenRow | null> {
    return rows.first(await this.#driver.views.query(sql.GET_TOKEN, [id]), rows.tokenRow);
  }

  insertToken(row: TokenRow, by: AuditEntry): Promise<void> {
    return this.#change(async (change) => {
      await change.queries.query(sql.INSERT_TOKEN, rows.tokenParameters(row));
      await change.record(by);
    });
  }

  updateToken(
    id: string,
    { label }: { label: string | null },
    by: AuditEntry,
  ): Promise<TokenRow | null> {
    return this.#change(async (change) => {
      const updated = await change.queries.query(sql.UPDATE_TOKEN, [label, id]);
      if (updated.length > 0) await change.record(by);
      return rows.first(updated, rows.tokenRow);
    });
  }

  revokeToken(id: string, nowMs: number, by: AuditEntry): Promise<TokenRow | null> {
    return this.#change((change) => revocations.revokeToken(change, id, nowMs, by));
  }

  changeTokenOverride(
    token: Pick<TokenRow, "id" | "expires_at">,
    override: Parameters<Store["changeTokenOverride"]>[1],
    nowMs: number,
    by: AuditEntry,
  ): Promise<TokenOverrideRow> {
    return this.#change((change) =>
      revocations.changeTokenOverride(change, { ...override, token, nowMs }, by),
    );
  }

  insertRevocation(row: RevocationRow, by: AuditEntry): Promise<void> {
    return this.#change((change) => revocations.insertRevocation(change, row, by));
  }

  insertProjectRevocation(
    row: Parameters<Store["insertProjectRevocation"]>[0],
    by: AuditEntry,
  ): Promise<ProjectRevocationRow> {
    return this.#change((change) => revocations.insertProjectRevocation(change, row, by));
  }

  markRevokedTokens(projectId: string, nowMs: number): Promise<number> {
    return revocations.markRevokedTokens(this.#driver, projectId, nowMs);
  }

  listRevocations(afterRevision: number, nowMs: number): Promise<RevocationChanges> {
    return revocations.listRevocations(this.#driver, afterRevision, nowMs);
  }

  pageRevocations(query: PageQuery, nowMs: number): Promise<RevocationPage> {
    return pages.pageRevocations(this.#driver.views, query, nowMs);
  }

  forgetExpired(nowMs: number): Promise<number> {
    return this.#driver.transaction("latest", (queries) =>
      revocations.forgetExpired(queries, nowMs),
    );
  }

  async readRevisions(): Promise<Revisions> {
    const found = await this.#driver.query(sql.readRevisions(this.#driver.nowMs));
    const byName = new Map(found.map((row) => [rows.text(row, "name"), row]));
    const revision = (name: string) => rows.number(byName.get(name) ?? {}, "revision");
    return {
      directory: revision("directory"),
      revocations: revision("revocations"),
      signing_keys: revision("signing_keys"),
      policies: revision("policies"),
      nowMs: rows.number(found[0] ?? {}, "now_ms"),
    };
  }

  async listSigningKeys(): Promise<SigningKeyRow[]> {
    return (await this.#driver.query(sql.LIST_SIGNING_KEYS)).map(rows.signingKeyRow);
  }

  ensureSigningKey(row: SigningKeyRow): Promise<SigningKeyRow[]> {
    return this.#change(async (change) => {
      const found = (await change.queries.query(sql.LIST_SIGNING_KEYS)).map(rows.signingKeyRow);
      if (found.some((key) => key.algorithm === row.algorithm)) return found;
      await insertSigningKey(change, row);
      return [...found, row];
    });
  }

  insertSigningKey(row: SigningKeyRow, by: AuditEntry): Promise<void> {
    return this.#change(async (change) => {
      await change.record(by);
      await insertSigningKey(change, row);
    });
  }

  deleteSigningKey(kid: string): Promise<void> {
    return this.#change(async (change) => {
      const deleted = await change.queries.query(sql.DELETE_SIGNING_KEY, [kid]);
      if (deleted.length > 0) await change.raise("signing_keys");
    });
  }

  async replaceSigningKeyCiphertext(kid: string, from: string, to: string): Promise<boolean> {
    // No revision: nodes keep these keys decrypted.
    const parameters = [to, kid, from];
    const found = await this.#driver.query(sql.REPLACE_SIGNING_KEY_CIPHERTEXT, parameters);
    return found.length > 0;
  }

  getPolicy(name: string): Promise<PolicyRow | null> {
    return policies.getPolicy(this.#driver, name);
  }

  getPolicyVersion(name: string, version: number): Promise<PolicyRow | null> {
    return policies.getPolicyVersion(this.#driver.views, name, version);
  }

  listPolicyVersions(name: string, limit: number, before: number | null): Promise<PolicyVersion[]> {
    return policies.listPolicyVersions(this.#driver.views, name, limit, before);
  }

  putPolicy(
    name: string,
    document: string | null,
    expectedVersion: number | null,
    nowMs: number,
    by: AuditEntry,
  ): Promise<{ version: number } | "stale"> {
    const policy = { name, document, expectedVersion, nowMs };
    return this.#change((change) => policies.putPolicy(change, policy, by));
  }

  lease(nodeId: string, requests: readonly LeaseRequest[]): Promise<Lease[]> {
    return spend.lease(this.#driver, nodeId, requests);
  }

  reportLeases(nodeId: string, report: NodeReport): Promise<void> {
    return spend.reportLeases(this.#driver, nodeId, report);
  }

  removeNode(nodeId: string): Promise<void> {
    return spend.removeNode(this.#driver, nodeId);
  }

  async listSpend(subject: string): ReturnType<Store["listSpend"]> {
    return (await this.#driver.views.query(LIST_SPEND, [subject])).map(rows.spendRow);
  }

  appendAudit(entries: readonly AuditEntry[]): Promise<void> {
    return this.#driver.transaction("audit", (queries) =>
      audit.appendAudit(queries, entries, this.#origin),
    );
  }

  listAudit(query: AuditQuery): Promise<AuditPage> {
    return audit.listAudit(this.#driver.views, query);
  }

  checkAudit(progress: AuditProgress | null): Promise<AuditProgress> {
    return audit.checkAudit(this.#driver.views, progress);
  }

  insertUsage(events: readonly UsageEvent[]): Promise<string[]> {
    return usage.insertUsage(this.#driver, events);
  }

  findPendingUsage(provider: string, responseId: string): Promise<UsageEvent | null> {
    return usage.findPendingUsage(this.#driver, provider, responseId);
  }

  completeUsage(event: UsageEvent): Promise<boolean> {
    return usage.completeUsage(this.#driver, event);
  }

  listUsage(query: UsageQuery): Promise<UsagePage> {
    return usage.listUsage(this.#driver.views, query);
  }

  close(): Promise<void> {
    return this.#driver.close();
  }

  #change<T>(run: (change: Change) => Promise<T>): Promise<T> {
    return runChange(this.#driver, this.#origin, run);
  }
}

async function insertCredential({ queries }: Change, row: CredentialRow): Promise<void> {
  await queries.query(sql.INSERT_CREDENTIAL, [
    row.id,
    row.project_id,
    row.provider,
    row.label,
    row.ciphertext,
    row.masked,
    row.created_at,
    row.updated_at,
  ]);
}

async function insertSigningKey(change: Change, row: SigningKeyRow): Promise<void> {
  const { kid, algorithm, public_jwk, ciphertext, created_at } = row;
  const parameters = [kid, algorithm, public_jwk, ciphertext, created_at];
  await change.queries.query(sql.INSERT_SIGNING_KEY, parameters);
  await change.raise("signing_keys");
}

async function refuseTakenName(queries: SqlQueries, name: string, id: string): Promise<void> {
  if ((await queries.query(sql.IS_NAME_TAKEN, [name, id])).length === 0) return;
  const message = `Another project is named ${JSON.stringify(name)}. Choose another name`;
  throw new GatewayError("bad_request", { message, param: "name", status: 409 });
}
