/**
 * The store on SQLite, as seen from the main thread: every call is a message to one Worker.
 *
 * Owns: the Worker's life, the matching of answers to calls, whose turn it is, and asking now and
 * then whether another process has changed something. Does not own: SQL, which runs in
 * `sqlite_worker.ts`.
 * Invariant: every call settles. When the Worker dies, what is pending is rejected, the death is
 * reported, and the next call starts another.
 */

import { closeSync, openSync } from "node:fs";

import { type ErrorCode, GatewayError } from "../errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { SilentStore } from "./sql_store.ts";
import type { Store } from "./store.ts";
import { Turns } from "./turns.ts";

/** How often another process's changes are looked for. */
const WATCH_EVERY_MS = 50;
const VIEW_WAIT_MS = 10_000;

/** What a Worker is asked, at a time of this thread's clock. */
export type WorkerRequest = { readonly id: number; readonly nowMs: number } & WorkerTask;

type WorkerTask =
  | { readonly method: "open"; readonly path: string; readonly nodeId: string }
  | { readonly method: "dataVersion" }
  | { readonly method: keyof SilentStore; readonly args: readonly unknown[] | JsonArguments };

/** Arguments as one text: many objects are copied to the Worker at a fraction of the cost so. */
type JsonArguments = string;

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
  /** Of this node, for the audit. */
  readonly nodeId: string;
  readonly clock: Pick<Clock, "nowMs" | "after" | "every">;
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
  readonly #clock: SqliteOptions["clock"];
  #lastId = 0;
  #isDead = false;
  readonly opened: Promise<unknown>;

  constructor(options: SqliteOptions, died: (message: string) => void) {
    this.#died = died;
    this.#clock = options.clock;
    // This spelling is found from source and, built with `--entry-naming "[name].[ext]"`, in the
    // executable.
    this.#worker = new Worker(new URL("./sqlite_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = (event: MessageEvent<WorkerReply>) => this.#settle(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    this.#worker.addEventListener("close", () => this.#fail("it ended"));
    this.opened = this.#send({ method: "open", path: options.path, nodeId: options.nodeId });
    // Whoever waits for it hears of it; nobody may be waiting.
    this.opened.catch(() => undefined);
  }

  call(method: keyof SilentStore, args: readonly unknown[]): Promise<unknown> {
    return this.#send({ method, args: method === "insertUsage" ? JSON.stringify(args) : args });
  }

  /** Another value than before once another process has committed something. */
  dataVersion(): Promise<unknown> {
    return this.#send({ method: "dataVersion" });
  }

  terminate(): void {
    this.#isDead = true;
    this.#worker.terminate();
  }

  #send(task: WorkerTask): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#calls.set(id, { resolve, reject });
      const request: WorkerRequest = { id, nowMs: this.#clock.nowMs(), ...task };
      this.#worker.postMessage(request);
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
  /** Each ends a watch. */
  readonly #watches = new Set<() => void>();
  /** One at a time, so that the node's own calls get in between. */
  readonly #views: Turns;
  #thread: Thread | null = null;
  #isClosed = false;

  constructor(options: SqliteOptions) {
    this.#options = options;
    this.#views = new Turns({
      sizeMax: 1,
      waitMs: VIEW_WAIT_MS,
      clock: options.clock,
      refuse: (reason) =>
        new Error(reason === "closed" ? "The store is closed" : "SQLite: too many want to read"),
    });
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
  replaceCredentialCiphertext = this.#operation("replaceCredentialCiphertext");
  listTokens = this.#view("listTokens");
  getToken = this.#view("getToken");
  insertToken = this.#operation("insertToken");
  updateToken = this.#operation("updateToken");
  revokeToken = this.#operation("revokeToken");
  changeTokenOverride = this.#operation("changeTokenOverride");
  insertRevocation = this.#operation("insertRevocation");
  insertProjectRevocation = this.#operation("insertProjectRevocation");
  markRevokedTokens = this.#operation("markRevokedTokens");
  pageRevocations = this.#view("pageRevocations");
  listRevocations = this.#operation("listRevocations");
  forgetExpired = this.#operation("forgetExpired");
  readRevisions = this.#operation("readRevisions");
  listSigningKeys = this.#operation("listSigningKeys");
  ensureSigningKey = this.#operation("ensureSigningKey");
  insertSigningKey = this.#operation("insertSigningKey");
  deleteSigningKey = this.#operation("deleteSigningKey");
  replaceSigningKeyCiphertext = this.#operation("replaceSigningKeyCiphertext");
  getPolicy = this.#operation("getPolicy");
  getPolicyVersion = this.#view("getPolicyVersion");
  listPolicyVersions = this.#view("listPolicyVersions");
  putPolicy = this.#operation("putPolicy");
  lease = this.#operation("lease");
  reportLeases = this.#operation("reportLeases");
  removeNode = this.#operation("removeNode");
  listSpend = this.#view("listSpend");
  appendAudit = this.#operation("appendAudit");
  listAudit = this.#view("listAudit");
  checkAudit = this.#view("checkAudit");
  insertUsage = this.#operation("insertUsage");
  findPendingUsage = this.#operation("findPendingUsage");
  completeUsage = this.#operation("completeUsage");
  listUsage = this.#view("listUsage");

  watchRevisions(listener: () => void): () => void {
    let isAsking = false;
    let seen: { readonly thread: Thread; readonly version: unknown } | null = null;
    const ask = async () => {
      const thread = this.#current();
      await thread.opened;
      const version = await thread.dataVersion();
      // Of another connection the number means something else.
      const isSame = seen?.thread === thread && seen.version === version;
      seen = { thread, version };
      if (!isSame) listener();
    };
    const look = () => {
      if (isAsking || this.#isClosed) return;
      isAsking = true;
      // Whoever wants something of the database hears what is wrong with it.
      ask()
        .catch(() => undefined)
        .finally(() => (isAsking = false));
    };
    const timer = this.#options.clock.every(WATCH_EVERY_MS, look);
    const end = () => timer.cancel();
    this.#watches.add(end);
    return () => {
      this.#watches.delete(end);
      end();
    };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    const thread = this.#thread;
    this.#isClosed = true;
    for (const end of this.#watches) end();
    this.#views.close();
    await thread?.call("close", []);
    thread?.terminate();
  }

  #operation<M extends keyof SilentStore>(method: M): Store[M] {
    const send = (...args: unknown[]) => this.#send(method, args);
    // The Worker calls the method of this name of a `Store`, so the answer has its type.
    return send as unknown as Store[M];
  }

  /** One of what people ask to see. */
  #view<M extends keyof SilentStore>(method: M): Store[M] {
    const send = (...args: unknown[]) => this.#views.take(() => this.#send(method, args));
    // As above.
    return send as unknown as Store[M];
  }

  async #send(method: keyof SilentStore, args: readonly unknown[]): Promise<unknown> {
    if (this.#isClosed) throw new Error("The store is closed");
    const thread = this.#current();
    await thread.opened;
    return thread.call(method, args);
  }

  #current(): Thread {
    this.#thread ??= new Thread(this.#options, (message) => {
      this.#thread = null;
      this.#options.report(message);
    });
    return this.#thread;
  }
}
