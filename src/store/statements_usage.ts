/**
 * The statements of usage events.
 *
 * Owns, does not own and invariant: as `statements.ts`.
 */

import type { SqlValue } from "../runtime/runtime.ts";
import { USAGE_COLUMN_NAMES } from "./rows.ts";
import { type BoundQuery, Conditions } from "./sql_conditions.ts";
import type { UsageQuery } from "./store.ts";

export const INSERT_USAGE = `INSERT INTO usage_events (${USAGE_COLUMN_NAMES.join(", ")})
  VALUES (${USAGE_COLUMN_NAMES.map((_, index) => `$${index + 1}`).join(", ")})
  ON CONFLICT (event_id) DO NOTHING RETURNING event_id`;
export const FIND_PENDING_USAGE = `SELECT * FROM usage_events
  WHERE response_id = $1 AND provider = $2 AND status = 'pending'
  ORDER BY recorded_at DESC LIMIT 1`;
export const GET_PENDING_USAGE =
  "SELECT * FROM usage_events WHERE event_id = $1 AND status = 'pending'";
/** Its parameters are those of `INSERT_USAGE` with the id moved to the end. */
export const COMPLETE_USAGE = `UPDATE usage_events
  SET ${USAGE_COLUMN_NAMES.slice(1)
    .map((name, index) => `${name} = $${index + 1}`)
    .join(", ")}
  WHERE event_id = $${USAGE_COLUMN_NAMES.length} AND status = 'pending' RETURNING event_id`;

/** Position in the list of usage events: that of the last event already handed out. */
export interface UsagePosition {
  readonly recordedAtMs: number;
  readonly eventId: string;
}

/** The page after `position`, one row longer than asked for, so that its end is seen. */
export function listUsage(query: UsageQuery, position: UsagePosition | null): BoundQuery {
  const conditions = new Conditions();
  conditions.when("project_id =", query.projectId);
  conditions.when("token_id =", query.tokenId);
  conditions.when("session_id =", query.sessionId);
  conditions.when("recorded_at >=", query.sinceMs);
  conditions.when("recorded_at <", query.untilMs);
  if (position !== null) {
    const after: SqlValue[] = [position.recordedAtMs, position.eventId];
    conditions.whenAll("(recorded_at, event_id) <", after);
  }
  return conditions.select("usage_events", "recorded_at DESC, event_id DESC", query.limit + 1);
}
