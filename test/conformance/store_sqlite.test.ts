/** The store suite on SQLite: two Workers on one file stand for two processes. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openSqliteStore } from "../../src/store/sqlite.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { storeSuite } from "./store_suite.ts";

storeSuite("SQLite store", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-store-"));
  const report = (message: string) => {
    throw new Error(message);
  };
  const options = { path: join(folder, "sluice.db"), clock: new FakeClock(), report };
  const [store, other] = await Promise.all([openSqliteStore(options), openSqliteStore(options)]);
  return {
    store,
    other,
    async dispose() {
      await Promise.all([store.close(), other.close()]);
      rmSync(folder, { recursive: true });
    },
  };
});
