/**
 * What was taken from tokens before they expired: tokens revoked one by one or by project, and
 * overrides, which narrow what a token says.
 *
 * Owns: the lists in memory and who hears of changes. Does not own: the record, which is the
 * store's.
 * Invariant: an entry stays as long as a token that it is about could verify, and no longer: the
 * lists are bounded by what was revoked within one lifetime.
 */

import type { Principal } from "../exchange.ts";
import type { Clock } from "../runtime/clock.ts";
import type {
  ProjectRevocationRow,
  RevocationChanges,
  RevocationRow,
  Store,
  TokenOverrideRow,
} from "../store/store.ts";
import { Suspended } from "./suspended.ts";

/** How often the lists are searched for expired entries, at most. */
const SWEEP_INTERVAL_MS = 60_000;

/** A principal or a live exchange, as far as revocation is concerned. */
type Bearer = Pick<Principal, "tokenId" | "projectId" | "issuedAtMs">;

/** Hears that something was revoked, with what tells whom that is about. */
type RevocationListener = (matches: (bearer: Bearer) => boolean) => void;

interface RevocationsOptions {
  readonly clock: Clock;
  /** What verification forgives after `exp`; entries outlive their token by it. */
  readonly leewayMs: number;
  /** Told how long ago it happened when something that another node revoked is in force here. */
  readonly reportLag: (lagMs: number) => void;
}

export class Revocations {
  readonly #options: RevocationsOptions;
  /** `jti` → when its token expires. */
  readonly #tokens = new Map<string, number>();
  readonly #projects = new Map<string, Omit<ProjectRevocationRow, "project_id">>();
  readonly #overrides = new Map<string, TokenOverrideRow>();
  /** By `jti`. */
  readonly #suspended = new Suspended();
  readonly #listeners: RevocationListener[] = [];
  /** Up to which the store was read; 0: never. */
  #revision = 0;
  #sweptAtMs: number;

  constructor(options: RevocationsOptions) {
    this.#options = options;
    this.#sweptAtMs = options.clock.nowMs();
  }

  /** Entries of every kind. */
  get size(): number {
    return this.#tokens.size + this.#projects.size + this.#overrides.size;
  }

  /** Whether a token was revoked or deactivated. Never true of who was issued no token. */
  isRevoked({ tokenId, projectId, issuedAtMs }: Bearer): boolean {
    if (issuedAtMs === null) return false;
    if (tokenId !== null) {
      if (this.#tokens.has(tokenId) || this.#suspended.has(tokenId)) return true;
      if (this.#overrides.get(tokenId)?.is_active === false) return true;
    }
    const issuedBeforeMs = this.issuedBefore(projectId);
    return issuedBeforeMs !== null && issuedAtMs <= issuedBeforeMs;
  }

  /** What was changed of a token after it was signed, or null. */
  overrideOf(jti: string): TokenOverrideRow | null {
    return this.#overrides.get(jti) ?? null;
  }

  /**
   * Tokens of the project that were issued up to then are revoked, in milliseconds since the epoch;
   * null: none.
   */
  issuedBefore(projectId: string): number | null {
    return this.#projects.get(projectId)?.issued_before ?? null;
  }

  /** Calls `listener` once for each batch that revokes what was not revoked before. */
  onRevoked(listener: RevocationListener): void {
    this.#listeners.push(listener);
  }

  /** Reads what the store has had since the last time. Entries that are here already stay. */
  async load(source: Pick<Store, "listRevocations">): Promise<void> {
    const changes = await this.#read(source, this.#revision);
    // It goes back only in a database that was restored.
    if (changes.revision < this.#revision) return this.reload(source);
    this.#loaded(changes);
  }

  /** Reads everything that the store has. Entries that are here already stay. */
  async reload(source: Pick<Store, "listRevocations">): Promise<void> {
    this.#loaded(await this.#read(source, 0));
  }

  /** Revokes tokens. What is revoked already is told to nobody again. */
  revoke(rows: readonly Pick<RevocationRow, "jti" | "expires_at">[]): void {
    this.#tell(rows.map((row) => this.#addToken(row)).some(Boolean));
  }

  /** Revokes the tokens of a project that were issued up to a time; the latest time known holds. */
  revokeProject(row: ProjectRevocationRow): void {
    this.#tell(this.#addProject(row));
  }

  /**
   * Deactivates a token ahead of the store; no reload undoes it.
   * @returns what says that the store has it, to be called once
   */
  suspend(jti: string, expiresAtMs: number): () => void {
    const isNew = !this.#suspended.has(jti);
    const release = this.#suspended.hold(jti);
    this.#tell(isNew);
    return () => {
      const stored = this.overrideOf(jti) ?? { jti, limits: {}, changed_at: 0 };
      this.#addOverride({ expires_at: expiresAtMs, ...stored, is_active: false });
      release();
    };
  }

  /** Puts an override in the place of the one that the token has. */
  override(row: TokenOverrideRow): void {
    this.#tell(this.#addOverride(row));
  }

  #read(source: Pick<Store, "listRevocations">, after: number): Promise<RevocationChanges> {
    const { clock, leewayMs } = this.#options;
    return source.listRevocations(after, clock.nowMs() - leewayMs);
  }

  #loaded({ revision, tokens, projects, overrides }: RevocationChanges): void {
    const known = this.#overrides;
    const news = [
      ...tokens.filter((row) => !this.#tokens.has(row.jti)).map((row) => row.revoked_at),
      ...projects.filter((row) => this.#isLater(row)).map((row) => row.revoked_at),
      ...overrides
        .filter((row) => known.get(row.jti)?.changed_at !== row.changed_at)
        .map((row) => row.changed_at),
    ];
    const added = [
      ...tokens.map((row) => this.#addToken(row)),
      ...projects.map((row) => this.#addProject(row)),
      ...overrides.map((row) => this.#addOverride(row)),
    ];
    const isFirst = this.#revision === 0;
    this.#revision = revision;
    this.#tell(added.some(Boolean));
    if (!isFirst) for (const atMs of news) this.#reportLag(atMs);
  }

  #reportLag(sinceMs: number): void {
    this.#options.reportLag(Math.max(0, this.#options.clock.nowMs() - sinceMs));
  }

  /** @returns whether it revokes something that was not revoked, as the two below do */
  #addToken({ jti, expires_at }: Pick<RevocationRow, "jti" | "expires_at">): boolean {
    const knownMs = this.#tokens.get(jti);
    this.#tokens.set(jti, Math.max(knownMs ?? 0, expires_at));
    return knownMs === undefined;
  }

  #addProject(row: ProjectRevocationRow): boolean {
    const known = this.#projects.get(row.project_id);
    const isLater = this.#isLater(row);
    this.#projects.set(row.project_id, {
      issued_before: Math.max(known?.issued_before ?? 0, row.issued_before),
      revoked_at: row.revoked_at,
      expires_at: Math.max(known?.expires_at ?? 0, row.expires_at),
    });
    return isLater;
  }

  #isLater({ project_id, issued_before }: ProjectRevocationRow): boolean {
    return issued_before > (this.issuedBefore(project_id) ?? -1);
  }

  #addOverride(row: TokenOverrideRow): boolean {
    const known = this.#overrides.get(row.jti);
    // Two answers of the store may come in another order than they were given.
    if (known !== undefined && known.changed_at > row.changed_at) return false;
    const wasActive = known?.is_active !== false;
    this.#overrides.set(row.jti, row);
    return wasActive && !row.is_active;
  }

  #tell(isNew: boolean): void {
    this.#sweep();
    if (!isNew) return;
    for (const listener of this.#listeners) listener((bearer) => this.isRevoked(bearer));
  }

  #sweep(): void {
    const { clock, leewayMs } = this.#options;
    const nowMs = clock.nowMs();
    if (nowMs - this.#sweptAtMs < SWEEP_INTERVAL_MS) return;
    this.#sweptAtMs = nowMs;
    const isOver = (expiresAtMs: number) => expiresAtMs + leewayMs <= nowMs;
    for (const [jti, expiresAtMs] of this.#tokens)
      if (isOver(expiresAtMs)) this.#tokens.delete(jti);
    for (const [id, row] of this.#projects) if (isOver(row.expires_at)) this.#projects.delete(id);
    for (const [jti, row] of this.#overrides)
      if (isOver(row.expires_at)) this.#overrides.delete(jti);
  }
}
