/**
 * The store's contract in memory, for tests of what stands on it. Reveals callers that change a row
 * they were handed (rows are copied both ways), and writes that go on after a failure (`failWith`).
 */

import type { UsageEvent } from "../../src/exchange.ts";
import type {
  CredentialRow,
  ProjectRow,
  RevocationRow,
  SigningKeyRow,
  Store,
  TokenRow,
  UsagePage,
  UsageQuery,
} from "../../src/store/store.ts";

const EPOCH_MS = 1_795_000_000_000;

export class MemoryStore implements Store {
  readonly projects = new Map<string, ProjectRow>();
  readonly credentials = new Map<string, CredentialRow>();
  readonly tokens = new Map<string, TokenRow>();
  readonly revocations = new Map<string, RevocationRow>();
  readonly signingKeys: SigningKeyRow[] = [];
  readonly usage = new Map<string, UsageEvent>();
  /** Set to have every call fail with it. */
  failWith: Error | null = null;
  /** Calls made so far, by method. */
  readonly calls: string[] = [];

  constructor() {
    this.projects.set("default", {
      id: "default",
      name: "default",
      is_active: true,
      created_at: EPOCH_MS,
      updated_at: EPOCH_MS,
      deactivated_at: null,
    });
  }

  listProjects(): Promise<ProjectRow[]> {
    return this.#run("listProjects", () => [...this.projects.values()]);
  }

  insertProject(row: ProjectRow): Promise<boolean> {
    return this.#run("insertProject", () => {
      if (this.projects.has(row.id) || this.#named(row.name) !== undefined) return false;
      this.projects.set(row.id, { ...row });
      return true;
    });
  }

  updateProject(
    id: string,
    change: { name?: string; is_active?: boolean },
    nowMs: number,
  ): Promise<ProjectRow | null> {
    return this.#run("updateProject", () => {
      const row = this.projects.get(id);
      if (row === undefined) return null;
      Object.assign(row, change, { updated_at: nowMs });
      if (row.is_active) row.deactivated_at = null;
      else row.deactivated_at ??= nowMs;
      return row;
    });
  }

  deleteProject(id: string): Promise<"deleted" | "not_found" | "in_use"> {
    return this.#run("deleteProject", () => {
      if (!this.projects.has(id)) return "not_found";
      if ([...this.usage.values()].some((event) => event.project_id === id)) return "in_use";
      this.projects.delete(id);
      for (const row of [...this.credentials.values()]) {
        if (row.project_id === id) this.credentials.delete(row.id);
      }
      for (const row of [...this.tokens.values()]) {
        if (row.project_id === id) this.tokens.delete(row.id);
      }
      return "deleted";
    });
  }

  listCredentials(): Promise<CredentialRow[]> {
    return this.#run("listCredentials", () => [...this.credentials.values()]);
  }

  putCredential(row: CredentialRow): Promise<void> {
    return this.#run("putCredential", () => {
      for (const known of [...this.credentials.values()]) {
        if (known.project_id === row.project_id && known.provider === row.provider) {
          this.credentials.delete(known.id);
        }
      }
      this.credentials.set(row.id, { ...row });
    });
  }

  deleteCredential(id: string): Promise<boolean> {
    return this.#run("deleteCredential", () => this.credentials.delete(id));
  }

  listTokens(projectId?: string): Promise<TokenRow[]> {
    return this.#run("listTokens", () =>
      [...this.tokens.values()].filter(
        (row) => projectId === undefined || row.project_id === projectId,
      ),
    );
  }

  getToken(id: string): Promise<TokenRow | null> {
    return this.#run("getToken", () => this.tokens.get(id) ?? null);
  }

  insertToken(row: TokenRow): Promise<void> {
    return this.#run("insertToken", () => void this.tokens.set(row.id, { ...row }));
  }

  updateToken(id: string, change: { label: string | null }): Promise<TokenRow | null> {
    return this.#run("updateToken", () => {
      const row = this.tokens.get(id);
      return row === undefined ? null : Object.assign(row, change);
    });
  }

  revokeToken(id: string, nowMs: number): Promise<TokenRow | null> {
    return this.#run("revokeToken", () => this.#revoke(id, nowMs));
  }

  revokeTokensOfProject(projectId: string, nowMs: number): Promise<TokenRow[]> {
    return this.#run("revokeTokensOfProject", () => {
      const rows = [...this.tokens.values()].filter((row) => row.project_id === projectId);
      return rows.flatMap((row) => this.#revoke(row.id, nowMs) ?? []);
    });
  }

  listRevocations(nowMs: number): Promise<RevocationRow[]> {
    return this.#run("listRevocations", () =>
      [...this.revocations.values()].filter((row) => row.expires_at > nowMs),
    );
  }

  insertRevocation(row: RevocationRow): Promise<void> {
    return this.#run("insertRevocation", () => {
      if (!this.revocations.has(row.jti)) this.revocations.set(row.jti, { ...row });
    });
  }

  listSigningKeys(): Promise<SigningKeyRow[]> {
    return this.#run("listSigningKeys", () => this.signingKeys);
  }

  ensureSigningKey(row: SigningKeyRow): Promise<SigningKeyRow[]> {
    return this.#run("ensureSigningKey", () => {
      if (this.signingKeys.length === 0) this.signingKeys.push({ ...row });
      return this.signingKeys;
    });
  }

  insertUsage(events: readonly UsageEvent[]): Promise<string[]> {
    return this.#run("insertUsage", () => {
      const fresh = events.filter((event) => !this.usage.has(event.event_id));
      for (const event of fresh) this.usage.set(event.event_id, { ...event });
      return fresh.map((event) => event.event_id);
    });
  }

  findPendingUsage(provider: string, responseId: string): Promise<UsageEvent | null> {
    return this.#run("findPendingUsage", () => {
      const isIt = (event: UsageEvent) =>
        event.status === "pending" &&
        event.provider === provider &&
        event.response_id === responseId;
      return [...this.usage.values()].find(isIt) ?? null;
    });
  }

  completeUsage(event: UsageEvent): Promise<boolean> {
    return this.#run("completeUsage", () => {
      if (this.usage.get(event.event_id)?.status !== "pending") return false;
      this.usage.set(event.event_id, { ...event });
      return true;
    });
  }

  listUsage(query: UsageQuery): Promise<UsagePage> {
    return this.#run("listUsage", () => {
      const rows = [...this.usage.values()]
        .filter((event) => matches(event, query))
        .sort((left, right) => right.recorded_at - left.recorded_at);
      const start = query.cursor === undefined ? 0 : Number(query.cursor);
      const end = start + query.limit;
      return {
        events: rows.slice(start, end),
        nextCursor: end < rows.length ? String(end) : null,
      };
    });
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

  #revoke(id: string, nowMs: number): TokenRow | null {
    const row = this.tokens.get(id);
    if (row === undefined) return null;
    row.revoked_at ??= nowMs;
    this.revocations.set(id, {
      jti: id,
      revoked_at: row.revoked_at,
      expires_at: row.expires_at,
    });
    return row;
  }
}

function matches(event: UsageEvent, query: UsageQuery): boolean {
  if (query.projectId !== undefined && event.project_id !== query.projectId) return false;
  if (query.tokenId !== undefined && event.token_id !== query.tokenId) return false;
  if (query.sessionId !== undefined && event.session_id !== query.sessionId) return false;
  if (query.sinceMs !== undefined && event.recorded_at < query.sinceMs) return false;
  return query.untilMs === undefined || event.recorded_at < query.untilMs;
}
