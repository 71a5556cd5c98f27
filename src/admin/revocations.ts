/**
 * `/manage/revocations` and `/manage/projects/{id}/tokens/revoke`: taking tokens back, one or all
 * of a project, also such as this store never saw.
 *
 * Owns: these routes. Does not own: the list that is in force (`auth/revocation.ts`).
 * Invariant: a revocation is in force on this node before it is stored, so that a full disk does
 * not keep a leaked token alive.
 */

import { TOKEN_PREFIX } from "../auth/token.ts";
import { scrub } from "../emit/redact.ts";
import type { AuditEntry, ProjectRevocationRow, RevocationRow } from "../store/store.ts";
import { entryFor } from "./call.ts";
import { type AdminOptions, existingProject } from "./context.ts";
import { type Fields, missing, type Shape } from "./fields.ts";
import { NO_FIELDS, operation, type Operations } from "./operation.ts";
import { pageOf, parseLimit } from "./page.ts";
import { Problem } from "./problem.ts";
import { pageOf as pageSchema, ref } from "./schemas.ts";
import { parseTime, rfc3339 } from "./time.ts";

const LIMIT_DEFAULT = 100;

const ADD = {
  required: {},
  optional: { jti: "text", project_id: "text", issued_before: "time" },
} as const satisfies Shape;

/** The routes of this file. */
export function revocationRoutes(options: AdminOptions): Operations {
  return {
    "/manage/revocations": {
      GET: operation(
        {
          summary: "Revocations in force, newest first",
          query: ["limit", "cursor"],
          answer: [200, pageSchema("revocations", "Revocation")],
        },
        async ({ query }) => {
          const size = parseLimit(query.limit, LIMIT_DEFAULT);
          const { tokens, projects } = await options.store.listRevocations(
            0,
            options.clock.nowMs(),
          );
          const page = pageOf([...projects, ...tokens], positionOf, size, query.cursor);
          const revocations = page.entries.map(revocationJson);
          return Response.json({ revocations, next_cursor: page.nextCursor });
        },
      ),
      POST: operation(
        {
          summary: "Revoke a token by its jti, or those of a project issued up to a time",
          body: ADD,
          answer: [204, null],
          change: { action: "revocation.add", subject: "" },
        },
        async ({ body, by }) => {
          await addRevocation(options, body, by);
          return new Response(null, { status: 204 });
        },
      ),
    },
    "/manage/projects/{id}/tokens/revoke": {
      POST: operation(
        {
          summary: "Revoke every token of a project that was issued up to now",
          body: NO_FIELDS,
          answer: [200, ref("RevokedCount")],
          change: { action: "tokens.revoke", subject: "project:{id}" },
        },
        async ({ context, by }) => {
          const { id } = await existingProject(options, context);
          const revoked = await revokeProject(options, id, options.clock.nowMs(), by);
          return Response.json({ revoked });
        },
      ),
    },
  };
}

/**
 * Revokes the tokens of a project that were issued up to a time.
 * @returns how many of those that the store knows were not revoked before
 */
export async function revokeProject(
  options: AdminOptions,
  projectId: string,
  issuedBeforeMs: number,
  by: AuditEntry,
): Promise<number> {
  const nowMs = options.clock.nowMs();
  const row: ProjectRevocationRow = {
    project_id: projectId,
    issued_before: issuedBeforeMs,
    revoked_at: nowMs,
    // The last of those tokens may have been given all the time there is.
    expires_at: nowMs + options.tokenLifetimeMaxMs,
  };
  options.revocations.revokeProject(row);
  const rows = await options.store.insertProjectRevocation(row, by);
  return rows.filter((token) => token.revoked_at === nowMs).length;
}

async function addRevocation(
  options: AdminOptions,
  { jti, project_id: projectId, issued_before: before }: Fields<typeof ADD>,
  by: AuditEntry,
): Promise<void> {
  if (jti !== undefined && (projectId !== undefined || before !== undefined)) {
    const advice = 'Send "jti" alone, or "project_id" with or without "issued_before"';
    throw new Problem("bad_request", '"jti" names one token, not a project\'s', advice);
  }
  if (jti !== undefined) return revokeOne(options, jti, by);
  if (projectId === undefined) throw missing(before === undefined ? "jti" : "project_id");
  const nowMs = options.clock.nowMs();
  const issuedBeforeMs =
    before === undefined ? nowMs : parseTime("issued_before", String(before), nowMs);
  if (issuedBeforeMs > nowMs) {
    const advice = "Tokens that are not there yet cannot be revoked; leave it out for now";
    throw new Problem("bad_request", '"issued_before" is in the future', advice);
  }
  const details = { issued_before: rfc3339(issuedBeforeMs) };
  const entry = entryFor(by, `project:${projectId}`, details);
  await revokeProject(options, projectId, issuedBeforeMs, entry);
}

/** Revokes any `jti`, until the last token that could have it has expired. */
async function revokeOne(options: AdminOptions, jti: string, by: AuditEntry): Promise<void> {
  if (scrub(jti) !== jti) {
    const advice = `Send the token's id (jti), such as tok_…, not the token (${TOKEN_PREFIX}…)`;
    throw new Problem("bad_request", '"jti" looks like a secret', advice);
  }
  const nowMs = options.clock.nowMs();
  const row = { jti, revoked_at: nowMs, expires_at: nowMs + options.tokenLifetimeMaxMs };
  options.revocations.revoke([row]);
  const entry = entryFor(by, `token:${jti}`);
  const known = await options.store.revokeToken(jti, nowMs, entry);
  if (known === null) await options.store.insertRevocation(row, entry);
}

function positionOf(row: RevocationRow | ProjectRevocationRow): { timeMs: number; id: string } {
  return {
    timeMs: row.revoked_at,
    id: "jti" in row ? `token:${row.jti}` : `project:${row.project_id}`,
  };
}

function revocationJson(row: RevocationRow | ProjectRevocationRow): object {
  const times = { revoked_at: rfc3339(row.revoked_at), expires_at: rfc3339(row.expires_at) };
  if ("jti" in row) return { jti: row.jti, ...times };
  return { project_id: row.project_id, issued_before: rfc3339(row.issued_before), ...times };
}
