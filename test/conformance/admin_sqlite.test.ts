/** The management API on SQLite. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openSqliteStore } from "../../src/store/sqlite.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { adminSuite } from "./admin_suite.ts";

adminSuite("SQLite", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-admin-"));
  const report = (message: string) => {
    throw new Error(message);
  };
  const clock = new FakeClock();
  const path = join(folder, "sluice.db");
  const store = await openSqliteStore({ path, nodeId: "node_1", clock, report });
  return {
    store,
    clock,
    async dispose() {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
});
