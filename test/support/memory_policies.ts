/** The policies of a store, in memory; see `memory_store.ts`. */

import type { AuditEntry, PolicyRow, PolicyVersion, Store } from "../../src/store/store.ts";

export class MemoryPolicies {
  /** Every version by name, oldest first. */
  readonly rows = new Map<string, PolicyRow[]>();

  newest(name: string): PolicyRow | null {
    return this.rows.get(name)?.at(-1) ?? null;
  }

  version(name: string, version: number): PolicyRow | null {
    return this.rows.get(name)?.find((row) => row.version === version) ?? null;
  }

  list(name: string, limit: number, before: number | null): PolicyVersion[] {
    return (this.rows.get(name) ?? [])
      .filter(({ version }) => before === null || version < before)
      .map(({ document, ...row }) => ({ ...row, is_reset: document === null }))
      .toReversed()
      .slice(0, limit);
  }

  /** @param changed told of the entry of the audit */
  put(
    [name, document, expectedVersion, nowMs, by]: Parameters<Store["putPolicy"]>,
    changed: (by: AuditEntry) => void,
  ): { version: number } | "stale" {
    const newest = this.newest(name);
    const current = newest?.version ?? 0;
    if (expectedVersion !== null && expectedVersion !== current) return "stale";
    if (document === null && (newest?.document ?? null) === null) return { version: current };
    const version = current + 1;
    const row = { version, document, created_at: nowMs, actor: by.actor };
    this.rows.set(name, [...(this.rows.get(name) ?? []), row]);
    changed({ ...by, details: { ...by.details, version } });
    return { version };
  }
}
