/**
 * One connection to PostgreSQL, through postgres.js.
 *
 * Owns: its login and settings, its transactions and their locks, its time limits. Does not own:
 * the byte stream (`postgres_socket.ts`), who uses it (`postgres_pool.ts`, `postgres_watch.ts`).
 * Invariant: every call settles within the time limits, whatever the server does. No statement is
 * prepared under a name: a pooler may hand the next one to another server process.
 */

import postgres from "postgres";

import type { DatabaseConfig } from "../config/config.ts";
import type { Clock } from "../runtime/clock.ts";
import type { SqlValue } from "../runtime/runtime.ts";
import { databaseError, DatabaseError } from "./postgres_error.ts";
import type { PoolMember } from "./postgres_pool.ts";
import { openDatabaseSocket, type OpenSocket, type TlsTrust } from "./postgres_socket.ts";
import { insertMany } from "./postgres_values.ts";
import type { LockName, SqlQueries, SqlRow, TransactionKind } from "./sql_driver.ts";

/** What the server has after its own limit to say so itself. */
const GRACE_MS = 500;

/** Keys of advisory locks: arbitrary, and the same in every version. */
const LOCKS: Readonly<Record<LockName, number>> = {
  migrate: 736_174_001,
  control: 736_174_002,
  limits: 736_174_003,
};

/**
 * Other nodes wait for these 2 s at most (`policy/lease_desk.ts`). A node that is frozen in one,
 * and one that waits for such a node, lets go before.
 */
const BRIEF =
  "SET LOCAL idle_in_transaction_session_timeout = '1s'; SET LOCAL lock_timeout = '1500ms'";

/** Where a connection goes, and what it is used with. */
export interface ConnectionTarget {
  readonly config: DatabaseConfig;
  readonly trust: TlsTrust | null;
  readonly clock: Clock;
}

/** One connection: a postgres.js of its own, on a socket of ours, so that it can be cut off. */
export class Connection implements SqlQueries, PoolMember {
  readonly #config: DatabaseConfig;
  readonly #clock: Clock;
  readonly #socket: OpenSocket;
  readonly #sql: postgres.Sql<{ bigint: number | bigint }>;
  /** Rejects when the connection ends, so that no query outlives it. */
  readonly #ended = Promise.withResolvers<never>();
  #isUsable = true;

  /**
   * @param notified hears of each notification, once the connection listens
   * @throws DatabaseError when the server cannot be reached in time, or refuses us
   */
  static async open(
    { config, trust, clock }: ConnectionTarget,
    notified: () => void = () => undefined,
  ): Promise<Connection> {
    const socket = await openDatabaseSocket(config, trust, clock);
    const connection = new Connection(config, clock, socket, notified);
    // Logs in. The server may be there and not answer.
    try {
      await connection.check();
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  private constructor(
    config: DatabaseConfig,
    clock: Clock,
    socket: OpenSocket,
    notified: () => void,
  ) {
    this.#config = config;
    this.#clock = clock;
    this.#socket = socket;
    this.#ended.promise.catch(() => undefined);
    const lost = () => this.#end("CONNECTION_LOST", "it was lost");
    this.#sql = connect(config, socket, lost, notified);
  }

  get isUsable(): boolean {
    return this.#isUsable;
  }

  /** Rejects once it is of no use any more. */
  get ended(): Promise<never> {
    return this.#ended.promise;
  }

  /** @throws DatabaseError when the server does not answer in time: the connection is ended */
  async check(): Promise<void> {
    await this.#run("SELECT 1", [], this.#config.connectTimeoutMs);
  }

  async exec(sql: string): Promise<void> {
    await this.#limited(sql, []);
  }

  async query(sql: string, parameters: readonly SqlValue[] = []): Promise<SqlRow[]> {
    return [...(await this.#limited(sql, parameters))];
  }

  async each(sql: string, parameterLists: readonly (readonly SqlValue[])[]): Promise<SqlRow[]> {
    const single = parameterLists.map((parameters) => ({ text: sql, parameters }));
    const rows: SqlRow[] = [];
    for (const { text, parameters } of insertMany(sql, parameterLists) ?? single) {
      rows.push(...(await this.#limited(text, parameters)));
    }
    return rows;
  }

  async transaction<T>(
    kind: TransactionKind,
    run: (queries: SqlQueries) => Promise<T>,
  ): Promise<T> {
    try {
      await this.exec(begin(kind));
      const result = await run(this);
      const { command } = await this.#limited("COMMIT", []);
      if (command === "COMMIT") return result;
      // A statement failed, and `run` went on all the same.
      throw new DatabaseError(this.#config, command, "the transaction was not committed");
    } catch (error) {
      await this.#rollBack();
      throw error;
    }
  }

  close(): void {
    if (!this.#isUsable) return;
    this.#isUsable = false;
    this.#socket.socket.once("finish", () => this.#socket.destroy());
    this.#sql.end({ timeout: 0 }).catch(() => undefined);
  }

  destroy(): void {
    this.#end("CLOSED", "it was cut off");
  }

  async #rollBack(): Promise<void> {
    if (!this.#isUsable) return;
    try {
      await this.exec("ROLLBACK");
    } catch {
      this.destroy();
    }
  }

  #limited(sql: string, parameters: readonly SqlValue[]) {
    const { statementTimeoutMs } = this.#config;
    return this.#run(sql, parameters, statementTimeoutMs === 0 ? 0 : statementTimeoutMs + GRACE_MS);
  }

  /** @param limitMs 0: none */
  async #run(sql: string, parameters: readonly SqlValue[], limitMs: number) {
    const late = () => this.#end("STATEMENT_TIMEOUT", `no answer within ${limitMs} ms`);
    const timer = limitMs === 0 ? null : this.#clock.after(limitMs, late);
    try {
      const query = this.#sql.unsafe<SqlRow[]>(sql, [...parameters].map(bindable));
      return await Promise.race([query, this.#ended.promise]);
    } catch (thrown) {
      const error = databaseError(thrown, this.#config);
      if (error.spoilsConnection) this.#end(error.code, error.message);
      throw error;
    } finally {
      timer?.cancel();
    }
  }

  #end(code: string, message: string): void {
    if (!this.#isUsable) return;
    this.#isUsable = false;
    this.#ended.reject(new DatabaseError(this.#config, code, `the connection ended: ${message}`));
    this.#socket.destroy();
  }
}

function begin(kind: TransactionKind): string {
  if (kind === "read") return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
  // Each statement sees what was committed before it began: what the lock was waited for.
  const latest = "BEGIN ISOLATION LEVEL READ COMMITTED";
  if (kind === "latest" || kind === "audit") return latest;
  if (kind === "brief") return `${latest}; ${BRIEF}`;
  const lock = `SELECT pg_advisory_xact_lock(${LOCKS[kind]})`;
  return kind === "limits" ? `${latest}; ${BRIEF}; ${lock}` : `${latest}; ${lock}`;
}

/** postgres.js takes no Uint8Array that is no Buffer. */
function bindable(value: SqlValue): string | number | bigint | null | Buffer {
  return value instanceof Uint8Array ? Buffer.from(value) : value;
}

/**
 * BIGINT, and NUMERIC that a SUM of them is, as a number wherever it fits: times, counts and sums
 * here always do.
 */
const WHOLE = {
  to: 20,
  from: [20, 1700],
  serialize: String,
  parse(text: string): number | bigint {
    const value = Number(text);
    return Number.isSafeInteger(value) || !/^-?\d+$/.test(text) ? value : BigInt(text);
  },
};

/** Every setting is given, because postgres.js looks for the rest in the environment. */
function connect(
  config: DatabaseConfig,
  { socket }: OpenSocket,
  onclose: () => void,
  onnotify: () => void,
) {
  let given: typeof socket | null = socket;
  const options = {
    host: config.hostname,
    port: config.port,
    user: config.user,
    // A function, so that no error or dump of the options shows it.
    pass: () => config.password,
    database: config.name,
    max: 1,
    ssl: false,
    sslnegotiation: null,
    // Ours, and on our clock.
    idle_timeout: 0,
    connect_timeout: 0,
    max_lifetime: 0,
    max_pipeline: 100,
    backoff: () => 0,
    keep_alive: 0,
    prepare: false,
    debug: false,
    fetch_types: false,
    no_subscribe: true,
    types: { bigint: WHOLE },
    connection: parametersOf(config),
    onnotice: () => undefined,
    onnotify,
    onclose,
    socket() {
      if (given === null) throw new Error("the connection ended");
      const once = given;
      given = null;
      return once;
    },
  };
  return postgres(options);
}

/** What the session begins with. A transaction pooler takes the name only. */
function parametersOf(config: DatabaseConfig): Record<string, string> {
  const name = { application_name: config.applicationName };
  if (config.transactionPooler || config.statementTimeoutMs === 0) return name;
  const limit = String(config.statementTimeoutMs);
  return { ...name, statement_timeout: limit, idle_in_transaction_session_timeout: limit };
}
