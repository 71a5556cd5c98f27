/**
 * The store on SQLite, as seen from the main thread: every call is a message to one Worker.
 *
 * Owns: the Worker's life and the matching of answers to calls. Does not own: SQL, which runs in
 * `sqlite_worker.ts`.
 * Invariant: every call settles. When the Worker dies, what is pending is rejected, the death is
 * reported, and the next call starts another.
 */

import { closeSync, openSync } from "node:fs";

import { type ErrorCode, GatewayError } from "../errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Store } from "./store.ts";

export type WorkerRequest =
  | { readonly id: number; readonly method: "open"; readonly path: string; readonly nowMs: number }
  | { readonly id: number; readonly method: keyof Store; readonly args: readonly unknown[] };

export interface WorkerError {
  readonly message: string;
  /** What to make a GatewayError of again; null for any other error. */
  readonly gateway: {
    readonly code: ErrorCode;
    readonly param: string | null;
    readonly status: number;
  } | null;
}

export interface WorkerReply {
  readonly id: number;
  readonly error: WorkerError | null;
  readonly value: unknown;
}

interface SqliteOptions {
  /** The database file; made with mode 0600, and migrated, where it does not exist. */
  readonly path: string;
  readonly clock: Pick<Clock, "nowMs">;
  /** Hears of a Worker that died. */
  report(message: string): void;
}

/**
 * Opens the store, creating and migrating the database.
 * @throws when the file cannot be opened, is no database, or has a newer schema
 */
export async function openSqliteStore(options: SqliteOptions): Promise<Store> {
  // Made here for its mode; SQLite gives the files beside it the same.
  closeSync(openSync(options.path, "a", 0o600));
  const store = new SqliteStore(options);
  try {
    await store.ready();
    return store;
  } catch (cause) {
    store.terminate();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot open the database ${options.path}: ${why}`, { cause });
  }
}

interface Call {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** One Worker, from its start to its death. */
class Thread {
  readonly #worker: Worker;
  readonly #calls = new Map<number, Call>();
  readonly #died: (message: string) => void;
  #lastId = 0;
  #isDead = false;
  readonly opened: Promise<unknown>;

  constructor(options: SqliteOptions, died: (message: string) => void) {
    this.#died = died;
    // This spelling is found from source and, built with `--entry-naming "[name].[ext]"`, in the
    // executable.
    this.#worker = new Worker(new URL("./sqlite_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = (event: MessageEvent<WorkerReply>) => this.#settle(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    this.#worker.addEventListener("close", () => this.#fail("it ended"));
    const { path, clock } = options;
    this.opened = this.#send((id) => ({ id, method: "open", path, nowMs: clock.nowMs() }));
    // Whoever waits for it hears of it; nobody may be waiting.
    this.opened.catch(() => undefined);
  }

  call(method: keyof Store, args: readonly unknown[]): Promise<unknown> {
    return this.#send((id) => ({ id, method, args }));
  }

  terminate(): void {
    this.#isDead = true;
    this.#worker.terminate();
  }

  #send(request: (id: number) => WorkerRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#calls.set(id, { resolve, reject });
      this.#worker.postMessage(request(id));
    });
  }

  #settle(reply: WorkerReply): void {
    const call = this.#calls.get(reply.id);
    this.#calls.delete(reply.id);
    if (reply.error === null) call?.resolve(reply.value);
    else call?.reject(asError(reply.error));
  }

  #fail(cause: string): void {
    if (this.#isDead) return;
    this.terminate();
    const message = `SQLite: the Worker died: ${cause}`;
    for (const call of this.#calls.values()) call.reject(new Error(message));
    this.#calls.clear();
    this.#died(message);
  }
}

function asError({ message, gateway }: WorkerError): Error {
  if (gateway === null) return new Error(message);
  const { code, param, status } = gateway;
  return new GatewayError(code, { message, status, ...(param === null ? {} : { param }) });
}

class SqliteStore implements Store {
  readonly #options: SqliteOptions;
  #thread: Thread | null = null;
  #isClosed = false;

  constructor(options: SqliteOptions) {
    this.#options = options;
  }

  async ready(): Promise<void> {
    await this.#current().opened;
  }

  terminate(): void {
    this.#isClosed = true;
    this.#thread?.terminate();
  }

  listProjects = this.#operation("listProjects");
  insertProject = this.#operation("insertProject");
  updateProject = this.#operation("updateProject");
  deleteProject = this.#operation("deleteProject");
  listCredentials = this.#operation("listCredentials");
  putCredential = this.#operation("putCredential");
  deleteCredential = this.#operation("deleteCredential");
  listTokens = this.#operation("listTokens");
  getToken = this.#operation("getToken");
  insertToken = this.#operation("insertToken");
  updateToken = this.#operation("updateToken");
  revokeToken = this.#operation("revokeToken");
  revokeTokensOfProject = this.#operation("revokeTokensOfProject");
  listRevocations = this.#operation("listRevocations");
  insertRevocation = this.#operation("insertRevocation");
  listSigningKeys = this.#operation("listSigningKeys");
  ensureSigningKey = this.#operation("ensureSigningKey");
  insertUsage = this.#operation("insertUsage");
  findPendingUsage = this.#operation("findPendingUsage");
  completeUsage = this.#operation("completeUsage");
  listUsage = this.#operation("listUsage");

  async close(): Promise<void> {
    if (this.#isClosed) return;
    const thread = this.#thread;
    this.#isClosed = true;
    await thread?.call("close", []);
    thread?.terminate();
  }

  #operation<M extends keyof Store>(method: M): Store[M] {
    const send = async (...args: unknown[]) => {
      if (this.#isClosed) throw new Error("The store is closed");
      const thread = this.#current();
      await thread.opened;
      return thread.call(method, args);
    };
    // The Worker calls the method of this name of a `Store`, so the answer has its type.
    return send as unknown as Store[M];
  }

  #current(): Thread {
    this.#thread ??= new Thread(this.#options, (message) => {
      this.#thread = null;
      this.#options.report(message);
    });
    return this.#thread;
  }
}
