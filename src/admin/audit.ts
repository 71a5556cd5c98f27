/**
 * `/manage/audit`: what was changed by whom, and whether that record is whole.
 *
 * Owns: these routes. Does not own: the record (`store/`), or what is written to it (`call.ts`).
 * Invariant: reading changes nothing.
 */

import type { AuditQuery, AuditRow } from "../store/store.ts";
import type { AdminOptions } from "./context.ts";
import { operation, type Operations } from "./operation.ts";
import { parseLimit } from "./page.ts";
import { pageOf, ref } from "./schemas.ts";
import { parseTime, rfc3339 } from "./time.ts";

const LIMIT_DEFAULT = 100;
const QUERY = ["actor", "action", "subject", "since", "until", "limit", "cursor"] as const;

/** The routes of this file. */
export function auditRoutes(options: AdminOptions): Operations {
  return {
    "/manage/audit": {
      GET: operation(
        {
          summary: "Changes and refusals, newest first",
          query: QUERY,
          answer: [200, pageOf("entries", "AuditEntry")],
        },
        async ({ query }) => {
          const page = await options.store.listAudit(auditQuery(query, options.clock.nowMs()));
          const entries = page.entries.map(entryJson);
          return Response.json({ entries, next_cursor: page.nextCursor });
        },
      ),
    },
    "/manage/audit/verify": {
      GET: operation(
        {
          summary: "Whether any entry was changed or removed",
          answer: [200, ref("AuditVerification")],
        },
        async () => {
          const { entries, head, broken } = await options.store.verifyAudit();
          return Response.json({ entries, head, broken });
        },
      ),
    },
  };
}

function auditQuery(
  query: Partial<Record<(typeof QUERY)[number], string>>,
  nowMs: number,
): AuditQuery {
  const { actor, action, subject, since, until, limit, cursor } = query;
  return {
    limit: parseLimit(limit, LIMIT_DEFAULT),
    ...(actor === undefined ? {} : { actor }),
    ...(action === undefined ? {} : { action }),
    ...(subject === undefined ? {} : { subject }),
    ...(since === undefined ? {} : { sinceMs: parseTime("since", since, nowMs) }),
    ...(until === undefined ? {} : { untilMs: parseTime("until", until, nowMs) }),
    ...(cursor === undefined ? {} : { cursor }),
  };
}

function entryJson(row: AuditRow): object {
  return {
    sequence: row.sequence,
    recorded_at: rfc3339(row.recorded_at),
    node_id: row.node_id,
    actor: row.actor,
    action: row.action,
    subject: row.subject,
    outcome: row.outcome,
    request_id: row.request_id,
    client_address: row.client_address,
    details: row.details,
    hash: row.hash,
  };
}
