/**
 * `/manage/revocations` and `/manage/projects/{id}/tokens/revoke`: taking tokens back, one or all
 * of a project, also such as this store never saw.
 *
 * Owns: these routes. Does not own: the list that is in force (`auth/revocation.ts`).
 * Invariant: a revocation is in force on this node before it is stored, so that neither a full disk
 * nor a database that is away keeps a leaked token alive.
 */

import { TOKEN_PREFIX } from "../auth/token.ts";
import { scrub } from "../emit/redact.ts";
import type { AuditEntry, ProjectRevocationRow, RevocationRow } from "../store/store.ts";
import { entryFor } from "./call.ts";
import { type AdminOptions, existingProject } from "./context.ts";
import { type Fields, missing, type Shape } from "./fields.ts";
import { NO_FIELDS, operation, type Operations } from "./operation.ts";
import { pageQuery, parseLimit } from "./page.ts";
import { Problem } from "./problem.ts";
import { pageOf as pageSchema, ref } from "./schemas.ts";
import { takeAway } from "./take_away.ts";
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
          const page = await options.store.pageRevocations(
            pageQuery(size, query.cursor),
            options.clock.nowMs(),
          );
          const revocations = page.revocations.map(revocationJson);
          return Response.json({ revocations, next_cursor: page.nextCursor });
        },
      ),
      POST: operation(
        {
          summary: "Revoke a token by its jti, or those of a project issued up to a time",
          body: ADD,
          answer: [204, null],
          change: {
            action: "revocation.add",
            subject: "",
            asked: ["token:{jti}", "project:{project_id}"],
          },
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
          const revoked = await revokeProject(options, id, null, by);
          return Response.json({ revoked });
        },
      ),
    },
  };
}

/**
 * Revokes the tokens of a project that were issued up to a time; null: all there are.
 * @returns how many of those that the store knows were not revoked before
 * @throws Problem 503 where that is in force, and stored later
 */
export async function revokeProject(
  options: AdminOptions,
  projectId: string,
  issuedBeforeMs: number | null,
  by: AuditEntry,
): Promise<number> {
  const nowMs = options.clock.nowMs();
  const row = {
    project_id: projectId,
    issued_before: issuedBeforeMs ?? nowMs,
    revoked_at: nowMs,
    // The last of those tokens may have been given all the time there is.
    expires_at: nowMs + options.tokenLifetimeMaxMs,
  };
  let marking = Promise.resolve(0);
  await takeAway(options, {
    entry: by,
    enforce() {
      options.revocations.revokeProject(row);
      return () => {
        marking = markRevoked(options, projectId);
      };
    },
    async write(entry, isRepeated) {
      // Later the project may have new tokens, which are not meant.
      const issued_before = isRepeated ? row.issued_before : issuedBeforeMs;
      const held = await options.store.insertProjectRevocation({ ...row, issued_before }, entry);
      options.revocations.revokeProject(held);
    },
  });
  return marking;
}

/** Only for show: the revocation is in force, whether this fails or not. */
async function markRevoked(
  { store, clock, onError }: AdminOptions,
  projectId: string,
): Promise<number> {
  let marked = 0;
  try {
    for (;;) {
      const more = await store.markRevokedTokens(projectId, clock.nowMs());
      if (more === 0) return marked;
      marked += more;
    }
  } catch (error) {
    onError(error);
    return marked;
  }
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
    before === undefined ? null : parseTime("issued_before", String(before), nowMs);
  if (issuedBeforeMs !== null && issuedBeforeMs > nowMs) {
    const advice = "Tokens that are not there yet cannot be revoked; leave it out for now";
    throw new Problem("bad_request", '"issued_before" is in the future', advice);
  }
  const details = { issued_before: rfc3339(issuedBeforeMs ?? nowMs) };
  const entry = entryFor(by, `project:${projectId}`, details);
  await revokeProject(options, projectId, issuedBeforeMs, entry);
}

function revokeOne(options: AdminOptions, jti: string, by: AuditEntry): Promise<void> {
  if (scrub(jti) !== jti) {
    const advice = `Send the token's id (jti), such as tok_…, not the token (${TOKEN_PREFIX}…)`;
    throw new Problem("bad_request", '"jti" looks like a secret', advice);
  }
  return revokeToken(options, jti, null, entryFor(by, `token:${jti}`));
}

/**
 * Revokes any `jti`.
 * @param expiresAtMs when its token expires; null: not known, so the last that could have it
 * @throws Problem 503 where that is in force, and stored later
 */
export function revokeToken(
  { revocations, store, clock, pending, tokenLifetimeMaxMs }: AdminOptions,
  jti: string,
  expiresAtMs: number | null,
  entry: AuditEntry,
): Promise<void> {
  const nowMs = clock.nowMs();
  const row = { jti, revoked_at: nowMs, expires_at: expiresAtMs ?? nowMs + tokenLifetimeMaxMs };
  return takeAway(
    { pending },
    {
      entry,
      enforce() {
        revocations.revoke([row]);
        return null;
      },
      async write(by) {
        const known = await store.revokeToken(jti, nowMs, by);
        if (known === null) await store.insertRevocation(row, by);
      },
    },
  );
}

function revocationJson(row: RevocationRow | ProjectRevocationRow): object {
  const times = { revoked_at: rfc3339(row.revoked_at), expires_at: rfc3339(row.expires_at) };
  if ("jti" in row) return { jti: row.jti, ...times };
  return { project_id: row.project_id, issued_before: rfc3339(row.issued_before), ...times };
}
