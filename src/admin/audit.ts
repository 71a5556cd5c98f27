/**
 * `/manage/audit`: what was changed by whom, and whether that record is whole.
 *
 * Owns: these routes, and that the record is checked for one caller at a time. Does not own: the
 * record (`store/`), or what is written to it (`call.ts`).
 * Invariant: reading changes nothing.
 */

import { SingleFlight } from "../lib/single_flight.ts";
import { verifyAudit } from "../store/audit_chain.ts";
import type { AuditQuery, AuditRow, AuditVerification, Store } from "../store/store.ts";
import type { AdminOptions } from "./context.ts";
import { operation, type Operations } from "./operation.ts";
import { parseLimit } from "./page.ts";
import { Problem } from "./problem.ts";
import { pageOf, ref } from "./schemas.ts";
import { parseTime, rfc3339 } from "./time.ts";

const LIMIT_DEFAULT = 100;
const QUERY = ["actor", "action", "subject", "since", "until", "limit", "cursor"] as const;

/** The routes of this file. */
export function auditRoutes(options: AdminOptions): Operations {
  // The check reads everything: whoever asks while one runs shares what it finds.
  const verifying = new SingleFlight<"audit", AuditVerification>();
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
          summary: "Whether any entry was changed or removed, also since a hash was noted",
          query: ["head"],
          answer: [200, ref("AuditVerification")],
        },
        async ({ query }) => {
          if (query.head !== undefined) requireHash(query.head);
          const verified = await verifying.run("audit", () => verifyAudit(options.store));
          return Response.json(await withNoted(options.store, verified, query.head));
        },
      ),
    },
  };
}

/** A chain may be whole and another one than it was: then it lacks what was its end once. */
async function withNoted(
  store: Store,
  verified: AuditVerification,
  hash: string | undefined,
): Promise<AuditVerification> {
  if (hash === undefined || verified.broken !== null) return verified;
  const { entries } = await store.listAudit({ hash, limit: 1 });
  if (entries.length > 0) return verified;
  const reason = "No entry has the hash that was noted: entries were rewritten or removed since";
  return { ...verified, broken: { sequence: null, reason } };
}

function requireHash(text: string): void {
  if (/^[0-9a-f]{64}$/.test(text)) return;
  const advice = "Send the hash that an earlier check gave as its head: 64 characters, 0-9 and a-f";
  throw new Problem("bad_request", '"head" is not the hash of an entry', advice);
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
