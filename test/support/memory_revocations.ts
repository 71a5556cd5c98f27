/** The revocations and overrides of a store, in memory; see `memory_store.ts`. */

import { changeLimits } from "../../src/config/limits.ts";
import { cutPage, decodeCursor } from "../../src/store/cursor.ts";
import type {
  PageQuery,
  ProjectRevocationRow,
  RevocationChanges,
  RevocationPage,
  RevocationRow,
  Store,
  TokenOverrideRow,
  TokenPage,
  TokenQuery,
  TokenRow,
} from "../../src/store/store.ts";

type Revised<T> = T & { revision: number };

export class MemoryRevocations {
  readonly tokens = new Map<string, Revised<RevocationRow>>();
  readonly projects = new Map<string, Revised<ProjectRevocationRow>>();
  readonly overrides = new Map<string, Revised<TokenOverrideRow>>();

  override(
    { id, expires_at }: Parameters<Store["changeTokenOverride"]>[0],
    { is_active, limits }: Parameters<Store["changeTokenOverride"]>[1],
    nowMs: number,
    revision: number,
  ): TokenOverrideRow {
    const former = this.overrides.get(id);
    const row = {
      jti: id,
      is_active: is_active ?? former?.is_active ?? true,
      limits: changeLimits(former?.limits ?? {}, limits ?? {}),
      changed_at: Math.max(nowMs, (former?.changed_at ?? 0) + 1),
      expires_at,
    };
    this.overrides.set(id, { ...row, revision });
    return row;
  }

  revoke(row: RevocationRow, revision: number): void {
    const known = this.tokens.get(row.jti);
    const expires_at = Math.max(row.expires_at, known?.expires_at ?? 0);
    this.tokens.set(row.jti, { ...row, ...known, expires_at, revision });
  }

  /** @returns the revocation as it holds */
  revokeProject(row: ProjectRevocationRow, revision: number): ProjectRevocationRow {
    const known = this.projects.get(row.project_id);
    const issued_before = Math.max(row.issued_before, known?.issued_before ?? 0);
    const expires_at = Math.max(row.expires_at, known?.expires_at ?? 0);
    const held = { ...row, issued_before, expires_at };
    this.projects.set(row.project_id, { ...held, revision });
    return held;
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

  page({ limit, cursor }: PageQuery, nowMs: number): RevocationPage {
    const after = cursor === undefined ? null : decodeCursor(cursor, positionIn);
    const rows = [...this.tokens.values(), ...this.projects.values()]
      .filter((row) => row.expires_at > nowMs)
      .filter((row) => after === null || newestFirst(after, positionOf(row)) < 0)
      .toSorted((left, right) => newestFirst(positionOf(left), positionOf(right)));
    const read = (row: (typeof rows)[number]) => ("jti" in row ? plain(row) : plain(row));
    const { entries, nextCursor } = cutPage(rows, limit, read, positionOf);
    return { revocations: entries, nextCursor };
  }

  /** @returns how many */
  forgetExpired(nowMs: number): number {
    let forgotten = 0;
    for (const rows of [this.tokens, this.projects, this.overrides]) {
      for (const [id, row] of [...rows]) {
        if (row.expires_at <= nowMs && rows.delete(id)) forgotten += 1;
      }
    }
    return forgotten;
  }
}

type Position = [timeMs: number, id: string];

function positionIn([timeMs, id]: unknown[]): Position {
  return [Number(timeMs), String(id)];
}

function positionOf(row: RevocationRow | ProjectRevocationRow): Position {
  return [row.revoked_at, "jti" in row ? `token:${row.jti}` : `project:${row.project_id}`];
}

/** Below 0: `left` comes first. */
function newestFirst(left: Position, right: Position): number {
  return right[0] - left[0] || Number(right[1] > left[1]) - Number(right[1] < left[1]);
}

function plain<T extends { revision: number }>({ revision: _, ...row }: T): Omit<T, "revision"> {
  return row;
}

/** A page of tokens, newest first. */
export function pageOfTokens(
  tokens: readonly TokenRow[],
  { projectId, limit, cursor }: TokenQuery,
): TokenPage {
  const after = cursor === undefined ? null : decodeCursor(cursor, positionIn);
  const position = (row: TokenRow): Position => [row.created_at, row.id];
  const rows = tokens
    .filter((row) => projectId === undefined || row.project_id === projectId)
    .filter((row) => after === null || newestFirst(after, position(row)) < 0)
    .toSorted((left, right) => newestFirst(position(left), position(right)));
  const page = cutPage(rows, limit, (row) => row, position);
  return { tokens: page.entries, nextCursor: page.nextCursor };
}
