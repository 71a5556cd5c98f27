/** The part of the store suite about policies and their versions; see `store_suite.ts`. */

import { expect, test } from "bun:test";

import type { Store } from "../../src/store/store.ts";
import { by, freshly, type OpenedStore, type OpenStore } from "./store_fixtures.ts";

const NAME = "service-tier";

/** Runs this part as `name`. In order: each test stands on those before. */
export function policiesSuite(name: string, openStore: OpenStore): void {
  let opened: OpenedStore;
  let store: Store;

  const fresh = freshly(openStore, (next) => {
    opened = next;
    store = next.store;
  });

  fresh(name, () => {
    test("getPolicy() and the lists of a policy that never was are empty", async () => {
      expect(await store.getPolicy(NAME)).toBeNull();
      expect(await store.getPolicyVersion(NAME, 1)).toBeNull();
      expect(await store.listPolicyVersions(NAME, 10, null)).toEqual([]);
      expect(await store.putPolicy(NAME, null, null, 1, by())).toEqual({ version: 0 });
    });

    test("putPolicy() adds a version that other nodes read, and audits which", async () => {
      const change = by("policy.put", { actor: "alice", details: { rules: 2 } });
      expect(await store.putPolicy(NAME, '{"a":"é\\u0000"}', null, 1000, change)).toEqual({
        version: 1,
      });
      expect(await opened.other.getPolicy(NAME)).toEqual({
        version: 1,
        document: '{"a":"é\\u0000"}',
        created_at: 1000,
        actor: "alice",
      });
      const [entry] = (await store.listAudit({ limit: 1 })).entries;
      expect(entry).toMatchObject({ action: "policy.put", details: { rules: 2, version: 1 } });
      expect(await store.getPolicy("another")).toBeNull();
    });

    test("putPolicy() refuses a version that is not the newest one any more", async () => {
      expect(await store.putPolicy(NAME, "{}", 0, 2000, by())).toBe("stale");
      expect(await store.putPolicy(NAME, "{}", 1, 2000, by())).toEqual({ version: 2 });
      expect(await store.putPolicy(NAME, "{}", 3, 2000, by())).toBe("stale");
    });

    test("putPolicy() of two nodes at once with the same version takes one of them", async () => {
      const puts = [store, opened.other].map((each) => each.putPolicy(NAME, "{}", 2, 2500, by()));
      const results = await Promise.all(puts);
      expect(results.filter((one) => one === "stale")).toHaveLength(1);
      expect(results).toContainEqual({ version: 3 });
    });

    test("putPolicy() of null takes it away once, and keeps its versions", async () => {
      expect(await store.putPolicy(NAME, null, 3, 3000, by())).toEqual({ version: 4 });
      expect(await store.putPolicy(NAME, null, null, 3500, by())).toEqual({ version: 4 });
      expect(await store.getPolicy(NAME)).toMatchObject({ version: 4, document: null });
      expect(await store.getPolicyVersion(NAME, 1)).toMatchObject({ actor: "alice" });
    });

    test("listPolicyVersions() lists from the newest on, page after page", async () => {
      const page = await store.listPolicyVersions(NAME, 2, null);
      expect(page).toEqual([
        { version: 4, created_at: 3000, actor: "ops", is_reset: true },
        { version: 3, created_at: 2500, actor: "ops", is_reset: false },
      ]);
      const next = await store.listPolicyVersions(NAME, 2, 3);
      expect(next.map(({ version }) => version)).toEqual([2, 1]);
    });
  });
}
