/**
 * What PostgreSQL, or the way to it, says is wrong.
 *
 * Owns: which errors pass by themselves, and which leave a connection of no use.
 * Does not own: what is done about them (`postgres.ts`).
 * Invariant: carries a message and a code, and nothing else of the original: no statement, no
 * parameter, no connection's settings.
 */

import type { DatabaseConfig } from "../config/config.ts";
import { bracketed } from "../lib/host_name.ts";

/** Where a server is, as messages name it. */
type DatabaseAddress = Pick<DatabaseConfig, "hostname" | "port">;

/** postgres.js's, all of which mean the same. */
const LOST = new Set(["CONNECTION_CLOSED", "CONNECTION_DESTROYED", "CONNECTION_ENDED"]);

const UNREACHABLE = new Set([
  "CONNECT_TIMEOUT",
  "STATEMENT_TIMEOUT",
  "CONNECTION_LOST",
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENETDOWN",
  "ENOTFOUND",
  "EAI_AGAIN",
  // Too many connections, shutting down, crashed, starting up, idle for too long.
  "53300",
  "57P01",
  "57P02",
  "57P03",
  "57P05",
]);

/** Read-only: the server is no longer the primary, and the name may mean another one by now. */
const READ_ONLY = "25006";

/**
 * Serialization failure, deadlock, and the two that show that another transaction came in between:
 * unique and foreign key violations.
 */
const REPEATABLE = new Set(["40001", "40P01", "23505", "23503"]);

export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  /**
   * A SQLSTATE (PostgreSQL, appendix A), the system's (errno(3)), or one of ours: CONNECT_TIMEOUT,
   * STATEMENT_TIMEOUT, POOL_TIMEOUT, CONNECTION_LOST, NO_TLS, CLOSED.
   */
  readonly code: string;

  constructor(address: DatabaseAddress, code: string, message: string) {
    const { hostname, port } = address;
    super(`PostgreSQL at ${bracketed(hostname)}:${port}: ${message} (${code})`);
    this.code = code;
  }

  /** The server was not there, or went away: later it may be back. */
  get isUnreachable(): boolean {
    return UNREACHABLE.has(this.code) || this.code.startsWith("08");
  }

  /** The connection it came from is not to be used again. */
  get spoilsConnection(): boolean {
    return this.isUnreachable || this.code === READ_ONLY;
  }

  /** The same transaction, run again, may succeed. */
  get isRepeatable(): boolean {
    return REPEATABLE.has(this.code);
  }
}

/** Anything that was thrown on the way to or from the server, as one of ours. */
export function databaseError(thrown: unknown, address: DatabaseAddress): DatabaseError {
  if (thrown instanceof DatabaseError) return thrown;
  // A name with several addresses fails with one error for each.
  const cause = thrown instanceof AggregateError ? (thrown.errors[0] ?? thrown) : thrown;
  const code = codeOf(cause);
  if (LOST.has(code)) {
    return new DatabaseError(address, "CONNECTION_LOST", "the connection was lost");
  }
  return new DatabaseError(address, code, cause instanceof Error ? cause.message : String(cause));
}

function codeOf(thrown: unknown): string {
  const hasCode = typeof thrown === "object" && thrown !== null && "code" in thrown;
  return hasCode && typeof thrown.code === "string" ? thrown.code : "UNKNOWN";
}
