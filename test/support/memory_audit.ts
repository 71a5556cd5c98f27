/** The audit of a store, in memory; see `memory_store.ts`. */

import type { Clock } from "../../src/runtime/clock.ts";
import {
  AuditCheck,
  auditHash,
  auditRecord,
  beginning,
  NO_HASH,
} from "../../src/store/audit_chain.ts";
import { cutPage, decodeCursor } from "../../src/store/cursor.ts";
import type {
  AuditEntry,
  AuditPage,
  AuditProgress,
  AuditQuery,
  AuditRow,
} from "../../src/store/store.ts";

export class MemoryAudit {
  readonly rows: AuditRow[] = [];
  readonly #clock: Pick<Clock, "nowMs">;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
  }

  append(entries: readonly AuditEntry[]): void {
    for (const entry of entries) {
      const place = { recorded_at: this.#clock.nowMs(), node_id: "node_1" };
      const record = auditRecord(entry, { ...place, sequence: this.rows.length + 1 });
      const hash = auditHash(this.rows.at(-1)?.hash ?? NO_HASH, record);
      this.rows.push({ ...record, details: { ...entry.details }, hash });
    }
  }

  list(query: AuditQuery): AuditPage {
    const { cursor, limit } = query;
    const before = cursor === undefined ? Infinity : decodeCursor(cursor, ([at]) => Number(at));
    const rows = this.rows.filter((row) => row.sequence < before && isAskedFor(row, query));
    return cutPage(
      rows.toReversed(),
      limit,
      (row) => row,
      ({ sequence }) => [sequence],
    );
  }

  /** One entry at a time, so that others get in between. */
  check(progress: AuditProgress | null): AuditProgress {
    const check = new AuditCheck(progress ?? beginning(this.rows.length));
    const next = this.rows[check.last];
    if (next === undefined || check.last === check.expected) return check.end();
    const { hash, details, ...row } = next;
    check.add({ ...row, details: JSON.stringify(details) }, hash);
    return check.progress;
  }
}

function isAskedFor(row: AuditRow, query: AuditQuery): boolean {
  if (query.actor !== undefined && row.actor !== query.actor) return false;
  if (query.action !== undefined && row.action !== query.action) return false;
  if (query.hash !== undefined && row.hash !== query.hash) return false;
  if (query.subject !== undefined && row.subject !== query.subject) return false;
  if (query.sinceMs !== undefined && row.recorded_at < query.sinceMs) return false;
  return query.untilMs === undefined || row.recorded_at < query.untilMs;
}
