/**
 * The store over a SQL database, whichever it is.
 *
 * Owns: which statements make up each operation. Does not own: the statements (`statements.ts`),
 * the connection (a `SqlDriver`), the schema (`migrate.ts`).
 * Invariant: every method is one transaction; an operation of several statements says so.
 */

import { GatewayError } from "../errors.ts";
import type { UsageEvent } from "../exchange.ts";
import { decodeBase64Url, decodeUtf8, encodeBase64Url, encodeUtf8 } from "../lib/encoding.ts";
import * as rows from "./rows.ts";
import type { SqlDriver, SqlQueries, SqlRow } from "./sql_driver.ts";
import * as sql from "./statements.ts";
import type {
  CredentialRow,
  ProjectRow,
  RevocationRow,
  SigningKeyRow,
  Store,
  TokenRow,
  UsagePage,
  UsageQuery,
} from "./store.ts";

export class SqlStore implements Store {
  readonly #driver: SqlDriver;

  /** Takes a database whose schema is this version's. */
  constructor(driver: SqlDriver) {
    this.#driver = driver;
  }

  async listProjects(): Promise<ProjectRow[]> {
    return (await this.#driver.query(sql.LIST_PROJECTS)).map(rows.projectRow);
  }

  async insertProject(row: ProjectRow): Promise<boolean> {
    const inserted = await this.#driver.query(sql.INSERT_PROJECT, [
      row.id,
      row.name,
      Number(row.is_active),
      row.created_at,
      row.updated_at,
      row.deactivated_at,
    ]);
    return inserted.length > 0;
  }

  updateProject(
    id: string,
    change: { name?: string; is_active?: boolean },
    nowMs: number,
  ): Promise<ProjectRow | null> {
    return this.#driver.transaction(null, async (queries) => {
      const found = first(await queries.query(sql.GET_PROJECT, [id]), rows.projectRow);
      if (found === null) return null;
      const name = change.name ?? found.name;
      await refuseTakenName(queries, name, id);
      const isActive = change.is_active ?? found.is_active;
      const deactivatedAt = isActive ? null : (found.deactivated_at ?? nowMs);
      const parameters = [name, Number(isActive), nowMs, deactivatedAt, id];
      return first(await queries.query(sql.UPDATE_PROJECT, parameters), rows.projectRow);
    });
  }

  deleteProject(id: string): Promise<"deleted" | "not_found" | "in_use"> {
    return this.#driver.transaction(null, async (queries) => {
      if ((await queries.query(sql.GET_PROJECT, [id])).length === 0) return "not_found";
      if ((await queries.query(sql.HAS_USAGE, [id])).length > 0) return "in_use";
      await queries.query(sql.DELETE_CREDENTIALS_OF_PROJECT, [id]);
      await queries.query(sql.DELETE_TOKENS_OF_PROJECT, [id]);
      await queries.query(sql.DELETE_PROJECT, [id]);
      return "deleted";
    });
  }

  async listCredentials(): Promise<CredentialRow[]> {
    return (await this.#driver.query(sql.LIST_CREDENTIALS)).map(rows.credentialRow);
  }

  putCredential(row: CredentialRow): Promise<void> {
    return this.#driver.transaction(null, async (queries) => {
      await queries.query(sql.FORGET_CREDENTIAL, [row.id, row.project_id, row.provider]);
      await queries.query(sql.INSERT_CREDENTIAL, [
        row.id,
        row.project_id,
        row.provider,
        row.label,
        row.ciphertext,
        row.masked,
        row.created_at,
        row.updated_at,
      ]);
    });
  }

  async deleteCredential(id: string): Promise<boolean> {
    return (await this.#driver.query(sql.DELETE_CREDENTIAL, [id])).length > 0;
  }

  async listTokens(projectId?: string): Promise<TokenRow[]> {
    const found =
      projectId === undefined
        ? await this.#driver.query(sql.LIST_TOKENS)
        : await this.#driver.query(sql.LIST_TOKENS_OF_PROJECT, [projectId]);
    return found.map(rows.tokenRow);
  }

  async getToken(id: string): Promise<TokenRow | null> {
    return first(await this.#driver.query(sql.GET_TOKEN, [id]), rows.tokenRow);
  }

  async insertToken(row: TokenRow): Promise<void> {
    await this.#driver.query(sql.INSERT_TOKEN, [
      row.id,
      row.project_id,
      row.label,
      row.created_at,
      row.expires_at,
      row.revoked_at,
    ]);
  }

  async updateToken(id: string, change: { label: string | null }): Promise<TokenRow | null> {
    return first(await this.#driver.query(sql.UPDATE_TOKEN, [change.label, id]), rows.tokenRow);
  }

  revokeToken(id: string, nowMs: number): Promise<TokenRow | null> {
    return this.#driver.transaction(null, async (queries) => {
      const token = first(await queries.query(sql.REVOKE_TOKEN, [nowMs, id]), rows.tokenRow);
      if (token !== null) await revoke(queries, [token], nowMs);
      return token;
    });
  }

  revokeTokensOfProject(projectId: string, nowMs: number): Promise<TokenRow[]> {
    return this.#driver.transaction(null, async (queries) => {
      const found = await queries.query(sql.REVOKE_TOKENS_OF_PROJECT, [nowMs, projectId]);
      const tokens = found.map(rows.tokenRow);
      await revoke(queries, tokens, nowMs);
      return tokens;
    });
  }

  async listRevocations(nowMs: number): Promise<RevocationRow[]> {
    return (await this.#driver.query(sql.LIST_REVOCATIONS, [nowMs])).map(rows.revocationRow);
  }

  async insertRevocation(row: RevocationRow): Promise<void> {
    await this.#driver.query(sql.INSERT_REVOCATION, [row.jti, row.revoked_at, row.expires_at]);
  }

  async listSigningKeys(): Promise<SigningKeyRow[]> {
    return (await this.#driver.query(sql.LIST_SIGNING_KEYS)).map(rows.signingKeyRow);
  }

  ensureSigningKey(row: SigningKeyRow): Promise<SigningKeyRow[]> {
    return this.#driver.transaction("signing_key", async (queries) => {
      const found = await queries.query(sql.LIST_SIGNING_KEYS);
      if (found.length > 0) return found.map(rows.signingKeyRow);
      await queries.query(sql.INSERT_SIGNING_KEY, [
        row.kid,
        row.algorithm,
        row.public_jwk,
        row.ciphertext,
        row.created_at,
      ]);
      return [row];
    });
  }

  insertUsage(events: readonly UsageEvent[]): Promise<string[]> {
    return this.#driver.transaction(null, async (queries) => {
      const inserted = await queries.each(sql.INSERT_USAGE, events.map(rows.usageParameters));
      return inserted.map((row) => rows.text(row, "event_id"));
    });
  }

  async findPendingUsage(provider: string, responseId: string): Promise<UsageEvent | null> {
    const found = await this.#driver.query(sql.FIND_PENDING_USAGE, [responseId, provider]);
    return first(found, rows.usageEvent);
  }

  async completeUsage(event: UsageEvent): Promise<boolean> {
    const [id = null, ...values] = rows.usageParameters(event);
    return (await this.#driver.query(sql.COMPLETE_USAGE, [...values, id])).length > 0;
  }

  async listUsage(query: UsageQuery): Promise<UsagePage> {
    const position = query.cursor === undefined ? null : decodeCursor(query.cursor);
    const statement = sql.listUsage(query, position);
    const found = await this.#driver.query(statement.sql, statement.parameters);
    const events = found.slice(0, query.limit).map(rows.usageEvent);
    const last = found.length > query.limit ? events.at(-1) : undefined;
    return { events, nextCursor: last === undefined ? null : encodeCursor(last) };
  }

  close(): Promise<void> {
    return this.#driver.close();
  }
}

function first<T>(found: readonly SqlRow[], read: (row: SqlRow) => T): T | null {
  const row = found[0];
  return row === undefined ? null : read(row);
}

async function refuseTakenName(queries: SqlQueries, name: string, id: string): Promise<void> {
  if ((await queries.query(sql.IS_NAME_TAKEN, [name, id])).length === 0) return;
  const message = `Another project is named ${JSON.stringify(name)}. Choose another name`;
  throw new GatewayError("bad_request", { message, param: "name", status: 409 });
}

async function revoke(
  queries: SqlQueries,
  tokens: readonly TokenRow[],
  nowMs: number,
): Promise<void> {
  const revocations = tokens.map((token) => [token.id, nowMs, token.expires_at]);
  await queries.each(sql.INSERT_REVOCATION, revocations);
}

function encodeCursor(event: UsageEvent): string {
  return encodeBase64Url(encodeUtf8(JSON.stringify([event.recorded_at, event.event_id])));
}

function decodeCursor(cursor: string): sql.UsagePosition {
  try {
    const position: unknown = JSON.parse(decodeUtf8(decodeBase64Url(cursor)));
    const [recordedAtMs, eventId]: unknown[] = Array.isArray(position) ? position : [];
    if (typeof recordedAtMs === "number" && typeof eventId === "string") {
      return { recordedAtMs, eventId };
    }
  } catch {
    // Not ours: refused below like every other text that is not.
  }
  const message = "The cursor is not valid. Send next_cursor of the page before, or none";
  throw new GatewayError("bad_request", { message, param: "cursor" });
}
