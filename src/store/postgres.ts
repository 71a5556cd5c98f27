/**
 * PostgreSQL as a SQL driver, through postgres.js.
 *
 * Owns: connections, transactions and their locks, time limits, and how long a start waits for the
 * server. Does not own: statements (`statements.ts`), who gets a connection (`postgres_pool.ts`).
 * Invariant: every call settles within the time limits, whatever the server does. A connection
 * that may be broken is not used again, so that a server that comes back is found by itself. No
 * statement is prepared under a name: a pooler may hand the next one to another server process.
 */

import { readFile } from "node:fs/promises";

import postgres from "postgres";

import type { DatabaseConfig } from "../config/config.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { SqlValue } from "../runtime/runtime.ts";
import { refuseOtherSchema } from "./migrate.ts";
import { databaseError, DatabaseError } from "./postgres_error.ts";
import { Pool, type PoolMember } from "./postgres_pool.ts";
import { openDatabaseSocket, type OpenSocket, type TlsTrust } from "./postgres_socket.ts";
import { insertMany } from "./postgres_values.ts";
import type { LockName, SqlDriver, SqlQueries, SqlRow } from "./sql_driver.ts";
import { SqlStore } from "./sql_store.ts";
import type { Store } from "./store.ts";

interface PostgresOptions {
  readonly config: DatabaseConfig;
  readonly clock: Clock;
  /** Hears, once, that the server is waited for. */
  report(message: string): void;
}

const OPEN_WAIT_MS = 30_000;
const OPEN_RETRY_MS = 500;
/** What the server has after its own limit to say so itself. */
const GRACE_MS = 500;
const ATTEMPTS_MAX = 4;

/** Keys of advisory locks: arbitrary, and the same in every version. */
const LOCKS: Readonly<Record<LockName, number>> = {
  migrate: 736_174_001,
  signing_key: 736_174_002,
};

/**
 * Opens the store.
 * @throws Error when the server cannot be reached for 30 s or refuses us, or the schema is not this
 *   version's
 */
export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  const driver = await openPostgres(options);
  try {
    await refuseOtherSchema(driver);
    return new SqlStore(driver);
  } catch (error) {
    await driver.close();
    throw error;
  }
}

/**
 * Connects, whatever schema there is.
 * @throws Error when the server cannot be reached for 30 s, or refuses us
 */
export async function openPostgres({ config, clock, report }: PostgresOptions): Promise<SqlDriver> {
  const driver = new PostgresDriver(config, await trustOf(config), clock);
  const deadlineMs = clock.monotonicMs() + OPEN_WAIT_MS;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await driver.query("SELECT 1");
      return driver;
    } catch (error) {
      const isPassing = error instanceof DatabaseError && error.isUnreachable;
      if (!isPassing || clock.monotonicMs() >= deadlineMs) {
        await driver.close();
        throw error;
      }
      if (attempt === 1) report(`${error.message}; trying for ${OPEN_WAIT_MS / 1_000} s`);
      await sleep(clock, OPEN_RETRY_MS);
    }
  }
}

async function trustOf({ tls }: DatabaseConfig): Promise<TlsTrust | null> {
  if (tls === null) return null;
  const { verify, caFile, serverName } = tls;
  return { verify, serverName, ca: caFile === null ? null : await readFile(caFile, "utf8") };
}

class PostgresDriver implements SqlDriver {
  readonly #config: DatabaseConfig;
  readonly #pool: Pool<Connection>;

  constructor(config: DatabaseConfig, trust: TlsTrust | null, clock: Clock) {
    this.#config = config;
    this.#pool = new Pool({
      sizeMax: config.poolSize,
      waitMs: config.connectTimeoutMs,
      idleTimeoutMs: config.idleTimeoutMs,
      clock,
      open: () => Connection.open(config, trust, clock),
      refuse: (reason) =>
        reason === "closed"
          ? new DatabaseError(config, "CLOSED", "the store is closed")
          : new DatabaseError(config, "POOL_TIMEOUT", "all connections are in use (pool_size)"),
    });
  }

  exec(sql: string): Promise<void> {
    return this.#use((connection) => connection.exec(sql));
  }

  query(sql: string, parameters: readonly SqlValue[] = []): Promise<SqlRow[]> {
    return this.#use((connection) => connection.query(sql, parameters));
  }

  each(sql: string, parameterLists: readonly (readonly SqlValue[])[]): Promise<SqlRow[]> {
    return this.transaction(null, (queries) => queries.each(sql, parameterLists));
  }

  /** Runs it again, all of it, where another transaction came in between. */
  async transaction<T>(
    lock: LockName | null,
    run: (queries: SqlQueries) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#use((connection) => connection.transaction(lock, run));
      } catch (error) {
        const isRepeatable = error instanceof DatabaseError && error.isRepeatable;
        if (!isRepeatable || attempt === ATTEMPTS_MAX) throw error;
      }
    }
  }

  async hasTable(name: string): Promise<boolean> {
    const rows = await this.query("SELECT to_regclass($1) IS NOT NULL AS found", [name]);
    return String(rows[0]?.["found"]) === "true";
  }

  async close(): Promise<void> {
    this.#pool.close();
  }

  async #use<T>(run: (connection: Connection) => Promise<T>): Promise<T> {
    try {
      return await this.#pool.use(run);
    } catch (error) {
      // The others are to the same server.
      if (error instanceof DatabaseError && error.isUnreachable) this.#pool.dropIdle();
      throw error;
    }
  }
}

/** One connection: a postgres.js of its own, on a socket of ours, so that it can be cut off. */
class Connection implements SqlQueries, PoolMember {
  readonly #config: DatabaseConfig;
  readonly #clock: Clock;
  readonly #socket: OpenSocket;
  readonly #sql: postgres.Sql<{ bigint: number | bigint }>;
  /** Rejects when the connection ends, so that no query outlives it. */
  readonly #ended = Promise.withResolvers<never>();
  #isUsable = true;

  /** @throws DatabaseError when the server cannot be reached in time, or refuses us */
  static async open(
    config: DatabaseConfig,
    trust: TlsTrust | null,
    clock: Clock,
  ): Promise<Connection> {
    const socket = await openDatabaseSocket(config, trust, clock);
    const connection = new Connection(config, clock, socket);
    // Logs in. The server may be there and not answer.
    try {
      await connection.#run("SELECT 1", [], config.connectTimeoutMs);
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  private constructor(config: DatabaseConfig, clock: Clock, socket: OpenSocket) {
    this.#config = config;
    this.#clock = clock;
    this.#socket = socket;
    this.#ended.promise.catch(() => undefined);
    this.#sql = connect(config, socket, () => this.#end("CONNECTION_LOST", "it was lost"));
  }

  get isUsable(): boolean {
    return this.#isUsable;
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
    lock: LockName | null,
    run: (queries: SqlQueries) => Promise<T>,
  ): Promise<T> {
    try {
      await this.exec(begin(lock));
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

/**
 * With a lock, each statement sees what was committed before it began: what the lock was waited
 * for. Without one, all see the same, and a write to what another changed meanwhile fails.
 */
function begin(lock: LockName | null): string {
  if (lock === null) return "BEGIN ISOLATION LEVEL REPEATABLE READ";
  return `BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(${LOCKS[lock]})`;
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
function connect(config: DatabaseConfig, { socket }: OpenSocket, onclose: () => void) {
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
