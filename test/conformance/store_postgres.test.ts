/** The store suite on PostgreSQL: two stores with connections of their own stand for two nodes. */

import { afterAll, beforeAll } from "bun:test";

import { systemClock } from "../../src/runtime/clock.ts";
import { migrate } from "../../src/store/migrate.ts";
import { openPostgres, openPostgresStore } from "../../src/store/postgres.ts";
import type { Store } from "../../src/store/store.ts";
import { databaseConfig, PostgresServer } from "../support/postgres_server.ts";
import { storeSuite } from "./store_suite.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server.stop());

storeSuite("PostgreSQL store", async () => {
  const config = databaseConfig(await server.createDatabase());
  const report = (message: string) => {
    throw new Error(message);
  };
  const options = { config, clock: systemClock, report };
  const driver = await openPostgres(options);
  await migrate(driver, 0);
  const stores: Store[] = [];
  const open = async (nodeId: string) => {
    const store = await openPostgresStore({ ...options, nodeId });
    stores.push(store);
    return store;
  };
  const [store, other] = await Promise.all([open("node_1"), open("node_2")]);
  return {
    store,
    other,
    open,
    exec: (sql) => driver.exec(sql),
    look: () => undefined,
    async dispose() {
      await Promise.all([driver, ...stores].map((each) => each.close()));
    },
  };
});
