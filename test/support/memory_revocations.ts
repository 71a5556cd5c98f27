/** The revocations and overrides of a store, in memory; see `memory_store.ts`. */

import type {
  ProjectRevocationRow,
  RevocationChanges,
  RevocationRow,
  TokenOverrideRow,
} from "../../src/store/store.ts";

type Revised<T> = T & { revision: number };

export class MemoryRevocations {
  readonly tokens = new Map<string, Revised<RevocationRow>>();
  readonly projects = new Map<string, Revised<ProjectRevocationRow>>();
  readonly overrides = new Map<string, Revised<TokenOverrideRow>>();

  override(row: TokenOverrideRow, revision: number): void {
    this.overrides.set(row.jti, { ...structuredClone(row), revision });
  }

  overrideOf(jti: string): TokenOverrideRow | null {
    const row = this.overrides.get(jti);
    return row === undefined ? null : plain(row);
  }

  revoke(row: RevocationRow, revision: number): void {
    const known = this.tokens.get(row.jti);
    const expires_at = Math.max(row.expires_at, known?.expires_at ?? 0);
    this.tokens.set(row.jti, { ...row, ...known, expires_at, revision });
  }

  /** @returns the time up to which tokens are revoked now */
  revokeProject(row: ProjectRevocationRow, revision: number): number {
    const known = this.projects.get(row.project_id);
    const issued_before = Math.max(row.issued_before, known?.issued_before ?? 0);
    const expires_at = Math.max(row.expires_at, known?.expires_at ?? 0);
    this.projects.set(row.project_id, { ...row, issued_before, expires_at, revision });
    return issued_before;
  }

  newerThan(afterRevision: number, nowMs: number): Omit<RevocationChanges, "revision"> {
    const isListed = (row: Revised<{ expires_at: number }>) =>
      row.revision > afterRevision && row.expires_at > nowMs;
    return {
      tokens: [...this.tokens.values()].filter(isListed).map(plain),
      projects: [...this.projects.values()].filter(isListed).map(plain),
      overrides: [...this.overrides.values()].filter(isListed).map(plain),
    };
  }

  forgetExpired(nowMs: number): void {
    for (const rows of [this.tokens, this.projects, this.overrides]) {
      for (const [id, row] of [...rows]) if (row.expires_at <= nowMs) rows.delete(id);
    }
  }
}

function plain<T extends { revision: number }>({ revision: _, ...row }: T): Omit<T, "revision"> {
  return row;
}
