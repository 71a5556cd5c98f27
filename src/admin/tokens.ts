/**
 * `/manage/tokens` and `/manage/revocations`.
 *
 * Owns: these routes and the JSON of a token. Does not own: signing, or the list of revoked tokens.
 * Invariant: a token is shown once, in the answer that minted it.
 */

import type { TokenRow } from "../store/store.ts";
import {
  type AdminOptions,
  arrayResponse,
  enforceRevocations,
  pathParameter,
  type Routes,
} from "./context.ts";
import { readFields, readQuery, required } from "./fields.ts";
import { readJson } from "./guard.ts";
import { pageOf, parseLimit } from "./page.ts";
import { notFound, Problem } from "./problem.ts";
import { rfc3339, rfc3339OrNull } from "./time.ts";

const TOKENS_PATH = "/manage/tokens";
const TOKENS_LIMIT = 1000;
const MINUTE_MS = 60_000;

/** The routes of this file. */
export function tokenRoutes(options: AdminOptions): Routes {
  return {
    [TOKENS_PATH]: {
      GET: async (context) => {
        const names = ["project_id", "projectId", "limit", "cursor"] as const;
        const query = readQuery(context.req.raw, names);
        const size = parseLimit(query.limit, TOKENS_LIMIT);
        const rows = await options.store.listTokens(query.project_id ?? query.projectId);
        const page = pageOf(rows, positionOf, size, query.cursor);
        const body = page.entries.map((row) => tokenJson(row, options.clock.nowMs()));
        return arrayResponse(context, body, page.nextCursor);
      },
      POST: async (context) => {
        const minted = await mintToken(options, await readJson(context.req.raw));
        return Response.json(minted, { status: 201 });
      },
    },
    [`${TOKENS_PATH}/:id`]: {
      GET: async (context) => {
        const id = pathParameter(context, "id");
        const row = found(id, await options.store.getToken(id));
        return Response.json(tokenJson(row, options.clock.nowMs()));
      },
      PATCH: async (context) => {
        const id = pathParameter(context, "id");
        const { label } = readFields(await readJson(context.req.raw), { label: "nullable_text" });
        const change = { label: required("label", label) };
        const row = found(id, await options.store.updateToken(id, change));
        return Response.json(tokenJson(row, options.clock.nowMs()));
      },
      DELETE: async (context) => {
        const id = pathParameter(context, "id");
        const row = found(id, await options.store.getToken(id));
        // In force before it is stored, so that a full disk does not keep a leaked token alive.
        enforceRevocations(options, [row]);
        await options.store.revokeToken(id, options.clock.nowMs());
        return new Response(null, { status: 204 });
      },
    },
    "/manage/revocations": {
      POST: async (context) => {
        const { jti } = readFields(await readJson(context.req.raw), { jti: "text" });
        await revoke(options, required("jti", jti));
        return new Response(null, { status: 204 });
      },
    },
  };
}

async function mintToken(options: AdminOptions, body: unknown): Promise<object> {
  const shape = { project_id: "text", duration_minutes: "number", label: "nullable_text" } as const;
  const fields = readFields(body, shape);
  const projectId = required("project_id", fields.project_id);
  const lifetimeMs = lifetime(options, required("duration_minutes", fields.duration_minutes));
  const project = options.directory.project(projectId);
  if (project === null) throw notFound("Project", projectId, "/manage/projects");
  if (!project.is_active) {
    const advice = `PATCH /manage/projects/${projectId} with {"is_active": true} first`;
    throw new Problem("project_inactive", "Cannot create tokens for inactive projects", advice);
  }
  const { token, jti, issuedAtMs, expiresAtMs } = await options.tokens.mint(projectId, lifetimeMs);
  // Stored before it is shown: a token that nobody recorded could not be listed and revoked.
  await options.store.insertToken({
    id: jti,
    project_id: projectId,
    label: fields.label ?? null,
    created_at: issuedAtMs,
    expires_at: expiresAtMs,
    revoked_at: null,
  });
  return { id: jti, token, expires_at: rfc3339(expiresAtMs) };
}

function lifetime(options: AdminOptions, minutes: number): number {
  const minutesMax = Math.floor(options.tokenLifetimeMaxMs / MINUTE_MS);
  if (Number.isInteger(minutes) && minutes >= 1 && minutes <= minutesMax) {
    return minutes * MINUTE_MS;
  }
  const advice = `Send a whole number from 1 to ${minutesMax} (tokens.max_lifetime)`;
  throw new Problem("bad_request", '"duration_minutes" is out of range', advice);
}

/** Revokes any `jti`, also of a token that this store never saw: until the last one could end. */
async function revoke(options: AdminOptions, jti: string): Promise<void> {
  const nowMs = options.clock.nowMs();
  const row = await options.store.revokeToken(jti, nowMs);
  if (row !== null) return enforceRevocations(options, [row]);
  const revocation = { jti, revoked_at: nowMs, expires_at: nowMs + options.tokenLifetimeMaxMs };
  await options.store.insertRevocation(revocation);
  options.revocations.revoke([revocation]);
}

function found(id: string, row: TokenRow | null): TokenRow {
  if (row === null) throw notFound("Token", id, TOKENS_PATH);
  return row;
}

function positionOf(row: TokenRow): { timeMs: number; id: string } {
  return { timeMs: row.created_at, id: row.id };
}

function tokenJson(row: TokenRow, nowMs: number): object {
  return {
    id: row.id,
    project_id: row.project_id,
    label: row.label,
    is_active: row.revoked_at === null && row.expires_at > nowMs,
    created_at: rfc3339(row.created_at),
    expires_at: rfc3339(row.expires_at),
    revoked_at: rfc3339OrNull(row.revoked_at),
  };
}
