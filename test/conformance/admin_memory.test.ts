/** The management API over the store in memory that its other tests use. */

import { FakeClock } from "../support/fake_clock.ts";
import { MemoryStore } from "../support/memory_store.ts";
import { adminSuite } from "./admin_suite.ts";

adminSuite("the store in memory", () => {
  const clock = new FakeClock();
  return Promise.resolve({ store: new MemoryStore(clock), clock, dispose: async () => {} });
});
