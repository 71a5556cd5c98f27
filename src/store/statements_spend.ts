/**
 * The statements of sums, leases and nodes.
 *
 * Owns, does not own and invariant: as `statements.ts`. `nowMs` is the database's expression of the
 * time.
 */

/** A node that was not heard of for this long is dead, and its leases are void. */
const NODE_DEAD_MS = 30_000;

/** With when nothing is held against the sum any more. */
export const ADD_SPEND = `INSERT INTO spend (subject, quantity, period, used, expires_at)
  VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (subject, quantity, period) DO UPDATE SET used = spend.used + excluded.used`;
export const LIST_SPEND =
  "SELECT quantity, period, used FROM spend WHERE subject = $1 ORDER BY quantity, period";
/**
 * What is used in each period, and as the period `now` what all nodes have outstanding. One
 * statement: an amount that moves from one to the other is seen in one of them.
 */
export const READ_SPEND = `WITH asked (subject, quantity) AS (VALUES ($1, $2))
  SELECT spend.subject, spend.quantity, spend.period, spend.used FROM asked JOIN spend
  ON spend.subject = asked.subject AND spend.quantity = asked.quantity
  UNION ALL
  SELECT leases.subject, leases.quantity, 'now', CAST(SUM(leases.outstanding) AS BIGINT)
  FROM asked JOIN leases ON leases.subject = asked.subject AND leases.quantity = asked.quantity
  GROUP BY leases.subject, leases.quantity`;

export const ADD_LEASE = `INSERT INTO leases (node_id, subject, quantity, outstanding)
  VALUES ($1, $2, $3, $4) ON CONFLICT (node_id, subject, quantity)
  DO UPDATE SET outstanding = leases.outstanding + excluded.outstanding`;
export const REDUCE_LEASE = `WITH done (node_id, subject, quantity, amount) AS
  (VALUES ($1, $2, $3, $4))
  UPDATE leases SET outstanding = CASE WHEN leases.outstanding > CAST(done.amount AS BIGINT)
  THEN leases.outstanding - CAST(done.amount AS BIGINT) ELSE 0 END FROM done
  WHERE leases.node_id = done.node_id AND leases.subject = done.subject
  AND leases.quantity = done.quantity`;
export const DELETE_EMPTY_LEASES = "DELETE FROM leases WHERE node_id = $1 AND outstanding <= 0";
export const DELETE_LEASES_OF_NODE = "DELETE FROM leases WHERE node_id = $1";

/** Locks the row, where there is one. Whoever changes the leases of a node locks it first. */
export const LOCK_NODE = "UPDATE nodes SET seen_at = seen_at WHERE node_id = $1";
export const DELETE_NODE = "DELETE FROM nodes WHERE node_id = $1";

export function noteNode(nowMs: string): string {
  return `INSERT INTO nodes (node_id, seen_at) VALUES ($1, ${nowMs})
    ON CONFLICT (node_id) DO UPDATE SET seen_at = excluded.seen_at`;
}

export function deleteDeadNodes(nowMs: string): string {
  return `DELETE FROM nodes WHERE seen_at <= ${nowMs} - ${NODE_DEAD_MS} RETURNING node_id`;
}
