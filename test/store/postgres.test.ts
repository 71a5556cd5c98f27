/** The driver against a real server, which is stopped, frozen and killed on the way. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";

import { systemClock } from "../../src/runtime/clock.ts";
import { verifyAudit } from "../../src/store/audit_chain.ts";
import { type Migration, migrate, migrationStatus, MIGRATIONS } from "../../src/store/migrate.ts";
import { openPostgres, openPostgresStore } from "../../src/store/postgres.ts";
import type { SqlDriver } from "../../src/store/sql_driver.ts";
import type { Store } from "../../src/store/store.ts";
import { by, project } from "../conformance/store_fixtures.ts";
import { LOCALHOST_CERTIFICATE, OTHER_CERTIFICATE } from "../support/certificates.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { databaseConfig, IS_OURS, PostgresServer } from "../support/postgres_server.ts";
import { usageEvent } from "../support/usage_event.ts";

let server: PostgresServer;
let url: string;
let drivers: SqlDriver[] = [];

beforeAll(async () => {
  server = await PostgresServer.start();
  url = await server.createDatabase();
});
afterAll(() => server.stop());
afterEach(async () => {
  await Promise.all(drivers.map((driver) => driver.close()));
  drivers = [];
});

type Change = Parameters<typeof databaseConfig>[1];

function report(message: string): void {
  throw new Error(message);
}

async function open(change: Change = {}, clock = systemClock, at = url): Promise<SqlDriver> {
  const driver = await openPostgres({ config: databaseConfig(at, change), clock, report });
  drivers.push(driver);
  return driver;
}

/** Lets what is under way get as far as it can. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe("values", () => {
  test("BIGINT comes as a number where it fits, exactly where it does not", async () => {
    const driver = await open();
    const sql = "SELECT $1::bigint AS a, $2::bigint AS b, $3::bigint AS c";
    const values = [1_795_190_000_123, Number.MAX_SAFE_INTEGER, 9_007_199_254_740_993n];
    const [a, b, c] = values;
    expect(await driver.query(sql, values)).toEqual([{ a: a ?? 0, b: b ?? 0, c: c ?? 0 }]);
    const sums = "SELECT SUM(n::bigint) AS sum, AVG(n) AS mean FROM (VALUES (1), (2)) AS v (n)";
    expect(await driver.query(sums)).toEqual([{ sum: 3, mean: 1.5 }]);
  });

  test("text, JSON text, fractions, bytes and null go and come unchanged", async () => {
    const driver = await open();
    const sql =
      "SELECT $1::text AS a, $2::text AS b, $3::float8 AS c, $4::bytea AS d, $5::text AS e";
    const values = ['{"a":[1,"x"]}', "it's \\ \u{1f600}\n$1", 0.1, new Uint8Array([0, 255]), null];
    const [row] = await driver.query(sql, values);
    expect(row).toMatchObject({ a: values[0], b: values[1], c: 0.1, e: null });
    expect([...(row?.["d"] instanceof Uint8Array ? row["d"] : [])]).toEqual([0, 255]);
  });

  test("a session has a name and limits; behind a transaction pooler the name only", async () => {
    const show = async (driver: SqlDriver) => {
      const names = [
        "application_name",
        "statement_timeout",
        "idle_in_transaction_session_timeout",
      ];
      const sql = names.map((name) => `current_setting('${name}') AS ${name}`).join(", ");
      return Object.values((await driver.query(`SELECT ${sql}`))[0] ?? {});
    };
    expect(await show(await open())).toEqual(["sluice-test", "5s", "5s"]);
    expect(await show(await open({ transactionPooler: true }))).toEqual(["sluice-test", "0", "0"]);
    expect(await show(await open({ statementTimeoutMs: 0 }))).toEqual(["sluice-test", "0", "0"]);
  });

  test("no statement is left prepared on the server", async () => {
    const driver = await open({ poolSize: 1 });
    for (let round = 0; round < 3; round += 1) await driver.query("SELECT $1::text", ["x"]);
    expect(await driver.query("SELECT * FROM pg_prepared_statements")).toEqual([]);
  });
});

describe("transaction()", () => {
  beforeAll(async () => {
    const driver = await openPostgres({ config: databaseConfig(url), clock: systemClock, report });
    await driver.exec(
      "CREATE TABLE t (k TEXT PRIMARY KEY, n BIGINT); INSERT INTO t VALUES ('a', 0)",
    );
    await driver.close();
  });

  test("commits all or nothing", async () => {
    const driver = await open();
    const failed = driver.transaction("latest", async (queries) => {
      await queries.query("INSERT INTO t VALUES ($1, 1)", ["b"]);
      throw new Error("changed my mind");
    });
    expect(await failed.catch(String)).toBe("Error: changed my mind");
    expect(await driver.query("SELECT k FROM t WHERE k = 'b'")).toEqual([]);
  });

  test("fails where a statement failed and its error was swallowed", async () => {
    const driver = await open({ poolSize: 1 });
    const failed = driver.transaction("latest", async (queries) => {
      await queries.query("UPDATE t SET n = 100");
      await queries.query("SELECT 1 / 0").catch(() => undefined);
    });
    expect(await failed.catch(String)).toContain("the transaction was not committed (ROLLBACK)");
    expect(await driver.query("SELECT n FROM t")).toEqual([{ n: 0 }]);
  });

  test("that reads sees one moment, and writes nothing", async () => {
    const [one, two] = [await open(), await open()];
    const counts = await one.transaction("read", async (queries) => {
      const before = await queries.query("SELECT n FROM t");
      await two.query("UPDATE t SET n = n + 1");
      return [before, await queries.query("SELECT n FROM t")];
    });
    expect(counts).toEqual([[{ n: 0 }], [{ n: 0 }]]);
    const written = one.transaction("read", (queries) => queries.query("DELETE FROM t"));
    expect(await written.catch(String)).toContain("(25006)");
  });

  test("without a lock sees with each statement what was committed before it", async () => {
    const [one, two] = [await open(), await open()];
    const add = (driver: SqlDriver) =>
      driver.transaction("latest", (queries) => queries.query("UPDATE t SET n = n + 1"));
    await Promise.all([add(one), add(two), add(one), add(two)]);
    expect(await one.query("SELECT n FROM t WHERE k = 'a'")).toEqual([{ n: 5 }]);
  });

  test("with a lock runs one at a time, and sees what was committed before it", async () => {
    const [one, two] = [await open(), await open()];
    const count = (driver: SqlDriver) =>
      driver.transaction("control", async (queries) => {
        const [row] = await queries.query("SELECT COUNT(*) AS n FROM t");
        await queries.query("INSERT INTO t VALUES ($1, 0)", [`lock ${Number(row?.["n"])}`]);
      });
    await Promise.all([one, two, one, two, one, two].map(count));
    expect(await one.query("SELECT k FROM t WHERE k LIKE 'lock %'")).toHaveLength(6);
  });

  test("runs again where another one took the name in between, and at last gives up", async () => {
    const driver = await open();
    let runs = 0;
    const failed = driver.transaction("latest", async (queries) => {
      runs += 1;
      await queries.query("INSERT INTO t VALUES ('a', 1)");
    });
    expect(await failed.catch(String)).toContain("(23505)");
    expect(runs).toBe(4);
  });

  test("each() takes thousands of rows, in order, and nothing of a batch that fails", async () => {
    const driver = await open();
    await driver.exec("CREATE TABLE many (k BIGINT PRIMARY KEY)");
    const sql = "INSERT INTO many (k) VALUES ($1) ON CONFLICT DO NOTHING RETURNING k";
    const lists = Array.from({ length: 3_000 }, (_, index) => [index]);
    const rows = await driver.each(sql, lists);
    expect(rows.map((row) => row["k"])).toEqual(lists.flat());
    expect(await driver.each(sql, [...lists, [5_000], [5_000]])).toEqual([{ k: 5_000 }]);
    expect(await driver.each(sql, [[6_000], ["x"]]).catch(String)).toContain("(22P02)");
    expect(await driver.query("SELECT k FROM many WHERE k = 6000")).toEqual([]);
    const doubled = await driver.each("UPDATE many SET k = -k WHERE k = $1 RETURNING k", [
      [7],
      [8],
    ]);
    expect(doubled).toEqual([{ k: -7 }, { k: -8 }]);
  });
});

describe("a schema", () => {
  const next: Migration = { version: 5, name: "next", sql: "CREATE TABLE two (a TEXT)" };

  test("that is missing, behind or newer is refused, and the refusal says what to do", async () => {
    const config = databaseConfig(await server.createDatabase());
    const options = { config, clock: systemClock, nodeId: "node_1", report };
    const missing = await openPostgresStore(options).catch(String);
    expect(missing).toContain("no schema yet, and this sluice needs version 4");
    expect(missing).toContain("sluice migrate");
    const driver = await openPostgres(options);
    drivers.push(driver);
    expect(await migrationStatus(driver)).toEqual([
      { version: 1, name: "init", appliedAtMs: null },
      { version: 2, name: "control_plane", appliedAtMs: null },
      { version: 3, name: "policies", appliedAtMs: null },
      { version: 4, name: "project_lists", appliedAtMs: null },
    ]);
    expect(await driver.hasTable("schema_migrations")).toBe(false);
    await migrate(driver, 5);
    await (await openPostgresStore(options)).close();
    expect(await migrate(driver, 6, [...MIGRATIONS, next])).toEqual(["next"]);
    expect(await openPostgresStore(options).catch(String)).toContain("schema version 5, and this");
    expect(await migrationStatus(driver)).toEqual([
      { version: 1, name: "init", appliedAtMs: 5 },
      { version: 2, name: "control_plane", appliedAtMs: 5 },
      { version: 3, name: "policies", appliedAtMs: 5 },
      { version: 4, name: "project_lists", appliedAtMs: 5 },
      { version: 5, name: "next", appliedAtMs: 6 },
    ]);
  });

  test("is migrated by one of several at once", async () => {
    const at = await server.createDatabase();
    const several = await Promise.all([1, 2, 3].map(() => open({}, systemClock, at)));
    const applied = await Promise.all(several.map((driver) => migrate(driver, 5)));
    expect(applied.flat().toSorted()).toEqual(MIGRATIONS.map(({ name }) => name).toSorted());
  });
});

describe("time limits", () => {
  test("a statement that takes too long is ended by the server; its connection stays", async () => {
    const driver = await open({ statementTimeoutMs: 100, poolSize: 1 });
    const pid = () => driver.query("SELECT pg_backend_pid() AS pid");
    const before = await pid();
    expect(await driver.query("SELECT pg_sleep(30)").catch(String)).toContain("(57014)");
    expect(await pid()).toEqual(before);
  });

  test("a busy pool refuses after connect_timeout", async () => {
    const clock = new FakeClock();
    const driver = await open({ poolSize: 1, connectTimeoutMs: 700 }, clock);
    const held = Promise.withResolvers<void>();
    const running = driver.transaction("latest", () => held.promise);
    const waiting = driver.query("SELECT 1").catch(String);
    clock.advance(700);
    expect(await waiting).toContain("all connections are in use (pool_size) (POOL_TIMEOUT)");
    held.resolve();
    await running;
  });

  test("an unused connection is closed, on the server too", async () => {
    const clock = new FakeClock();
    const driver = await open({ idleTimeoutMs: 1_000, applicationName: "idle-test" }, clock);
    clock.advance(1_000);
    const watch = await open();
    const sql = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'idle-test'";
    while ((await watch.query(sql)).length > 0);
    expect(await driver.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test.skipIf(!IS_OURS)(
    "a frozen server fails calls in time, and is found when it thaws",
    async () => {
      const clock = new FakeClock();
      const driver = await open({ statementTimeoutMs: 1_000, connectTimeoutMs: 400 }, clock);
      await Promise.all([driver.query("SELECT 1"), driver.query("SELECT 1")]);
      const idleTimers = clock.pendingTimers;
      server.freeze();
      try {
        const hanging = driver.query("SELECT 1").catch(String);
        await until(() => clock.pendingTimers >= idleTimers);
        clock.advance(1_500);
        expect(await hanging).toContain("no answer within 1500 ms (STATEMENT_TIMEOUT)");
        // The idle one was dropped too: this one has to connect.
        const connecting = driver.query("SELECT 1").catch(String);
        await until(() => clock.pendingTimers > 0);
        while (clock.pendingTimers > 0) {
          clock.advance(400);
          await new Promise((resolve) => setImmediate(resolve));
        }
        expect(await connecting).toMatch(/_TIMEOUT\)$/);
      } finally {
        server.thaw();
      }
      expect(await driver.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    },
  );
});

describe("watchRevisions()", () => {
  let options: Parameters<typeof openPostgresStore>[0];
  beforeAll(async () => {
    const config = databaseConfig(await server.createDatabase());
    options = { config, clock: systemClock, nodeId: "node_1", report };
    const driver = await openPostgres(options);
    await migrate(driver, 0);
    await driver.close();
  });

  const listening = "SELECT 1 FROM pg_stat_activity WHERE query = 'LISTEN sluice_changed'";

  test("never calls behind a transaction pooler", async () => {
    const store = await openPostgresStore({
      ...options,
      config: { ...options.config, transactionPooler: true },
    });
    const end = store.watchRevisions(() => report("called"));
    await store.insertRevocation({ jti: "a", revoked_at: 1, expires_at: 2 }, by());
    expect(await (await open()).query(listening)).toEqual([]);
    end();
    await store.close();
  });

  test("is told of what happens in a transaction when that commits, and not before", async () => {
    const store = await openPostgresStore(options);
    const calls: string[] = [];
    let heard = Promise.withResolvers<void>();
    store.watchRevisions(() => {
      calls.push("heard");
      heard.resolve();
    });
    await heard.promise;
    heard = Promise.withResolvers();
    const driver = await openPostgres(options);
    drivers.push(driver);
    await driver.transaction("latest", async (queries) => {
      await queries.exec(driver.announcement ?? "");
      await queries.query("SELECT 1");
      calls.push("committing");
    });
    await heard.promise;
    expect(calls).toEqual(["heard", "committing", "heard"]);
    await store.close();
    const watch = await open();
    while ((await watch.query(listening)).length > 0);
  });

  test("listens again after its connection was cut", async () => {
    const store = await openPostgresStore(options);
    let heard = Promise.withResolvers<void>();
    const next = () => {
      heard = Promise.withResolvers();
      return heard.promise;
    };
    const first = heard.promise;
    store.watchRevisions(() => heard.resolve());
    await first;
    const again = next();
    const cut = listening.replace("SELECT 1", "SELECT pg_terminate_backend(pid)");
    await (await open()).query(cut);
    await again;
    const changed = next();
    await store.insertRevocation({ jti: "b", revoked_at: 1, expires_at: 2 }, by());
    await changed;
    await store.close();
  });
});

describe("a pool of five", () => {
  let config: ReturnType<typeof databaseConfig>;
  beforeAll(async () => {
    config = databaseConfig(await server.createDatabase(), { connectTimeoutMs: 20_000 });
    const driver = await openPostgres({ config, clock: systemClock, report });
    await migrate(driver, 0);
    await driver.close();
  });

  /** What the follower, the limits and the ledger ask for, all at once. */
  async function nodeWorks(store: Store): Promise<void> {
    await store.readRevisions();
    await store.listRevocations(0, 0);
    await store.listProjects();
    await store.lease("node_1", []);
    await store.insertUsage([usageEvent(1)]);
  }

  function openStore(): Promise<Store> {
    const ours = { ...config, poolSize: 5, connectTimeoutMs: 1_000 };
    return openPostgresStore({ config: ours, clock: new FakeClock(), nodeId: "node_1", report });
  }

  test("keeps two for the node while viewers check a long audit and list", async () => {
    const store = await openStore();
    for (let part = 0; part < 20; part += 1) {
      await store.appendAudit(Array.from({ length: 1_000 }, () => by()));
    }
    const lock = await openPostgres({ config, clock: systemClock, report });
    let views: Promise<unknown>[] = [];
    await lock.transaction("latest", async (queries) => {
      // None of them ends until it is released.
      await queries.exec("LOCK TABLE audit, tokens IN ACCESS EXCLUSIVE MODE");
      views = Array.from({ length: 12 }, () => [
        verifyAudit(store),
        store.listAudit({ limit: 9 }),
        store.listTokens({ limit: 9 }),
      ]).flat();
      await nodeWorks(store);
    });
    await nodeWorks(store);
    const [verified] = await Promise.all(views);
    expect(verified).toMatchObject({ entries: 20_000, broken: null });
    await Promise.all([store.close(), lock.close()]);
  });

  test("keeps four for the rest while its changes wait for another node's", async () => {
    const store = await openStore();
    const other = await openPostgres({ config, clock: systemClock, report });
    let changes: Promise<unknown>[] = [];
    await other.transaction("control", async () => {
      changes = Array.from({ length: 12 }, (_, index) => [
        store.insertProject(project(`p${index}`), by()),
        store.appendAudit([by()]),
      ]).flat();
      await nodeWorks(store);
      await store.listAudit({ limit: 1 });
    });
    expect((await Promise.all(changes)).filter((inserted) => inserted === true)).toHaveLength(12);
    await Promise.all([store.close(), other.close()]);
  });
});

describe.skipIf(!IS_OURS)("a server that goes away", () => {
  test("fails what is running at once, and is used again when it is back", async () => {
    const driver = await open();
    const running = driver.query("SELECT pg_sleep(30)").catch(String);
    const watch = await open();
    const sql =
      "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND state = 'active'";
    while ((await watch.query(sql)).length < 2);
    await server.kill();
    expect(await running).toMatch(/\((CONNECTION_LOST|ECONNRESET|57P0\d)\)$/);
    expect(await driver.query("SELECT 1").catch(String)).toMatch(/\(E\w+\)$/);
    await server.resume();
    expect(await driver.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await server.halt();
    expect(await driver.query("SELECT 1").catch(String)).toMatch(/\(\w+\)$/);
    await server.resume();
    expect(await driver.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("is waited for at the start, said once, and given up after 30 s", async () => {
    await server.halt();
    const clock = new FakeClock();
    const said: string[] = [];
    const config = databaseConfig(url, { password: "hunter22" });
    const start = () =>
      openPostgres({ config, clock, report: (message) => void said.push(message) });
    let outcome = "";
    const failed = start().catch((error: unknown) => (outcome = String(error)));
    while (outcome === "") {
      clock.advance(500);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await failed;
    expect(clock.monotonicMs()).toBeGreaterThanOrEqual(30_000);
    expect(outcome).toContain("ECONNREFUSED");
    expect(said).toHaveLength(1);
    expect(said[0]).toEndWith("; trying for 30 s");
    expect(said.join() + outcome).not.toContain("hunter22");
    await server.resume();
  });

  test("is not waited for when it refuses us", async () => {
    const clock = new FakeClock();
    const refused = async (change: Change) =>
      openPostgres({ config: databaseConfig(url, change), clock, report }).catch(String);
    const wrong = await refused({ password: "hunter22" });
    expect(wrong).toContain("password authentication failed");
    expect(wrong).not.toContain("hunter22");
    expect(await refused({ name: "nowhere" })).toContain('database "nowhere" does not exist');
    expect(clock.pendingTimers).toBe(0);
  });
});

describe.skipIf(!IS_OURS)("TLS", () => {
  let caFile: string;
  let otherFile: string;

  beforeAll(async () => {
    caFile = server.write("server.crt", LOCALHOST_CERTIFICATE.cert);
    otherFile = server.write("other.crt", OTHER_CERTIFICATE.cert);
    const keyFile = server.write("server.key", LOCALHOST_CERTIFICATE.key);
    await server.halt();
    await server.resume(["ssl=on", `ssl_cert_file=${caFile}`, `ssl_key_file=${keyFile}`]);
  });

  const trust = { verify: true, serverName: "localhost" };

  test("verifies the certificate against the file, and encrypts", async () => {
    const driver = await open({ tls: { ...trust, caFile } });
    const sql = "SELECT ssl::text AS ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    expect(await driver.query(sql)).toEqual([{ ssl: "true" }]);
    const large = "x".repeat(2_000_000);
    expect(await driver.query("SELECT $1::text AS large", [large])).toEqual([{ large }]);
  });

  test.each([
    ["an unknown authority", () => ({ ...trust, caFile: null })],
    ["another authority", () => ({ ...trust, caFile: otherFile })],
    ["another name", () => ({ ...trust, caFile, serverName: "db.example" })],
  ])("refuses %s at once", async (_, tls) => {
    const config = databaseConfig(url, { tls: tls() });
    const clock = new FakeClock();
    const refused = await openPostgres({ config, clock, report }).catch(String);
    expect(refused).toMatch(/certificate|altnames|self.signed|issuer|unable to verify/i);
    expect(clock.pendingTimers).toBe(0);
  });

  test("trusts anyone when told to", async () => {
    const driver = await open({ tls: { verify: false, caFile: null, serverName: "db.example" } });
    expect(await driver.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("names a certificate file that cannot be read", async () => {
    const tls = { ...trust, caFile: "/nonexistent/ca.pem" };
    const failed = openPostgres({
      config: databaseConfig(url, { tls }),
      clock: systemClock,
      report,
    });
    expect(await failed.catch(String)).toContain("/nonexistent/ca.pem");
  });
});
