/**
 * The part of the store suite about lists that grow: pages of them, what is forgotten, and the
 * tokens that a project's revocation marks; see `store_suite.ts`.
 */

import { describe, expect, test } from "bun:test";

import type {
  PageQuery,
  ProjectRevocationRow,
  RevocationRow,
  Store,
} from "../../src/store/store.ts";
import { by, freshly, type OpenedStore, type OpenStore, project, token } from "./store_fixtures.ts";

const DAY_MS = 86_400_000;
const MANY = 20_000;

/** Tokens of `p1`, each a millisecond after the one before, as SQL for both databases. */
function manyTokens(prefix: string, expiresAtMs: number): string {
  return `INSERT INTO tokens (id, project_id, created_at, expires_at)
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ${MANY})
    SELECT '${prefix}' || n, 'p1', 1000 + n, ${expiresAtMs} FROM n`;
}

async function walk<T>(
  page: (query: PageQuery) => Promise<{ found: readonly T[]; nextCursor: string | null }>,
  limit: number,
): Promise<T[]> {
  const all: T[] = [];
  let cursor: string | null = null;
  do {
    const { found, nextCursor } = await page(cursor === null ? { limit } : { limit, cursor });
    expect(found.length).toBeLessThanOrEqual(limit);
    all.push(...found);
    cursor = nextCursor;
  } while (cursor !== null);
  return all;
}

function idOf(row: RevocationRow | ProjectRevocationRow): string {
  return "jti" in row ? row.jti : row.project_id;
}

async function markAll(store: Store, nowMs: number): Promise<number> {
  let marked = 0;
  for (;;) {
    const more = await store.markRevokedTokens("p1", nowMs);
    expect(more).toBeLessThan(MANY);
    if (more === 0) return marked;
    marked += more;
  }
}

/** Runs this part as `name`. */
export function listsSuite(name: string, openStore: OpenStore): void {
  describe(name, () => {
    let opened: OpenedStore;
    let store: Store;

    const fresh = freshly(openStore, (next) => {
      opened = next;
      store = next.store;
      return store.insertProject(project("p1"), by());
    });

    fresh("pages", () => {
      test("listTokens() gives each token once, newest first, page by page", async () => {
        // Three share each time, so that a page ends amid equals.
        const tokens = Array.from({ length: 13 }, (_, index) =>
          token(`t${String(index).padStart(2, "0")}`, {
            created_at: 1000 + Math.floor(index / 3),
            project_id: index % 2 === 0 ? "p1" : "default",
          }),
        );
        for (const row of tokens) await store.insertToken(row, by());
        const expected = tokens.toReversed();
        for (const limit of [1, 2, 3, 4, 12, 13, 14]) {
          const all = await walk(async (query) => {
            const { tokens: found, nextCursor } = await store.listTokens(query);
            return { found, nextCursor };
          }, limit);
          expect(all).toEqual(expected);
        }
        const ours = await walk(async (query) => {
          const page = await store.listTokens({ ...query, projectId: "p1" });
          return { found: page.tokens, nextCursor: page.nextCursor };
        }, 2);
        expect(ours).toEqual(expected.filter((row) => row.project_id === "p1"));
      });

      test("pageRevocations() gives what is in force once, newest first, in pages", async () => {
        for (const [jti, revoked_at] of Object.entries({ a: 2, b: 1, c: 2, d: 3 })) {
          await store.insertRevocation({ jti, revoked_at, expires_at: 9000 }, by());
        }
        await store.insertRevocation({ jti: "over", revoked_at: 4, expires_at: 50 }, by());
        for (const [project_id, revoked_at] of Object.entries({ p: 2, q: 4, r: 2 })) {
          const row = { project_id, issued_before: 7, revoked_at, expires_at: 9000 };
          await store.insertProjectRevocation(row, by());
        }
        for (const limit of [1, 2, 3, 6, 7, 8]) {
          const all = await walk(async (query) => {
            const page = await store.pageRevocations(query, 50);
            return { found: page.revocations, nextCursor: page.nextCursor };
          }, limit);
          expect(all.map(idOf)).toEqual(["q", "d", "c", "a", "r", "p", "b"]);
          expect(all[1]).toEqual({ jti: "d", revoked_at: 3, expires_at: 9000 });
        }
      });

      test.each(["", "x", "e30", "WzEsMl0"])("a page refuses the cursor %j", async (cursor) => {
        const refused = [
          store.listTokens({ limit: 1, cursor }),
          store.pageRevocations({ limit: 1, cursor }, 0),
        ];
        for (const one of refused) {
          expect(await one.catch((error: unknown) => error)).toMatchObject({ param: "cursor" });
        }
      });
    });

    fresh("many tokens", () => {
      test("a page of them is read without the others", async () => {
        await opened.exec(manyTokens("live", 9000));
        const first = await store.listTokens({ limit: 3, projectId: "p1" });
        expect(first.tokens.map((row) => row.created_at)).toEqual([21_000, 20_999, 20_998]);
        const cursor = first.nextCursor ?? "";
        const second = await store.listTokens({ limit: 1, projectId: "p1", cursor });
        expect(second.tokens.map((row) => row.created_at)).toEqual([20_997]);
      });

      test("markRevokedTokens() marks living ones that it is about, in steps", async () => {
        await opened.exec(manyTokens("over", 100));
        await store.insertToken(token("later", { created_at: 30_000 }), by());
        await store.insertToken(token("other", { project_id: "default" }), by());
        expect(await markAll(store, 100)).toBe(0);
        const row = { project_id: "p1", issued_before: 21_000, revoked_at: 7, expires_at: 9000 };
        await store.insertProjectRevocation(row, by());
        expect(await markAll(store, 100)).toBe(MANY);
        expect(await markAll(opened.other, 100)).toBe(0);
        expect(await store.getToken("live1")).toMatchObject({ revoked_at: 7 });
        for (const id of ["over1", "later", "other"]) {
          expect(await store.getToken(id)).toMatchObject({ revoked_at: null });
        }
      });

      test("forgetExpired() deletes tokens and their sums 30 days after, in steps", async () => {
        await opened.exec(`INSERT INTO spend (subject, quantity, period, used, expires_at)
          SELECT 'token:' || id, 'requests', 'total', 5, NULL FROM tokens`);
        const used = async (id: string) => (await store.listSpend(`token:${id}`)).length;
        expect(await store.forgetExpired(30 * DAY_MS + 99)).toBe(1);
        expect(await store.getToken("over1")).not.toBeNull();
        let forgotten = 0;
        for (;;) {
          const more = await store.forgetExpired(30 * DAY_MS + 100);
          expect(more).toBeLessThan(MANY);
          if (more === 0) break;
          forgotten += more;
        }
        expect(forgotten).toBe(MANY);
        expect(await store.getToken("over1")).toBeNull();
        expect([await used("over1"), await used("live1")]).toEqual([0, 1]);
        expect(await store.getToken("live1")).not.toBeNull();
      });
    });
  });
}
