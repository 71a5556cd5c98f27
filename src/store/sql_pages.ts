/**
 * Lists of tokens and revocations over a SQL database, page by page.
 *
 * Owns: their order and positions. Does not own: cursors (`cursor.ts`).
 * Invariant: a page costs what it holds, however long the list is; walking the pages shows each
 * entry that is there from first to last exactly once.
 */

import { cutPage, decodeCursor, type Position } from "./cursor.ts";
import * as rows from "./rows.ts";
import { Conditions } from "./sql_conditions.ts";
import type { SqlQueries, SqlRow } from "./sql_driver.ts";
import type {
  PageQuery,
  ProjectRevocationRow,
  RevocationPage,
  RevocationRow,
  TokenPage,
  TokenQuery,
} from "./store.ts";

type Queries = Pick<SqlQueries, "query">;
type AnyRevocation = RevocationRow | ProjectRevocationRow;

/** See `Store.listTokens`. @throws GatewayError `bad_request` when the cursor is not one of ours */
export async function listTokens(queries: Queries, query: TokenQuery): Promise<TokenPage> {
  const { projectId, limit, cursor } = query;
  const conditions = new Conditions();
  conditions.when("project_id =", projectId);
  if (cursor !== undefined) {
    const [createdAtMs, id] = decodeCursor(cursor, timeAndId);
    conditions.whenAll("(created_at, id) <", [createdAtMs, id]);
  }
  const statement = conditions.select("tokens", "created_at DESC, id DESC", limit + 1);
  const found = await queries.query(statement.sql, statement.parameters);
  const { entries: tokens, nextCursor } = cutPage(
    found,
    limit,
    rows.tokenRow,
    ({ created_at, id }) => [created_at, id],
  );
  return { tokens, nextCursor };
}

/**
 * See `Store.pageRevocations`. Of one time, those of tokens come before those of projects.
 * @throws GatewayError `bad_request` when the cursor is not one of ours
 */
export async function pageRevocations(
  queries: Queries,
  { limit, cursor }: PageQuery,
  nowMs: number,
): Promise<RevocationPage> {
  const after = cursor === undefined ? null : decodeCursor(cursor, timeAndId);
  const select = (table: string, key: string, position: Position | null): Promise<SqlRow[]> => {
    const conditions = new Conditions();
    conditions.when("expires_at >", nowMs);
    if (position !== null) conditions.whenAll(`(revoked_at, ${key}) <`, position);
    const order = `revoked_at DESC, ${key} DESC`;
    const statement = conditions.select(table, order, limit + 1);
    return queries.query(statement.sql, statement.parameters);
  };
  const tokens = await select("revocations", "jti", after && positionAmongTokens(after));
  const projects = await select(
    "project_revocations",
    "project_id",
    after && positionAmongProjects(after),
  );
  const found: AnyRevocation[] = [
    ...tokens.map(rows.revocationRow),
    ...projects.map(rows.projectRevocationRow),
  ];
  // Stable: those of one time stay in the order above.
  found.sort((left, right) => right.revoked_at - left.revoked_at);
  const { entries: revocations, nextCursor } = cutPage(found, limit, (row) => row, positionOf);
  return { revocations, nextCursor };
}

const TOKEN = "token:";
const PROJECT = "project:";

function positionOf(row: AnyRevocation): [timeMs: number, id: string] {
  return [row.revoked_at, "jti" in row ? `${TOKEN}${row.jti}` : `${PROJECT}${row.project_id}`];
}

/** No id is empty, so that of a time that has only projects left no token is shown again. */
function positionAmongTokens([timeMs, id]: [timeMs: number, id: string]): Position {
  return [timeMs, id.startsWith(TOKEN) ? id.slice(TOKEN.length) : ""];
}

/** All projects of a time come after its tokens. */
function positionAmongProjects([timeMs, id]: [timeMs: number, id: string]): Position {
  return id.startsWith(PROJECT) ? [timeMs, id.slice(PROJECT.length)] : [timeMs + 1, ""];
}

function timeAndId([timeMs, id]: unknown[]): [timeMs: number, id: string] | null {
  return typeof timeMs === "number" && typeof id === "string" ? [timeMs, id] : null;
}
