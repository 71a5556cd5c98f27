/**
 * The thread in which all SQLite work happens, because SQLite blocks: 0.2 ms a durable commit, at
 * worst 31.
 *
 * Owns: the connection and its settings. Does not own: what the operations are (`sql_store.ts`).
 * Invariant: one request at a time, in the order of arrival, so that no statement slips into
 * another request's transaction. Started by `sqlite.ts` only, and in the executable an entry point
 * of its own.
 */

import { GatewayError } from "../errors.ts";
import { lockFile, openSqlite } from "../runtime/sqlite.ts";
import { migrate } from "./migrate.ts";
import { type SilentStore, SqlStore } from "./sql_store.ts";
import { SqliteDriver } from "./sqlite_driver.ts";
import type { WorkerError, WorkerReply, WorkerRequest } from "./sqlite.ts";

declare const self: Worker;

/**
 * Waits for another process's write lock before giving up. FULL: a commit that was answered
 * survives a power cut. The size limit gives back the space of a write-ahead log that grew under
 * load.
 */
const SETTINGS = `
  PRAGMA busy_timeout = 5000;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA foreign_keys = ON;
  PRAGMA journal_size_limit = 67108864;`;

/** A migration of a large database takes its time. */
const OPEN_WAIT_MS = 60_000;

interface Opened {
  readonly store: SilentStore;
  readonly driver: SqliteDriver;
}

/** As the last request had it: nobody reads a clock here. */
let nowMs = 0;
let opened: Opened | null = null;
let queue: Promise<void> = Promise.resolve();

async function open(path: string, nodeId: string): Promise<Opened> {
  // One at a time: of two processes that switch a new database to WAL at once, one gets
  // SQLITE_BUSY, and SQLite does not wait there whatever busy_timeout says.
  const lock = lockFile(`${path}.lock`, OPEN_WAIT_MS);
  if (lock === null) throw new Error(`Another process has been opening ${path} for a minute`);
  try {
    return await openAlone(path, nodeId);
  } finally {
    lock.release();
  }
}

async function openAlone(path: string, nodeId: string): Promise<Opened> {
  const database = openSqlite(path);
  try {
    database.exec(SETTINGS);
    const driver = new SqliteDriver(database);
    await migrate(driver, nowMs);
    const store = new SqlStore(driver, { nodeId, clock: { nowMs: () => nowMs } });
    return { store, driver };
  } catch (error) {
    database.close();
    throw error;
  }
}

async function run(request: WorkerRequest): Promise<unknown> {
  nowMs = request.nowMs;
  if (request.method === "open") {
    opened = await open(request.path, request.nodeId);
    return null;
  }
  if (opened === null) throw new Error("The database is not open");
  if (request.method === "dataVersion") return opened.driver.dataVersion();
  // The calls of sqlite.ts are typed by `Store`; a message loses the tie between method and
  // arguments.
  const operations = opened.store as unknown as Record<
    string,
    (...args: unknown[]) => Promise<unknown>
  >;
  const { method, args } = request;
  return operations[method]?.(...(typeof args === "string" ? JSON.parse(args) : args));
}

async function answer(request: WorkerRequest): Promise<void> {
  const { id } = request;
  let reply: WorkerReply;
  try {
    reply = { id, error: null, value: await run(request) };
  } catch (error) {
    reply = { id, error: describe(error), value: null };
  }
  self.postMessage(reply);
}

function describe(error: unknown): WorkerError {
  if (error instanceof GatewayError) {
    const { code, message, param, status } = error;
    return { message, gateway: { code, param, status } };
  }
  const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
  const message = error instanceof Error ? error.message : String(error);
  return { message: `SQLite: ${message}${code}`, gateway: null };
}

self.onmessage = (event: MessageEvent<WorkerRequest>) => {
  queue = queue.then(() => answer(event.data));
};
