/** Which policy is in force, and which readings of the store may change that. */

import { describe, expect, test } from "bun:test";

import { CurrentPolicy } from "../../src/policy/current_policy.ts";
import {
  DEFAULT_SERVICE_TIER_POLICY,
  parseServiceTierPolicy,
  ServiceTierPolicyError,
} from "../../src/policy/service_tier_policy.ts";
import type { PolicyRow } from "../../src/store/store.ts";
import { BY_ADMIN } from "../support/identity.ts";
import { MemoryStore } from "../support/memory_store.ts";

const BLOCK_FLEX = { rules: [{ service_tier: "flex", action: "block" }] };
const PASS_ALL = { rules: [] };

function setUp(configured: unknown = null) {
  const store = new MemoryStore();
  const lines: object[] = [];
  const current = new CurrentPolicy(configured, (event, fields) =>
    lines.push({ event, ...fields }),
  );
  const put = async (policy: object | string | null) => {
    const document =
      policy === null || typeof policy === "string" ? policy : JSON.stringify(policy);
    await store.putPolicy("service-tier", document, null, 0, BY_ADMIN);
    await current.load(store);
  };
  return { store, current, lines, put };
}

/** A store whose answers are given by hand, in any order. */
class SlowStore {
  readonly answers: PromiseWithResolvers<PolicyRow | null>[] = [];

  getPolicy(): Promise<PolicyRow | null> {
    const answer = Promise.withResolvers<PolicyRow | null>();
    this.answers.push(answer);
    return answer.promise;
  }
}

function row(version: number, policy: object): PolicyRow {
  return { version, document: JSON.stringify(policy), created_at: 0, actor: "ops" };
}

describe("CurrentPolicy", () => {
  test("is the default where nothing else was said, and says so once", async () => {
    const { store, current, lines } = setUp();
    await current.load(store);
    await current.load(store);
    expect(current.policy).toEqual(DEFAULT_SERVICE_TIER_POLICY);
    expect(current).toMatchObject({ source: "default", version: 0, heldVersion: 0, problem: null });
    expect(lines).toEqual([{ event: "policy_in_force", source: "default", version: 0 }]);
  });

  test("is the stored one, or that of the configuration where none is stored", async () => {
    const { store, current, lines, put } = setUp(PASS_ALL);
    await current.load(store);
    expect(current.policy).toEqual(parseServiceTierPolicy(PASS_ALL));
    await put(BLOCK_FLEX);
    expect(current.policy).toEqual(parseServiceTierPolicy(BLOCK_FLEX));
    await put(null);
    expect(current.policy).toEqual(parseServiceTierPolicy(PASS_ALL));
    expect(lines).toEqual([
      { event: "policy_in_force", source: "configuration", version: 0 },
      { event: "policy_in_force", source: "stored", version: 1 },
      { event: "policy_in_force", source: "configuration", version: 2 },
    ]);
  });

  test("throws every problem of a configured one", () => {
    const rules = [{ service_tier: "flex" }, { action: "pass" }];
    const thrown = (() => {
      try {
        return setUp({ rules });
      } catch (error) {
        return error;
      }
    })();
    if (!(thrown instanceof ServiceTierPolicyError)) throw new Error("It was taken");
    const paths = thrown.problems.map(({ path }) => path);
    expect(paths).toEqual(["rules[0].action", "rules[1].service_tier"]);
  });

  test.each(["{", "null", '{"rules":[{"action":"pass"}]}', '{"rules":[],"later":1}'])(
    "keeps the one before where %s is stored, and has a problem until that is mended",
    async (document) => {
      const { store, current, lines, put } = setUp();
      await put(BLOCK_FLEX);
      await put(document);
      await current.load(store);
      expect(current.policy).toEqual(parseServiceTierPolicy(BLOCK_FLEX));
      expect(current).toMatchObject({ source: "stored", version: 2, heldVersion: 1 });
      expect(current.problem).toBeString();
      expect(lines.slice(1)).toEqual([
        {
          event: "policy_unreadable",
          version: 2,
          in_force: 1,
          source: "stored",
          reason: current.problem,
        },
      ]);
      await put(PASS_ALL);
      expect(current).toMatchObject({ version: 3, heldVersion: 3, problem: null });
    },
  );

  test("is the default where nothing before an unreadable one is known", async () => {
    const { current, put } = setUp();
    await put("{");
    expect(current.policy).toEqual(DEFAULT_SERVICE_TIER_POLICY);
    expect(current).toMatchObject({ source: "default", version: 1, heldVersion: 0 });
  });

  test("stays what it is while the store cannot be read", async () => {
    const { store, current, put } = setUp();
    await put(BLOCK_FLEX);
    store.failWith = new Error("database is gone");
    expect(current.load(store)).rejects.toThrow("gone");
    expect(current).toMatchObject({ version: 1, problem: null });
  });

  test("load() that began before another one and ends after it changes nothing", async () => {
    const { current } = setUp();
    const store = new SlowStore();
    const loads = [current.load(store), current.load(store)];
    store.answers[1]?.resolve(row(2, PASS_ALL));
    await loads[1];
    store.answers[0]?.resolve(row(1, BLOCK_FLEX));
    await loads[0];
    expect(current.version).toBe(2);
  });

  test("take() is not undone by a load() that began before, nor by an older version", async () => {
    const { current } = setUp();
    const store = new SlowStore();
    const load = current.load(store);
    current.take(row(2, PASS_ALL));
    current.take(row(1, BLOCK_FLEX));
    store.answers[0]?.resolve(row(1, BLOCK_FLEX));
    await load;
    expect(current).toMatchObject({ version: 2, source: "stored" });
    expect(current.policy.rules).toEqual([]);
  });

  test("load() follows a database that was restored from a backup", async () => {
    const { current } = setUp();
    const store = new SlowStore();
    current.take(row(9, PASS_ALL));
    const load = current.load(store);
    store.answers[0]?.resolve(row(3, BLOCK_FLEX));
    await load;
    expect(current.version).toBe(3);
  });
});
