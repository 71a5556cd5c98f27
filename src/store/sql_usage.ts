/**
 * Usage events over a SQL database, with what they change of the sums.
 *
 * Owns: the order of their transactions. Does not own: the sums (`sql_spend.ts`).
 * Invariant: rows and sums change together, and only for rows that were really inserted or
 * completed: a replay adds nothing.
 */

import type { UsageEvent } from "../exchange.ts";
import { cutPage, decodeCursor } from "./cursor.ts";
import * as rows from "./rows.ts";
import type { SqlDriver, SqlQueries } from "./sql_driver.ts";
import { costChanges, summed } from "./spend.ts";
import { addSpend } from "./sql_spend.ts";
import * as sql from "./statements_usage.ts";
import type { UsagePage, UsageQuery } from "./store.ts";

/** See `Store.insertUsage`. */
export function insertUsage(driver: SqlDriver, events: readonly UsageEvent[]): Promise<string[]> {
  // The first of several with one id is the one that is inserted. In the order of their ids, so
  // that two nodes with the same rows do not each wait for the other.
  const byId = new Map(events.toReversed().map((event) => [event.event_id, event]));
  const ordered = [...byId.values()].toSorted((left, right) =>
    left.event_id < right.event_id ? -1 : 1,
  );
  return driver.transaction("latest", async (queries) => {
    const inserted = await queries.each(sql.INSERT_USAGE, ordered.map(rows.usageParameters));
    const ids = inserted.map((row) => rows.text(row, "event_id"));
    const fresh = ids.flatMap((id) => byId.get(id) ?? []);
    await addSpend(queries, summed(costChanges(fresh)));
    return ids;
  });
}

/** See `Store.completeUsage`. */
export function completeUsage(driver: SqlDriver, event: UsageEvent): Promise<boolean> {
  return driver.transaction("latest", async (queries) => {
    const found = await queries.query(sql.GET_PENDING_USAGE, [event.event_id]);
    const pending = rows.first(found, rows.usageEvent);
    const [id = null, ...values] = rows.usageParameters(event);
    const completed = await queries.query(sql.COMPLETE_USAGE, [...values, id]);
    if (pending === null || completed.length === 0) return false;
    await addSpend(queries, summed([...costChanges([pending], -1), ...costChanges([event])]));
    return true;
  });
}

/** See `Store.findPendingUsage`. */
export async function findPendingUsage(
  queries: SqlQueries,
  provider: string,
  responseId: string,
): Promise<UsageEvent | null> {
  const found = await queries.query(sql.FIND_PENDING_USAGE, [responseId, provider]);
  return rows.first(found, rows.usageEvent);
}

/** See `Store.listUsage`. @throws GatewayError `bad_request` when the cursor is not one of ours */
export async function listUsage(
  queries: Pick<SqlQueries, "query">,
  query: UsageQuery,
): Promise<UsagePage> {
  const position = query.cursor === undefined ? null : decodeCursor(query.cursor, readPosition);
  const statement = sql.listUsage(query, position);
  const found = await queries.query(statement.sql, statement.parameters);
  const { entries: events, nextCursor } = cutPage(
    found,
    query.limit,
    rows.usageEvent,
    ({ recorded_at, event_id }) => [recorded_at, event_id],
  );
  return { events, nextCursor };
}

function readPosition([recordedAtMs, eventId]: unknown[]): sql.UsagePosition | null {
  if (typeof recordedAtMs !== "number" || typeof eventId !== "string") return null;
  return { recordedAtMs, eventId };
}
