/**
 * PostgreSQL as a SQL driver, through postgres.js.
 *
 * Owns: how long a start waits for the server, running a transaction again, how much of the pool
 * what may take, and the ear for other nodes. Does not own: statements (`statements*.ts`), a
 * connection (`postgres_connection.ts`), who gets one (`postgres_pool.ts`).
 * Invariant: every call settles within the time limits, whatever the server does. A connection
 * that may be broken is not used again, so that a server that comes back is found by itself.
 */

import { readFile } from "node:fs/promises";

import type { DatabaseConfig } from "../config/config.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { SqlValue } from "../runtime/runtime.ts";
import { refuseOtherSchema } from "./migrate.ts";
import { Connection, type ConnectionTarget } from "./postgres_connection.ts";
import { DatabaseError } from "./postgres_error.ts";
import { Pool } from "./postgres_pool.ts";
import type { TlsTrust } from "./postgres_socket.ts";
import { keepListening } from "./postgres_watch.ts";
import type { SqlDriver, SqlQueries, SqlRow, TransactionKind } from "./sql_driver.ts";
import type { StoreOrigin } from "./sql_change.ts";
import { SqlStore } from "./sql_store.ts";
import type { Store } from "./store.ts";
import { Turns } from "./turns.ts";

interface PostgresOptions {
  readonly config: DatabaseConfig;
  readonly clock: Clock;
  /** Hears, once, that the server is waited for. */
  report(message: string): void;
}

const OPEN_WAIT_MS = 30_000;
const OPEN_RETRY_MS = 500;
const ATTEMPTS_MAX = 4;
/** Connections that neither views nor changes take where there are enough. */
const RESERVED = 2;

/** Where nodes tell each other that something changed. */
const CHANNEL = "sluice_changed";

/**
 * Opens the store.
 * @throws Error when the server cannot be reached for 30 s or refuses us, or the schema is not this
 *   version's
 */
export async function openPostgresStore(
  options: PostgresOptions & { readonly nodeId: string },
): Promise<Store> {
  const driver = await openDriver(options);
  try {
    await refuseOtherSchema(driver);
    return new PostgresStore(driver, options);
  } catch (error) {
    await driver.close();
    throw error;
  }
}

/**
 * Connects, whatever schema there is.
 * @throws Error when the server cannot be reached for 30 s, or refuses us
 */
export function openPostgres(options: PostgresOptions): Promise<SqlDriver> {
  return openDriver(options);
}

async function openDriver({ config, clock, report }: PostgresOptions): Promise<PostgresDriver> {
  const driver = new PostgresDriver({ config, trust: await trustOf(config), clock });
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

class PostgresStore extends SqlStore implements Store {
  readonly #driver: PostgresDriver;

  constructor(driver: PostgresDriver, origin: StoreOrigin) {
    super(driver, origin);
    this.#driver = driver;
  }

  watchRevisions(listener: () => void): () => void {
    return this.#driver.watch(listener);
  }
}

class PostgresDriver implements SqlDriver {
  readonly nowMs = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
  readonly announcement = `NOTIFY ${CHANNEL}`;
  readonly views: Pick<SqlQueries, "query">;
  readonly #target: ConnectionTarget;
  readonly #pool: Pool<Connection>;
  /** They wait for each other on the server, and would each hold a connection meanwhile. */
  readonly #changes: Turns;
  readonly #views: Turns;
  /** Each ends a watch. */
  readonly #watches = new Set<() => void>();

  constructor(target: ConnectionTarget) {
    const { config, clock } = target;
    const refuse = (reason: "closed" | "busy") =>
      reason === "closed"
        ? new DatabaseError(config, "CLOSED", "the store is closed")
        : new DatabaseError(config, "POOL_TIMEOUT", "all connections are in use (pool_size)");
    const waiting = { waitMs: config.connectTimeoutMs, clock, refuse };
    this.#target = target;
    this.#pool = new Pool({
      ...waiting,
      sizeMax: config.poolSize,
      idleTimeoutMs: config.idleTimeoutMs,
      open: () => Connection.open(target),
    });
    this.#changes = new Turns({ ...waiting, sizeMax: 1 });
    this.#views = new Turns({ ...waiting, sizeMax: Math.max(1, config.poolSize - RESERVED - 1) });
    this.views = {
      query: (sql, parameters) => this.#views.take(() => this.query(sql, parameters)),
    };
  }

  exec(sql: string): Promise<void> {
    return this.#use((connection) => connection.exec(sql));
  }

  query(sql: string, parameters: readonly SqlValue[] = []): Promise<SqlRow[]> {
    return this.#use((connection) => connection.query(sql, parameters));
  }

  each(sql: string, parameterLists: readonly (readonly SqlValue[])[]): Promise<SqlRow[]> {
    return this.transaction("latest", (queries) => queries.each(sql, parameterLists));
  }

  transaction<T>(kind: TransactionKind, run: (queries: SqlQueries) => Promise<T>): Promise<T> {
    const transact = () => this.#transact(kind, run);
    return kind === "control" || kind === "audit" ? this.#changes.take(transact) : transact();
  }

  /** Runs it again, all of it, where another transaction came in between. */
  async #transact<T>(kind: TransactionKind, run: (queries: SqlQueries) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#use((connection) => connection.transaction(kind, run));
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

  /** See `Store.watchRevisions`. A connection of its own, beside those of the pool. */
  watch(listener: () => void): () => void {
    const { config, clock } = this.#target;
    // Behind one, each transaction may be another session's, and nobody listens on its behalf.
    if (config.transactionPooler) return () => undefined;
    const open = async () => {
      const connection = await Connection.open(this.#target, listener);
      try {
        await connection.exec(`LISTEN ${CHANNEL}`);
        return connection;
      } catch (error) {
        connection.destroy();
        throw error;
      }
    };
    const end = keepListening({ open, clock, listening: listener });
    this.#watches.add(end);
    return () => {
      this.#watches.delete(end);
      end();
    };
  }

  async close(): Promise<void> {
    for (const end of this.#watches) end();
    this.#watches.clear();
    for (const turns of [this.#changes, this.#views, this.#pool]) turns.close();
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
