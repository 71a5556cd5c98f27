/**
 * What every store must do, whichever database it is on. Run by one file a database.
 *
 * `openStore` gives a store on an empty, migrated database that is the test's own.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type {
  CredentialRow,
  ProjectRow,
  SigningKeyRow,
  Store,
  TokenRow,
  UsageQuery,
} from "../../src/store/store.ts";
import { usageEvent } from "../support/usage_event.ts";

export interface OpenedStore {
  readonly store: Store;
  /** A second store on the same database, as another process would have it. */
  readonly other: Store;
  dispose(): Promise<void>;
}

function project(id: string, change: Partial<ProjectRow> = {}): ProjectRow {
  const times = { created_at: 1000, updated_at: 1000, deactivated_at: null };
  return { id, name: `name of ${id}`, is_active: true, ...times, ...change };
}

function credential(id: string, change: Partial<CredentialRow> = {}): CredentialRow {
  const values = { label: null, ciphertext: `v1.${id}`, masked: "sk-a****wxyz" };
  const owner = { project_id: "p1", provider: "openai" };
  return { id, ...owner, ...values, created_at: 1000, updated_at: 1000, ...change };
}

function token(id: string, change: Partial<TokenRow> = {}): TokenRow {
  const times = { created_at: 1000, expires_at: 9000, revoked_at: null };
  return { id, project_id: "p1", label: null, ...times, ...change };
}

function signingKey(kid: string): SigningKeyRow {
  return { kid, algorithm: "EdDSA", public_jwk: "{}", ciphertext: "v1.k", created_at: 1000 };
}

/** Runs the suite as `name`. */
export function storeSuite(name: string, openStore: () => Promise<OpenedStore>): void {
  describe(name, () => {
    let opened: OpenedStore;
    let store: Store;

    function fresh(title: string, define: () => void): void {
      describe(title, () => {
        beforeAll(async () => {
          opened = await openStore();
          store = opened.store;
        });
        afterAll(() => opened.dispose());
        define();
      });
    }

    fresh("projects", () => {
      test("the project default exists from the first migration", async () => {
        const [found] = await store.listProjects();
        expect(found).toMatchObject({ id: "default", name: "default", is_active: true });
      });

      test("insertProject() refuses an id or a name that is taken", async () => {
        expect(await store.insertProject(project("p1"))).toBe(true);
        expect(await store.insertProject(project("p1", { name: "another" }))).toBe(false);
        expect(await store.insertProject(project("p9", { name: "name of p1" }))).toBe(false);
        expect(await store.listProjects()).toContainEqual(project("p1"));
      });

      test("updateProject() changes what is given and keeps when it was deactivated", async () => {
        const renamed = await store.updateProject("p1", { name: "new" }, 2000);
        expect(renamed).toEqual(project("p1", { name: "new", updated_at: 2000 }));
        const ended = await store.updateProject("p1", { is_active: false }, 3000);
        expect(ended).toMatchObject({ is_active: false, deactivated_at: 3000, name: "new" });
        const again = await store.updateProject("p1", { is_active: false }, 4000);
        expect(again).toMatchObject({ deactivated_at: 3000, updated_at: 4000 });
        const back = await store.updateProject("p1", { is_active: true }, 5000);
        expect(back).toMatchObject({ is_active: true, deactivated_at: null });
        expect(await store.updateProject("none", { name: "x" }, 2000)).toBeNull();
      });

      test("updateProject() by two nodes at once loses neither change", async () => {
        for (let round = 1; round <= 5; round += 1) {
          const name = `round ${round}`;
          const change = { is_active: round % 2 === 0 };
          await Promise.all([
            store.updateProject("p1", { name }, 6000),
            opened.other.updateProject("p1", change, 6000),
          ]);
          const rows = await store.listProjects();
          expect(rows.find((row) => row.id === "p1")).toMatchObject({ name, ...change });
        }
      });

      test("updateProject() refuses another project's name", async () => {
        const refused = store.updateProject("p1", { name: "default" }, 2000);
        const error = await refused.then(
          () => null,
          (thrown: unknown) => thrown,
        );
        expect(error).toBeInstanceOf(GatewayError);
        expect(error).toMatchObject({ code: "bad_request", status: 409, param: "name" });
      });

      test("deleteProject() deletes what belongs to it, but not one with usage", async () => {
        await store.putCredential(credential("c1"));
        await store.insertToken(token("t1"));
        expect(await store.deleteProject("p1")).toBe("deleted");
        expect(await store.deleteProject("p1")).toBe("not_found");
        expect(await store.listCredentials()).toEqual([]);
        expect(await store.listTokens()).toEqual([]);
        await store.insertProject(project("p2"));
        await store.insertUsage([usageEvent(1, { project_id: "p2" })]);
        expect(await store.deleteProject("p2")).toBe("in_use");
      });

      test("a text with quotes, NUL-free controls and every plane of Unicode is kept", async () => {
        const label = `'; DROP TABLE projects; -- "\u{1f600}\u202e\n\t\\ é`;
        await store.insertProject(project("p3", { name: label }));
        expect(await store.listProjects()).toContainEqual(project("p3", { name: label }));
      });
    });

    fresh("credentials", () => {
      test("putCredential() keeps one credential a project and provider", async () => {
        await store.insertProject(project("p1"));
        await store.putCredential(credential("c1"));
        await store.putCredential(credential("c2", { provider: "gemini", created_at: 1001 }));
        const next = credential("c3", { ciphertext: "v1.next", label: "new", created_at: 1002 });
        await store.putCredential(next);
        expect((await store.listCredentials()).map((row) => row.id)).toEqual(["c2", "c3"]);
        expect(await store.listCredentials()).toContainEqual(next);
        await store.putCredential({ ...next, ciphertext: "v1.same", updated_at: 5000 });
        expect(await store.listCredentials()).toHaveLength(2);
      });

      test("putCredential() by two nodes at once keeps one", async () => {
        const [one, two] = [credential("c5"), credential("c6")];
        await Promise.all([store.putCredential(one), opened.other.putCredential(two)]);
        const kept = (await store.listCredentials()).filter((row) => row.provider === "openai");
        expect(kept).toHaveLength(1);
        await store.putCredential(credential("c3"));
      });

      test("putCredential() refuses a project that does not exist", async () => {
        const refused = store.putCredential(credential("c4", { project_id: "none" }));
        expect(await refused.catch(() => "refused")).toBe("refused");
      });

      test("deleteCredential() says whether there was one", async () => {
        expect(await store.deleteCredential("c3")).toBe(true);
        expect(await store.deleteCredential("c3")).toBe(false);
      });
    });

    fresh("tokens and revocations", () => {
      test("tokens are listed by project, read and relabelled", async () => {
        await store.insertProject(project("p1"));
        await store.insertToken(token("t1"));
        await store.insertToken(token("t2", { created_at: 1001, label: "two" }));
        await store.insertToken(token("t3", { project_id: "default" }));
        expect((await store.listTokens("p1")).map((row) => row.id)).toEqual(["t1", "t2"]);
        expect(await store.listTokens()).toHaveLength(3);
        expect(await store.getToken("t2")).toEqual(token("t2", { created_at: 1001, label: "two" }));
        expect(await store.getToken("none")).toBeNull();
        expect(await store.updateToken("t1", { label: "one" })).toMatchObject({ label: "one" });
        expect(await store.updateToken("none", { label: null })).toBeNull();
      });

      test("revokeToken() puts the token on the list and keeps the first time", async () => {
        expect(await store.revokeToken("t1", 2000)).toMatchObject({ revoked_at: 2000 });
        expect(await store.revokeToken("t1", 3000)).toMatchObject({ revoked_at: 2000 });
        expect(await store.revokeToken("none", 2000)).toBeNull();
        const listed = { jti: "t1", revoked_at: 2000, expires_at: 9000 };
        expect(await store.listRevocations(2500)).toEqual([listed]);
      });

      test("revokeTokensOfProject() revokes those that are not, and returns them", async () => {
        const revoked = await store.revokeTokensOfProject("p1", 4000);
        expect(revoked.map((row) => row.id)).toEqual(["t2"]);
        expect(await store.revokeTokensOfProject("p1", 5000)).toEqual([]);
        expect((await store.listRevocations(0)).map((row) => row.jti)).toEqual(["t1", "t2"]);
        expect(await store.getToken("t3")).toMatchObject({ revoked_at: null });
      });

      test("listRevocations() leaves out tokens that have expired", async () => {
        expect(await store.listRevocations(8999)).toHaveLength(2);
        expect(await store.listRevocations(9000)).toEqual([]);
      });

      test("insertRevocation() keeps the first time and the later end", async () => {
        await store.insertRevocation({ jti: "x", revoked_at: 100, expires_at: 20_000 });
        await store.insertRevocation({ jti: "x", revoked_at: 200, expires_at: 30_000 });
        await store.insertRevocation({ jti: "x", revoked_at: 300, expires_at: 10_000 });
        const listed = { jti: "x", revoked_at: 100, expires_at: 30_000 };
        expect(await store.listRevocations(25_000)).toEqual([listed]);
      });
    });

    fresh("signing keys", () => {
      test("ensureSigningKey() lets the first of two nodes win", async () => {
        expect(await store.listSigningKeys()).toEqual([]);
        const [one, two] = await Promise.all([
          store.ensureSigningKey(signingKey("k1")),
          opened.other.ensureSigningKey(signingKey("k2")),
        ]);
        expect(one).toHaveLength(1);
        expect(two).toEqual(one);
        expect(await store.listSigningKeys()).toEqual(one);
      });
    });

    fresh("usage", () => {
      test("insertUsage() inserts an event once and keeps every field", async () => {
        const full = usageEvent(1, {
          token_id: "tok_1",
          details: { stream_id: "lane", warmup: true, cache_creation_5m_input_tokens: 7 },
          audio_seconds: 1.25,
          first_token_ms: 12.5,
          bytes_down: 5_000_000_000,
          input_tokens: 0,
          error_code: "it's \u{1f600}",
        });
        expect(await store.insertUsage([full, usageEvent(2)])).toEqual([
          full.event_id,
          usageEvent(2).event_id,
        ]);
        const replayed = await store.insertUsage([{ ...full, model: "other" }, usageEvent(3)]);
        expect(replayed).toEqual([usageEvent(3).event_id]);
        const { events } = await store.listUsage({ limit: 10 });
        expect(events).toEqual([usageEvent(3), usageEvent(2), full]);
        expect(await store.insertUsage([])).toEqual([]);
      });

      test("insertUsage() inserts an event once that is in the batch twice", async () => {
        const event = usageEvent(4);
        expect(await store.insertUsage([event, event])).toEqual([event.event_id]);
      });

      test("insertUsage() stores a NUL as the replacement character", async () => {
        await store.insertUsage([usageEvent(5, { requested_model: "a\0b" })]);
        const { events } = await store.listUsage({ limit: 1 });
        expect(events[0]?.requested_model).toBe("a\u{fffd}b");
      });

      test("insertUsage() of two nodes at once inserts each event once", async () => {
        const events = Array.from({ length: 200 }, (_, index) =>
          usageEvent(1000 + index, { session_id: "race" }),
        );
        const answers = await Promise.all(
          [store, opened.other, store, opened.other].map((each) => each.insertUsage(events)),
        );
        expect(answers.flat().toSorted()).toEqual(events.map((event) => event.event_id));
      });

      test("findPendingUsage() finds a provider's newest pending event of a response", async () => {
        const pending = { status: "pending", response_id: "resp_p", input_tokens: null } as const;
        const older = usageEvent(20, { ...pending, recorded_at: 1_000 });
        const newer = usageEvent(21, { ...pending, recorded_at: 2_000 });
        const done = usageEvent(22, { response_id: "resp_q" });
        await store.insertUsage([older, newer, done]);
        expect(await store.findPendingUsage(newer.provider, "resp_p")).toEqual(newer);
        expect(await store.findPendingUsage("another", "resp_p")).toBeNull();
        expect(await store.findPendingUsage(done.provider, "resp_q")).toBeNull();
      });

      test("completeUsage() completes a pending event once", async () => {
        const pending = usageEvent(6, { status: "pending", input_tokens: null });
        await store.insertUsage([pending]);
        const done = usageEvent(6, { status: "completed", input_tokens: 5 });
        expect(await store.completeUsage(done)).toBe(true);
        expect(await store.completeUsage({ ...done, input_tokens: 6 })).toBe(false);
        expect(await store.completeUsage(usageEvent(7))).toBe(false);
        const { events } = await store.listUsage({ limit: 1000 });
        expect(events).toContainEqual(done);
      });
    });

    fresh("pages of usage", () => {
      const count = 25;

      test("listUsage() gives each event once, newest first, page by page", async () => {
        // Three share each time, so that a page ends amid equals.
        const events = Array.from({ length: count }, (_, index) =>
          usageEvent(index, {
            recorded_at: 1000 + Math.floor(index / 3),
            project_id: index % 2 === 0 ? "even" : "odd",
            token_id: index % 5 === 0 ? "five" : null,
            session_id: `s${index % 4}`,
          }),
        );
        await store.insertUsage(events);
        const expected = events.toReversed().map((event) => event.event_id);
        for (const limit of [1, 2, 3, 7, count, count + 1]) {
          expect(await allPages(store, { limit })).toEqual(expected);
        }
      });

      test.each<[UsageQuery, (index: number) => boolean]>([
        [{ limit: 4, projectId: "even" }, (index) => index % 2 === 0],
        [{ limit: 2, tokenId: "five" }, (index) => index % 5 === 0],
        [{ limit: 3, sessionId: "s1" }, (index) => index % 4 === 1],
        [{ limit: 3, sinceMs: 1003 }, (index) => index >= 9],
        [{ limit: 3, untilMs: 1003 }, (index) => index < 9],
        [
          { limit: 1, projectId: "odd", sessionId: "s1", sinceMs: 1001, untilMs: 1005 },
          (index) => index % 4 === 1 && index >= 3 && index < 15,
        ],
        [{ limit: 5, projectId: "none" }, () => false],
      ])("listUsage(%j) filters on every page", async (query, matches) => {
        const indexes = Array.from({ length: count }, (_, index) => index).filter(matches);
        const expected = indexes.toReversed().map((index) => usageEvent(index).event_id);
        expect(await allPages(store, query)).toEqual(expected);
      });

      test.each(["", "x", "e30", "WzEsMl0", "!!!"])(
        "listUsage() refuses the cursor %j",
        async (cursor) => {
          const refused = store.listUsage({ limit: 1, cursor });
          const error = await refused.then(
            () => null,
            (thrown: unknown) => thrown,
          );
          expect(error).toMatchObject({ code: "bad_request", param: "cursor" });
        },
      );
    });

    fresh("closing", () => {
      test("close() makes later calls fail, and may be called twice", async () => {
        await store.close();
        await store.close();
        expect(await store.listProjects().catch(() => "closed")).toBe("closed");
      });
    });
  });
}

async function allPages(store: Store, query: UsageQuery): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const page = await store.listUsage(cursor === null ? query : { ...query, cursor });
    expect(page.events.length).toBeLessThanOrEqual(query.limit);
    ids.push(...page.events.map((event) => event.event_id));
    cursor = page.nextCursor;
  } while (cursor !== null);
  return ids;
}
