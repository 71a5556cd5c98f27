/** The store suite on SQLite: two Workers on one file stand for two processes. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openSqlite } from "../../src/runtime/sqlite.ts";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import type { Store } from "../../src/store/store.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { storeSuite } from "./store_suite.ts";

storeSuite("SQLite store", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-store-"));
  const report = (message: string) => {
    throw new Error(message);
  };
  const clock = new FakeClock();
  const path = join(folder, "sluice.db");
  const stores: Store[] = [];
  const open = async (nodeId: string) => {
    const store = await openSqliteStore({ path, nodeId, clock, report });
    stores.push(store);
    return store;
  };
  const [store, other] = await Promise.all([open("node_1"), open("node_2")]);
  const database = openSqlite(path);
  database.exec("PRAGMA busy_timeout = 5000");
  return {
    store,
    other,
    open,
    async exec(sql) {
      database.exec(sql);
    },
    look: () => clock.advance(1_000),
    async dispose() {
      await Promise.all(stores.map((each) => each.close()));
      database.close();
      rmSync(folder, { recursive: true });
    },
  };
});
