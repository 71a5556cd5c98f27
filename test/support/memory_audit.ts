/** The audit of a store, in memory; see `memory_store.ts`. */

import type { Clock } from "../../src/runtime/clock.ts";
import { AuditCheck, auditHash, auditRecord, NO_HASH } from "../../src/store/audit_chain.ts";
import type {
  AuditEntry,
  AuditPage,
  AuditQuery,
  AuditRow,
  AuditVerification,
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
    const rows = this.rows.filter((row) => isAskedFor(row, query)).toReversed();
    const start = query.cursor === undefined ? 0 : Number(query.cursor);
    const end = start + query.limit;
    return {
      entries: rows.slice(start, end),
      nextCursor: end < rows.length ? String(end) : null,
    };
  }

  verify(): AuditVerification {
    const check = new AuditCheck(this.rows.length);
    for (const { hash, details, ...row } of this.rows) {
      check.add({ ...row, details: JSON.stringify(details) }, hash);
    }
    return check.end();
  }
}

function isAskedFor(row: AuditRow, query: AuditQuery): boolean {
  if (query.actor !== undefined && row.actor !== query.actor) return false;
  if (query.action !== undefined && row.action !== query.action) return false;
  if (query.subject !== undefined && row.subject !== query.subject) return false;
  if (query.sinceMs !== undefined && row.recorded_at < query.sinceMs) return false;
  return query.untilMs === undefined || row.recorded_at < query.untilMs;
}
