/** The management API on PostgreSQL. */

import { afterAll, beforeAll } from "bun:test";

import { systemClock } from "../../src/runtime/clock.ts";
import { migrate } from "../../src/store/migrate.ts";
import { openPostgres, openPostgresStore } from "../../src/store/postgres.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { databaseConfig, PostgresServer } from "../support/postgres_server.ts";
import { adminSuite } from "./admin_suite.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server.stop());

adminSuite("PostgreSQL", async () => {
  const config = databaseConfig(await server.createDatabase());
  const report = (message: string) => {
    throw new Error(message);
  };
  const options = { config, clock: systemClock, report, nodeId: "node_1" };
  const driver = await openPostgres(options);
  await migrate(driver, 0);
  await driver.close();
  const store = await openPostgresStore(options);
  return { store, clock: new FakeClock(), dispose: () => store.close() };
});
