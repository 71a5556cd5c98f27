/** The part of the store suite about sums, leases and nodes; see `store_suite.ts`. */

import { expect, test } from "bun:test";

import type { LeaseRequest } from "../../src/store/leases.ts";
import type { Store } from "../../src/store/store.ts";
import { Prng } from "../support/prng.ts";
import { UNRESTRICTED } from "../support/unrestricted.ts";
import { usageEvent } from "../support/usage_event.ts";
import { by, freshly, type OpenedStore, type OpenStore, token } from "./store_fixtures.ts";

/** 2026-11-20 16:06:40 UTC. */
const NOON_MS = 1_795_190_800_000;
const DAY = "day:2026-11-20";
const MONTH = "month:2026-11";

/** @param held by the node that asks */
function budget(subject: string, limit: number, wanted: number, held = 0): LeaseRequest {
  const caps = [{ period: "total", limit }];
  return { subject, quantity: "cost_micros", period: "now", held, wanted, least: 1, caps };
}

/** What is left of a cap for everybody, found out by a node that takes nothing. */
async function leftOf(store: Store, request: LeaseRequest): Promise<number> {
  const asked = { ...request, held: 0, wanted: 0, least: Number.MAX_SAFE_INTEGER };
  const [lease] = await store.lease("probe", [asked]);
  return lease?.left ?? NaN;
}

/** A node says what it holds of something. */
async function report(
  store: Store,
  nodeId: string,
  { subject, quantity, period }: LeaseRequest,
  { number = 1, held = 0, used = 0 },
): Promise<void> {
  const leases = [{ subject, quantity, period, held, used }];
  await store.reportLeases(nodeId, { number, leases, uses: [] });
}

async function spent(store: Store, subject: string): Promise<Record<string, number>> {
  const rows = await store.listSpend(subject);
  return Object.fromEntries(rows.map((row) => [`${row.quantity} ${row.period}`, row.used]));
}

/** Runs this part as `name`. */
export function limitsSuite(name: string, openStore: OpenStore): void {
  let opened: OpenedStore;
  let store: Store;

  const fresh = freshly(openStore, (next) => {
    opened = next;
    store = next.store;
  });

  fresh(name, () => {
    test("insertUsage() adds what was settled to the sums of token and project, once", async () => {
      const place = { project_id: "s1", token_id: "s2", recorded_at: NOON_MS };
      const events = [
        usageEvent(1, { ...place, settled_micros: 100 }),
        usageEvent(2, { ...place, settled_micros: 20, token_id: null }),
        usageEvent(3, { ...place, settled_micros: 3, recorded_at: Date.parse("2026-12-01") }),
        usageEvent(4, { ...place, settled_micros: 0 }),
        usageEvent(5, { ...place, settled_micros: null }),
      ];
      await store.insertUsage([...events, ...events.slice(0, 2)]);
      await opened.other.insertUsage(events);
      expect(await spent(store, "token:s2")).toEqual({
        [`cost_micros ${DAY}`]: 100,
        [`cost_micros ${MONTH}`]: 100,
        "cost_micros day:2026-12-01": 3,
        "cost_micros month:2026-12": 3,
        "cost_micros total": 103,
      });
      expect(await spent(store, "project:s1")).toMatchObject({
        [`cost_micros ${DAY}`]: 120,
        "cost_micros total": 123,
      });
      expect(await store.listSpend("token:none")).toEqual([]);
    });

    test("insertUsage() by four nodes at once adds each event once", async () => {
      const nodes = [store, opened.other, await opened.open("n3"), await opened.open("n4")];
      const random = new Prng(7);
      const events = Array.from({ length: 400 }, (_, index) =>
        usageEvent(10_000 + index, {
          project_id: `hot${index % 2}`,
          token_id: `hot${index % 7}`,
          node_id: `n${index % 4}`,
          settled_micros: 1 + (index % 5),
        }),
      );
      const total = events.reduce((sum, event) => sum + (event.settled_micros ?? 0), 0);
      await Promise.all(
        nodes.map(async (node) => {
          for (let round = 0; round < 12; round += 1) {
            const from = random.int(0, events.length - 1);
            await node.insertUsage(events.slice(from, from + 60));
            await node.lease(`n${nodes.indexOf(node)}`, [budget("token:hot1", 10 ** 9, 5)]);
          }
          await node.insertUsage(events);
        }),
      );
      const sums = await Promise.all([spent(store, "project:hot0"), spent(store, "project:hot1")]);
      const found = sums.reduce((sum, each) => sum + (each["cost_micros total"] ?? 0), 0);
      expect(found).toBe(total);
    });

    test("completeUsage() corrects the sums by the difference, once", async () => {
      const row = { project_id: "c1", token_id: "c2", response_id: "r", recorded_at: NOON_MS };
      const pending = usageEvent(20, { ...row, status: "pending", settled_micros: 500 });
      await store.insertUsage([pending]);
      const done = usageEvent(20, { ...row, settled_micros: 120 });
      const answers = await Promise.all([
        store.completeUsage(done),
        opened.other.completeUsage(done),
      ]);
      expect(answers.toSorted()).toEqual([false, true]);
      expect(await store.insertUsage([done])).toEqual([]);
      const sums = { [`cost_micros ${DAY}`]: 120, [`cost_micros ${MONTH}`]: 120 };
      expect(await spent(store, "token:c2")).toMatchObject({ ...sums, "cost_micros total": 120 });
      expect(await spent(store, "project:c1")).toMatchObject(sums);
    });

    test("lease() grants what is wanted, more while there is plenty, at most all", async () => {
      const ask = async (wanted: number, held: number) =>
        (await store.lease("node_1", [budget("token:g1", 800, wanted, held)]))[0];
      expect(await ask(10, 0)).toEqual({ granted: 100, left: 700, unspent: 800 });
      expect(await ask(300, 100)).toEqual({ granted: 300, left: 400, unspent: 800 });
      expect(await ask(390, 400)).toEqual({ granted: 390, left: 10, unspent: 800 });
      expect(await ask(50, 790)).toEqual({ granted: 10, left: 0, unspent: 800 });
      expect(await ask(1, 800)).toEqual({ granted: 0, left: 0, unspent: 800 });
    });

    test("lease() grants nothing where less is left than helps", async () => {
      const request = { ...budget("token:g5", 100, 200), least: 101 };
      expect(await store.lease("node_1", [request])).toEqual([
        { granted: 0, left: 100, unspent: 100 },
      ]);
      expect(await leftOf(store, request)).toBe(100);
    });

    test("lease() goes by what the node says that it holds", async () => {
      const request = budget("token:g6", 800, 100);
      await store.lease("node_1", [request]);
      // Its answer was lost.
      expect(await store.lease("node_1", [request])).toMatchObject([{ granted: 100, left: 700 }]);
      expect(await leftOf(opened.other, request)).toBe(700);
      await store.lease("node_1", [{ ...request, held: 900 }]);
      expect(await leftOf(opened.other, request)).toBe(0);
    });

    test("lease() holds all caps of a request, and what was used before", async () => {
      const row = { project_id: "g2", recorded_at: NOON_MS, settled_micros: 40 };
      await store.insertUsage([usageEvent(30, row)]);
      const request: LeaseRequest = {
        ...budget("project:g2", 0, 1000),
        caps: [
          { period: "total", limit: 1000 },
          { period: DAY, limit: 100 },
          { period: MONTH, limit: 500 },
        ],
      };
      const [lease] = await store.lease("node_1", [request]);
      expect(lease).toEqual({ granted: 60, left: 0, unspent: 60 });
      const overspent = budget("project:g2", 30, 5);
      const nothing = { granted: 0, left: 0, unspent: 0 };
      expect(await store.lease("node_1", [overspent])).toEqual([nothing]);
    });

    test("lease() counts what is held now for concurrency", async () => {
      const request: LeaseRequest = {
        ...budget("token:g3", 0, 2),
        quantity: "concurrent_sessions",
        caps: [{ period: "now", limit: 3 }],
      };
      expect(await store.lease("node_1", [request])).toMatchObject([{ granted: 2, left: 1 }]);
      expect(await opened.other.lease("node_2", [request])).toMatchObject([
        { granted: 1, left: 0 },
      ]);
      await report(store, "node_1", request, { held: 0 });
      expect(await leftOf(store, request)).toBe(2);
    });

    test("lease() counts what is held of a minute in it alone, also by a dead node", async () => {
      const minute = Math.floor(NOON_MS / 60_000);
      const ask = (number: number, wanted: number): LeaseRequest => {
        const period = `minute:${number}`;
        const caps = [{ period, limit: 1000 }];
        const request = budget("token:g4", 0, wanted);
        return { ...request, quantity: "tokens_per_minute", period, caps };
      };
      const [lease] = await store.lease("gone", [ask(minute, 600)]);
      expect(lease).toEqual({ granted: 600, left: 400, unspent: 1000 });
      await store.removeNode("gone");
      await opened.exec("UPDATE nodes SET seen_at = seen_at - 40000 WHERE node_id = 'gone'");
      expect(await leftOf(opened.other, ask(minute, 0))).toBe(400);
      expect(await leftOf(opened.other, ask(minute + 1, 0))).toBe(1000);
      await store.lease("gone", [ask(minute + 1, 200)]);
      expect(await leftOf(opened.other, ask(minute + 1, 0))).toBe(800);
    });

    test("lease() by four nodes at once never grants more than there is", async () => {
      const nodes = [store, opened.other, await opened.open("r3"), await opened.open("r4")];
      const limit = 100_000;
      const random = new Prng(11);
      let granted = 0;
      let number = 100_000;
      await Promise.all(
        nodes.map(async (node, index) => {
          const nodeId = `r${index}`;
          let held = 0;
          for (let isLeft = true; isLeft;) {
            const request = budget("project:race", limit, random.int(1, 900), held);
            const [lease] = await node.lease(nodeId, [request]);
            const amount = lease?.granted ?? 0;
            isLeft = amount > 0;
            granted += amount;
            // Half of them spend what they got, so that it moves from leases to sums meanwhile.
            if (index % 2 === 0) held += amount;
            if (index % 2 === 0 || amount === 0) continue;
            const row = { project_id: "race", node_id: nodeId, settled_micros: amount };
            await node.insertUsage([usageEvent((number += 1), row)]);
          }
        }),
      );
      expect(granted).toBe(limit);
    });

    test("insertUsage() leaves what is held to the node that holds it", async () => {
      const request = budget("project:u1", 1000, 200);
      await store.lease("node_1", [request]);
      const row = { project_id: "u1", node_id: "node_1" };
      await store.insertUsage([usageEvent(40, { ...row, settled_micros: 150 })]);
      expect(await leftOf(store, request)).toBe(650);
      await report(store, "node_1", request, { held: 50 });
      expect(await leftOf(store, request)).toBe(800);
    });

    test("reportLeases() says what is held, and adds up what is used", async () => {
      const request = { ...budget("token:q1", 100, 40), quantity: "requests" } as const;
      await store.lease("node_q", [request]);
      await report(store, "node_q", request, { held: 30, used: 7 });
      expect(await spent(store, "token:q1")).toEqual({ "requests total": 7 });
      expect(await leftOf(store, request)).toBe(63);
      await store.removeNode("node_q");
      expect(await leftOf(store, request)).toBe(93);
      await report(store, "node_q", request, { number: 2, used: 7 });
      expect(await leftOf(store, request)).toBe(86);
    });

    test("reportLeases() counts once what comes twice, and goes by what is held now", async () => {
      await store.insertToken(token("twice", { project_id: "default" }), by());
      const request = { ...budget("token:q2", 100, 40), quantity: "requests" } as const;
      const uses = [{ tokenId: "twice", requests: 2, cacheHits: 1, lastUsedAt: 5000 }];
      const { subject, quantity, period } = request;
      for (const held of [30, 20, 25]) {
        const leases = [{ subject, quantity, period, held, used: 7 }];
        await store.reportLeases("node_t", { number: 4, leases, uses });
        await opened.other.lease("node_t", []);
        expect(await leftOf(store, request)).toBe(93 - held);
      }
      // Also after it was given up for a while.
      await opened.exec("UPDATE nodes SET seen_at = seen_at - 600000 WHERE node_id = 'node_t'");
      expect(await leftOf(store, request)).toBe(93);
      await report(store, "node_t", request, { number: 4, held: 10, used: 7 });
      expect(await leftOf(store, request)).toBe(83);
      expect(await store.getToken("twice")).toMatchObject({ request_count: 2, cache_hit_count: 1 });
    });

    test("reportLeases() adds up the use of tokens", async () => {
      await store.insertToken(token("use", { project_id: "default" }), by());
      const use = { tokenId: "use", requests: 3, cacheHits: 1, lastUsedAt: 5000 };
      const late = { ...use, requests: 2, cacheHits: 0, lastUsedAt: 4000 };
      const uses = [use, { ...use, tokenId: "unknown" }];
      await store.reportLeases("node_u1", { number: 1, leases: [], uses });
      await opened.other.reportLeases("node_u2", { number: 1, leases: [], uses: [late] });
      const counted = { request_count: 5, cache_hit_count: 1, last_used_at: 5000 };
      expect(await store.getToken("use")).toMatchObject(counted);
    });

    test("what a node holds is void while it is not seen for 30 s", async () => {
      const request = budget("project:d1", 1000, 400);
      await store.lease("dead", [request]);
      const ago = (ms: number) =>
        opened.exec(`UPDATE nodes SET seen_at = seen_at - ${ms} WHERE node_id = 'dead'`);
      await ago(20_000);
      expect(await leftOf(store, request)).toBe(600);
      await opened.other.reportLeases("dead", { number: 1, leases: [], uses: [] });
      await ago(20_000);
      expect(await leftOf(store, request)).toBe(600);
      await ago(10_000);
      expect(await leftOf(store, request)).toBe(1000);
      await report(store, "dead", request, { number: 2, held: 250 });
      expect(await leftOf(store, request)).toBe(750);
    });

    test("a node is forgotten after a day, with all that it held", async () => {
      const request = budget("project:d2", 1000, 400);
      await store.lease("back", [request]);
      await opened.exec("UPDATE nodes SET seen_at = seen_at - 86400000 WHERE node_id = 'back'");
      expect(await leftOf(store, request)).toBe(1000);
      await store.reportLeases("back", { number: 1, leases: [], uses: [] });
      expect(await leftOf(store, request)).toBe(1000);
    });

    test("deleteProject() forgets the sums of the project and its tokens", async () => {
      const row = { id: "x1", name: "x1", is_active: true, ...UNRESTRICTED };
      const times = { created_at: 1, updated_at: 1, deactivated_at: null };
      await store.insertProject({ ...row, ...times }, by());
      await store.insertToken(token("x2", { project_id: "x1" }), by());
      const said = { quantity: "requests", period: "now", held: 0, used: 1 } as const;
      const subjects = ["project:x1", "token:x2", "token:x3"];
      const leases = subjects.map((subject) => ({ subject, ...said }));
      await store.reportLeases("node_x", { number: 1, leases, uses: [] });
      await store.deleteProject("x1", by());
      const left = await Promise.all(subjects.map((subject) => store.listSpend(subject)));
      expect(left.map((rows) => rows.length)).toEqual([0, 0, 1]);
    });
  });
}
