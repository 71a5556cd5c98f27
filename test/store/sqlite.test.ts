import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openSqlite } from "../../src/runtime/sqlite.ts";
import { verifyAudit } from "../../src/store/audit_chain.ts";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import { by } from "../conformance/store_fixtures.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { usageEvent } from "../support/usage_event.ts";
import { withWorkers } from "../support/workers.ts";

let folder: string;
let reports: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-sqlite-"));
  reports = [];
});

afterEach(() => rmSync(folder, { recursive: true }));

function options(name = "sluice.db") {
  const report = (message: string) => void reports.push(message);
  return { path: join(folder, name), nodeId: "node_1", clock: new FakeClock(), report };
}

test("openSqliteStore() makes files for their owner only, in WAL mode", async () => {
  const store = await openSqliteStore(options());
  await store.insertUsage([usageEvent(1)]);
  for (const name of ["sluice.db", "sluice.db-wal", "sluice.db-shm"]) {
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  }
  await store.close();
  const again = await openSqliteStore(options());
  expect((await again.listUsage({ limit: 5 })).events).toEqual([usageEvent(1)]);
  await again.close();
});

test("openSqliteStore() opens a new database for several processes at once", async () => {
  // Each store has a Worker and so a connection of its own. Revealed a switch to WAL that fails
  // without waiting, in about one of sixty rounds.
  for (let round = 0; round < 20; round += 1) {
    const name = `sluice-${round}.db`;
    const stores = await Promise.all(
      Array.from({ length: 3 }, () => openSqliteStore(options(name))),
    );
    await Promise.all(stores.map((store) => store.close()));
  }
});

test("openSqliteStore() refuses no database, a newer one, and no folder", async () => {
  writeFileSync(
    join(folder, "text.db"),
    "this is no database, but long enough to be looked at".repeat(9),
  );
  const refusal = await openSqliteStore(options("text.db")).catch(String);
  expect(refusal).toContain("not a database");
  expect(refusal).toContain(join(folder, "text.db"));
  const database = openSqlite(join(folder, "new.db"));
  database.exec("CREATE TABLE schema_migrations (version INTEGER, name TEXT, applied_at BIGINT)");
  database.exec("INSERT INTO schema_migrations VALUES (999, 'future', 0)");
  database.close();
  expect(await openSqliteStore(options("new.db")).catch(String)).toContain("version 999");
  expect(await openSqliteStore(options("none/x.db")).catch(String)).toContain("ENOENT");
  expect(reports).toEqual([]);
});

test("a store whose Worker dies rejects what is pending, reports, and starts another", async () => {
  await withWorkers(async (started) => {
    const store = await openSqliteStore(options());
    await store.insertUsage([usageEvent(1)]);
    started[0]?.terminate();
    const pending = [store.listProjects(), store.insertUsage([usageEvent(2)])];
    const answers = await Promise.all(pending.map((each) => each.catch(String)));
    expect(answers.map((answer) => String(answer).includes("Worker died"))).toEqual([true, true]);
    expect(reports).toHaveLength(1);
    const { events } = await store.listUsage({ limit: 5 });
    expect(events).toContainEqual(usageEvent(1));
    expect(started).toHaveLength(2);
    await store.close();
  });
});

test("a write waits for another process's lock", async () => {
  const store = await openSqliteStore(options());
  const other = openSqlite(join(folder, "sluice.db"));
  other.exec("BEGIN IMMEDIATE");
  let isDone = false;
  const inserted = store.insertUsage([usageEvent(1)]).then(() => (isDone = true));
  // A read is answered meanwhile only after the write before it, so it is the write that waits.
  other.exec("INSERT INTO revocations VALUES ('x', 1, 2, 3)");
  expect(isDone).toBe(false);
  other.exec("COMMIT");
  await inserted;
  expect((await store.listRevocations(0, 0)).tokens).toHaveLength(1);
  other.close();
  await store.close();
});

test("an error inside a transaction leaves nothing of it, and the next one commits", async () => {
  const store = await openSqliteStore(options());
  const bad = { ...usageEvent(2), node_id: null } as unknown as ReturnType<typeof usageEvent>;
  const refused = await store.insertUsage([usageEvent(1), bad]).catch(String);
  expect(refused).toContain("NOT NULL");
  expect((await store.listUsage({ limit: 5 })).events).toEqual([]);
  expect(await store.insertUsage([usageEvent(1)])).toHaveLength(1);
  await store.close();
});

test("what people ask to see leaves room for what the node asks for itself", async () => {
  const store = await openSqliteStore(options());
  for (let part = 0; part < 20; part += 1) {
    await store.appendAudit(Array.from({ length: 1_000 }, () => by()));
  }
  let verified: unknown = null;
  const verifying = verifyAudit(store).then((found) => (verified = found));
  let answers = 0;
  while (verified === null) {
    await store.readRevisions();
    answers += 1;
  }
  await verifying;
  expect(verified).toMatchObject({ entries: 20_000, broken: null });
  expect(answers).toBeGreaterThan(20);
  let listed = 0;
  const lists = Array.from({ length: 12 }, async () => {
    await store.listAudit({ limit: 1_000 });
    listed += 1;
  });
  await store.readRevisions();
  expect(listed).toBeLessThan(3);
  await Promise.all(lists);
  await store.close();
}, 60_000);

test.each([["NULL"], ["'text'"], ["-1"], ["1e300"]])(
  "an entry of the audit whose number is %s is found, and no page shows it",
  async (sequence) => {
    const store = await openSqliteStore(options());
    await store.appendAudit([by("a"), by("b")]);
    const database = openSqlite(join(folder, "sluice.db"));
    const columns = "recorded_at, node_id, actor, action, subject, outcome, request_id";
    const rest = `${columns}, client_address, details, hash`;
    database.exec(`INSERT INTO audit (sequence, ${rest})
      SELECT ${sequence}, ${rest} FROM audit WHERE sequence = 1`);
    database.close();
    const { broken, entries } = await verifyAudit(store);
    expect([entries, broken?.reason]).toEqual([
      2,
      expect.stringContaining("was put in by something else than sluice"),
    ]);
    const page = await store.listAudit({ limit: 2 });
    expect(page.entries.map((entry) => entry.action)).toEqual(["b", "a"]);
    await store.close();
  },
);

test("watchRevisions() calls when another connection has written, and only then", async () => {
  const clock = new FakeClock();
  const store = await openSqliteStore({ ...options(), clock });
  const other = await openSqliteStore(options());
  let calls = 0;
  const end = store.watchRevisions(() => void (calls += 1));
  // The answer to a call comes after that to what was asked before it.
  const look = async () => {
    clock.advance(50);
    await store.listProjects();
    await store.listProjects();
  };
  await look();
  expect(calls).toBe(1);
  await look();
  expect(calls).toBe(1);
  await other.insertRevocation({ jti: "a", revoked_at: 1, expires_at: 2 }, by());
  await look();
  expect(calls).toBe(2);
  await store.insertRevocation({ jti: "b", revoked_at: 1, expires_at: 2 }, by());
  await look();
  expect(calls).toBe(2);
  end();
  expect(clock.pendingTimers).toBe(0);
  store.watchRevisions(() => undefined);
  await store.close();
  expect(clock.pendingTimers).toBe(0);
  await other.close();
});

test("watchRevisions() calls again after the Worker died", async () => {
  await withWorkers(async (started) => {
    const clock = new FakeClock();
    const store = await openSqliteStore({ ...options(), clock });
    let calls = 0;
    store.watchRevisions(() => void (calls += 1));
    clock.advance(50);
    await store.listProjects();
    started[0]?.terminate();
    await store.listProjects().catch(() => undefined);
    clock.advance(50);
    await store.listProjects();
    await store.listProjects();
    expect(calls).toBe(2);
    await store.close();
  });
});

test("two processes on one database lose nothing of each other", async () => {
  const rounds = 40;
  const path = options().path;
  const command = [process.execPath, join(import.meta.dir, "sqlite_child.ts"), path];
  const children = ["one", "two"].map((nodeId) =>
    Bun.spawn([...command, nodeId, String(rounds)], { stdout: "inherit", stderr: "pipe" }),
  );
  for (const child of children) {
    expect(await new Response(child.stderr).text()).toBe("");
    expect(await child.exited).toBe(0);
  }
  const store = await openSqliteStore(options());
  const verified = await verifyAudit(store);
  expect(verified).toMatchObject({ entries: 2 * 2 * rounds, broken: null });
  expect((await store.listRevocations(0, 0)).tokens).toHaveLength(2 * rounds);
  expect((await store.readRevisions()).revocations).toBe(1 + 2 * rounds);
  const spent = await store.listSpend("project:default");
  const total = spent.find((row) => row.quantity === "cost_micros" && row.period === "total");
  expect(total?.used).toBe(2 * rounds * 3);
  await store.close();
});
