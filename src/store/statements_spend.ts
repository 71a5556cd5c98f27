/**
 * The statements of sums, leases and nodes.
 *
 * Owns, does not own and invariant: as `statements.ts`. `nowMs` is the database's expression of the
 * time.
 */

/** What a node holds now is not held any more once the node was not heard of for this long. */
const NODE_DEAD_MS = 30_000;
/** Until then a node may come back and repeat its last report. */
const NODE_KEPT_MS = 86_400_000;

/** With when nothing is held against the sum any more. */
export const ADD_SPEND = `INSERT INTO spend (subject, quantity, period, used, expires_at)
  VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (subject, quantity, period) DO UPDATE SET used = spend.used + excluded.used`;
export const LIST_SPEND =
  "SELECT quantity, period, used FROM spend WHERE subject = $1 ORDER BY quantity, period";

/**
 * What is used in each period, and as the period `held` what nodes other than the asking one hold.
 * One statement: an amount that moves from one to the other is seen in one of them.
 */
export function readSpend(nowMs: string): string {
  return `WITH asked (node_id, subject, quantity, period) AS (VALUES ($1, $2, $3, $4))
    SELECT spend.subject, spend.quantity, spend.period, spend.used FROM asked JOIN spend
    ON spend.subject = asked.subject AND spend.quantity = asked.quantity
    UNION ALL
    SELECT leases.subject, leases.quantity, 'held', CAST(SUM(leases.held) AS BIGINT)
    FROM asked JOIN leases ON leases.subject = asked.subject AND leases.quantity = asked.quantity
    AND leases.period = asked.period AND leases.node_id <> asked.node_id
    JOIN nodes ON nodes.node_id = leases.node_id
    WHERE leases.period <> 'now' OR nodes.seen_at > ${nowMs} - ${NODE_DEAD_MS}
    GROUP BY leases.subject, leases.quantity`;
}

export const SET_LEASE = `INSERT INTO leases (node_id, subject, quantity, period, held)
  VALUES ($1, $2, $3, $4, $5) ON CONFLICT (node_id, subject, quantity)
  DO UPDATE SET period = excluded.period, held = excluded.held`;
export const DELETE_EMPTY_LEASES = "DELETE FROM leases WHERE node_id = $1 AND held = 0";
export const DELETE_LEASES_OF_NODE = "DELETE FROM leases WHERE node_id = $1";
/** What was used in this minute was used, also by a node that is gone. */
export const DELETE_LEASES_OF_NOW = "DELETE FROM leases WHERE node_id = $1 AND period = 'now'";

/** Locks the row: whoever changes the leases of a node does this first. */
export function noteNode(nowMs: string): string {
  return `INSERT INTO nodes (node_id, seen_at) VALUES ($1, ${nowMs})
    ON CONFLICT (node_id) DO UPDATE SET seen_at = excluded.seen_at`;
}

/** Returns a row unless it is the report that was taken last. */
export const TAKE_REPORT =
  "UPDATE nodes SET report = $1 WHERE node_id = $2 AND report <> $1 RETURNING node_id";

export function deleteGoneNodes(nowMs: string): string {
  return `DELETE FROM nodes WHERE seen_at <= ${nowMs} - ${NODE_KEPT_MS} RETURNING node_id`;
}
