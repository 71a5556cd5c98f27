/**
 * `/manage/tokens`: minting, showing, and taking back one by one.
 *
 * Owns: these routes and the JSON of a token. Does not own: signing, or the list of revoked tokens.
 * Invariant: a token is shown once, in the answer that minted it.
 */

import { narrowLimits } from "../config/limits.ts";
import type { AuditEntry, TokenRow } from "../store/store.ts";
import { detailsOf, entryFor } from "./call.ts";
import { type AdminOptions, arrayResponse } from "./context.ts";
import type { Fields, Shape } from "./fields.ts";
import { operation, type Operation, type Operations, pathParameter } from "./operation.ts";
import { pageQuery, parseLimit } from "./page.ts";
import { notFound } from "./problem.ts";
import { RESTRICTION_FIELDS } from "./restrictions.ts";
import { revokeToken as revokeTokenById } from "./revocations.ts";
import { arrayOf, ref } from "./schemas.ts";
import { spendOf } from "./spend.ts";
import { readSoon } from "./take_away.ts";
import { rfc3339, rfc3339OrNull } from "./time.ts";
import { changeToken, deactivateToken } from "./token_change.ts";
import { mintToken } from "./token_mint.ts";

const TOKENS_PATH = "/manage/tokens";
const TOKENS_LIMIT = 1000;

const MINT = {
  required: { project_id: "text", duration_minutes: "count" },
  optional: {
    label: "nullable_text",
    max_requests: "nullable_count",
    ...RESTRICTION_FIELDS,
  },
} as const satisfies Shape;

const UPDATE = {
  required: {},
  optional: {
    label: "nullable_text",
    is_active: "boolean",
    max_requests: "nullable_count",
    limits: "limits",
  },
} as const satisfies Shape;

/** The routes of this file. */
export function tokenRoutes(options: AdminOptions): Operations {
  return {
    [TOKENS_PATH]: {
      GET: listTokens(options),
      POST: operation(
        {
          summary: "Make a token; it is shown this once",
          body: MINT,
          answer: [201, ref("MintedToken")],
          change: { action: "token.mint", subject: "", asked: ["project:{project_id}"] },
        },
        async ({ body, by }) => Response.json(await mintToken(options, body, by), { status: 201 }),
      ),
    },
    [`${TOKENS_PATH}/{id}`]: {
      GET: showToken(options),
      PATCH: operation(
        {
          summary: "Change a token's label, or narrow what it says; null takes a narrowing back",
          body: UPDATE,
          answer: [200, ref("Token")],
          change: { action: "token.update", subject: "token:{id}" },
        },
        async ({ context, body, by }) => {
          const id = pathParameter(context, "id");
          return Response.json(tokenJson(options, await updateToken(options, id, body, by)));
        },
      ),
      DELETE: revokeToken(options),
    },
  };
}

/** A token is deactivated also where the store does not say what is known of it. */
async function updateToken(
  options: AdminOptions,
  id: string,
  change: Fields<typeof UPDATE>,
  by: AuditEntry,
): Promise<TokenRow> {
  const reading = options.store.getToken(id).then((row) => ({ row }));
  const looked = await (change.is_active === false ? readSoon(options, reading) : reading);
  if (looked !== null) return changeToken(options, found(id, looked.row), change, by);
  await deactivateToken(options, { id }, by);
  const row = found(id, await options.store.getToken(id));
  const { is_active: _done, ...rest } = change;
  return Object.keys(rest).length === 0 ? row : changeToken(options, row, rest, by);
}

function listTokens(options: AdminOptions): Operation {
  return operation(
    {
      summary: "Tokens, newest first, without themselves; the next page is in Link",
      query: ["project_id", "projectId", "limit", "cursor"],
      answer: [200, arrayOf("Token")],
    },
    async ({ context, query }) => {
      const size = parseLimit(query.limit, TOKENS_LIMIT);
      const projectId = query.project_id ?? query.projectId;
      const page = await options.store.listTokens({
        ...pageQuery(size, query.cursor),
        ...(projectId === undefined ? {} : { projectId }),
      });
      const body = page.tokens.map((row) => tokenJson(options, row));
      return arrayResponse(context, body, page.nextCursor);
    },
  );
}

function showToken(options: AdminOptions): Operation {
  return operation(
    { summary: "A token and what it used", answer: [200, ref("TokenWithSpend")] },
    async ({ context }) => {
      const id = pathParameter(context, "id");
      const row = found(id, await options.store.getToken(id));
      const spend = await spendOf(options.store, `token:${row.id}`, options.clock.nowMs());
      return Response.json({ ...tokenJson(options, row), spend });
    },
  );
}

function revokeToken(options: AdminOptions): Operation {
  return operation(
    {
      summary: "Revoke a token at once; its live sessions end",
      answer: [204, null],
      change: { action: "token.revoke", subject: "token:{id}" },
    },
    async ({ context, by }) => {
      const id = pathParameter(context, "id");
      const reading = options.store.getToken(id).then((row) => ({ row }));
      // Where the store does not say, it is revoked without knowing more of it than its id.
      const looked = await readSoon(options, reading);
      const row = looked === null ? null : found(id, looked.row);
      const entry = entryFor(by, `token:${id}`, detailsOf({ project_id: row?.project_id }));
      await revokeTokenById(options, id, row?.expires_at ?? null, entry);
      return new Response(null, { status: 204 });
    },
  );
}

function found(id: string, row: TokenRow | null): TokenRow {
  if (row === null) throw notFound("Token", id, TOKENS_PATH);
  return row;
}

/** What holds of a token now: as signed, and as narrowed since. */
function tokenJson(options: AdminOptions, row: TokenRow): object {
  const override = options.revocations.overrideOf(row.id);
  const isRevoked =
    row.revoked_at !== null ||
    row.created_at <= (options.revocations.issuedBefore(row.project_id) ?? -1);
  const isWanted = override?.is_active !== false && !isRevoked;
  const { max_requests, ...limits } = narrowLimits(row.limits, override?.limits ?? {});
  return {
    id: row.id,
    project_id: row.project_id,
    label: row.label,
    is_active: isWanted && row.expires_at > options.clock.nowMs(),
    created_at: rfc3339(row.created_at),
    expires_at: rfc3339(row.expires_at),
    revoked_at: rfc3339OrNull(row.revoked_at),
    last_used_at: rfc3339OrNull(row.last_used_at),
    request_count: row.request_count,
    cache_hit_count: row.cache_hit_count,
    max_requests: max_requests ?? null,
    models: row.models,
    endpoints: row.endpoints,
    tiers: row.tiers,
    limits,
  };
}
