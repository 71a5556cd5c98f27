/**
 * What every store must do, whichever database it is on. Run by one file a database. Here: rows and
 * usage; revisions, revocations and the audit, what limits are held against, and policies are in
 * `store_control_suite.ts`, `store_limits_suite.ts` and `store_policies_suite.ts`.
 */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { Store, UsageQuery } from "../../src/store/store.ts";
import { usageEvent } from "../support/usage_event.ts";
import { controlSuite } from "./store_control_suite.ts";
import {
  by,
  credential,
  freshly,
  type OpenedStore,
  type OpenStore,
  project,
  signingKey,
  token,
} from "./store_fixtures.ts";
import { limitsSuite } from "./store_limits_suite.ts";
import { listsSuite } from "./store_lists_suite.ts";
import { policiesSuite } from "./store_policies_suite.ts";

/** Runs the suite as `name`. */
export function storeSuite(name: string, openStore: OpenStore): void {
  describe(name, () => {
    let opened: OpenedStore;
    let store: Store;

    const fresh = freshly(openStore, (next) => {
      opened = next;
      store = next.store;
    });

    fresh("projects", () => {
      test("the project default exists from the first migration", async () => {
        const [found] = await store.listProjects();
        expect(found).toMatchObject({ id: "default", name: "default", is_active: true });
      });

      test("insertProject() refuses an id or a name that is taken", async () => {
        expect(await store.insertProject(project("p1"), by())).toBe(true);
        expect(await store.insertProject(project("p1", { name: "another" }), by())).toBe(false);
        expect(await store.insertProject(project("p9", { name: "name of p1" }), by())).toBe(false);
        expect(await store.listProjects()).toContainEqual(project("p1"));
      });

      test("insertProject() stores a credential with its project, or neither", async () => {
        const row = credential("c0", { project_id: "p0" });
        expect(await store.insertProject(project("p0"), by(), { row, by: by() })).toBe(true);
        expect(await store.listCredentials()).toEqual([row]);
        const other = { row: credential("c9", { project_id: "p9" }), by: by() };
        expect(await store.insertProject(project("p0"), by(), other)).toBe(false);
        // The id of another one.
        const same = { row: credential("c0", { project_id: "p9" }), by: by() };
        const refused = store.insertProject(project("p9"), by(), same);
        expect(await refused.catch(() => "refused")).toBe("refused");
        expect((await store.listProjects()).map(({ id }) => id)).not.toContain("p9");
        expect(await store.listCredentials()).toEqual([row]);
        await store.deleteProject("p0", by());
      });

      test("updateProject() changes what is given and keeps when it was deactivated", async () => {
        const renamed = await store.updateProject("p1", { name: "new" }, 2000, by());
        expect(renamed).toEqual(project("p1", { name: "new", updated_at: 2000 }));
        const ended = await store.updateProject("p1", { is_active: false }, 3000, by());
        expect(ended).toMatchObject({ is_active: false, deactivated_at: 3000, name: "new" });
        const again = await store.updateProject("p1", { is_active: false }, 4000, by());
        expect(again).toMatchObject({ deactivated_at: 3000, updated_at: 4000 });
        const back = await store.updateProject("p1", { is_active: true }, 5000, by());
        expect(back).toMatchObject({ is_active: true, deactivated_at: null });
        const limits = { budget_micros_per_day: 5_000_000, requests_per_minute: 60 };
        const limited = await store.updateProject("p1", { limits }, 5000, by());
        expect(limited).toMatchObject({ limits, name: "new" });
        const less = { requests_per_minute: null };
        expect(await store.updateProject("p1", { limits: less }, 5000, by())).toMatchObject({
          limits: { budget_micros_per_day: 5_000_000 },
        });
        const none = { budget_micros_per_day: null };
        expect(await store.updateProject("p1", { limits: none }, 5000, by())).toEqual(
          project("p1", { name: "new", updated_at: 5000 }),
        );
        expect(await store.updateProject("none", { name: "x" }, 2000, by())).toBeNull();
      });

      test("a project's lists are kept whole, each until it is changed or taken away", async () => {
        const lists = { models: ["gpt-5*", 'a "b"'], endpoints: ["/v1/*"], tiers: null };
        const made = project("p8", { ...lists, limits: { session_turns: 3 } });
        expect(await store.insertProject(made, by())).toBe(true);
        const stored = async () => (await store.listProjects()).find(({ id }) => id === "p8");
        expect(await stored()).toEqual(made);
        const change = { models: null, tiers: ["flex"] };
        const changed = { ...made, ...change, updated_at: 2000 };
        expect(await store.updateProject("p8", change, 2000, by())).toEqual(changed);
        const limits = { session_turns: null };
        await store.updateProject("p8", { name: "lists", limits }, 2000, by());
        expect(await stored()).toEqual({ ...changed, name: "lists", limits: {} });
        await store.deleteProject("p8", by());
      });

      test("updateProject() by two nodes at once loses neither change", async () => {
        for (let round = 1; round <= 5; round += 1) {
          const name = `round ${round}`;
          const change = { is_active: round % 2 === 0 };
          await Promise.all([
            store.updateProject("p1", { name }, 6000, by()),
            opened.other.updateProject("p1", change, 6000, by()),
          ]);
          const rows = await store.listProjects();
          expect(rows.find((row) => row.id === "p1")).toMatchObject({ name, ...change });
        }
      });

      test("updateProject() refuses another project's name", async () => {
        const refused = store.updateProject("p1", { name: "default" }, 2000, by());
        const error = await refused.then(
          () => null,
          (thrown: unknown) => thrown,
        );
        expect(error).toBeInstanceOf(GatewayError);
        expect(error).toMatchObject({ code: "bad_request", status: 409, param: "name" });
      });

      test("deleteProject() deletes what belongs to it, but not one with usage", async () => {
        await store.putCredential(credential("c1"), by());
        await store.insertToken(token("t1"), by());
        expect(await store.deleteProject("p1", by())).toBe("deleted");
        expect(await store.deleteProject("p1", by())).toBe("not_found");
        expect(await store.listCredentials()).toEqual([]);
        expect(await store.listTokens({ limit: 9 })).toEqual({ tokens: [], nextCursor: null });
        await store.insertProject(project("p2"), by());
        await store.insertUsage([usageEvent(1, { project_id: "p2" })]);
        expect(await store.deleteProject("p2", by())).toBe("in_use");
      });

      test("a text with quotes, NUL-free controls and every plane of Unicode is kept", async () => {
        const label = `'; DROP TABLE projects; -- "\u{1f600}\u202e\n\t\\ é`;
        await store.insertProject(project("p3", { name: label }), by());
        expect(await store.listProjects()).toContainEqual(project("p3", { name: label }));
      });
    });

    fresh("credentials", () => {
      test("putCredential() keeps one credential a project and provider", async () => {
        await store.insertProject(project("p1"), by());
        await store.putCredential(credential("c1"), by());
        await store.putCredential(credential("c2", { provider: "gemini", created_at: 1001 }), by());
        const next = credential("c3", { ciphertext: "v1.next", label: "new", created_at: 1002 });
        await store.putCredential(next, by());
        expect((await store.listCredentials()).map((row) => row.id)).toEqual(["c2", "c3"]);
        expect(await store.listCredentials()).toContainEqual(next);
        await store.putCredential({ ...next, ciphertext: "v1.same", updated_at: 5000 }, by());
        expect(await store.listCredentials()).toHaveLength(2);
      });

      test("putCredential() by two nodes at once keeps one", async () => {
        const [one, two] = [credential("c5"), credential("c6")];
        await Promise.all([store.putCredential(one, by()), opened.other.putCredential(two, by())]);
        const kept = (await store.listCredentials()).filter((row) => row.provider === "openai");
        expect(kept).toHaveLength(1);
        await store.putCredential(credential("c3"), by());
      });

      test("putCredential() refuses a project that does not exist", async () => {
        const refused = store.putCredential(credential("c4", { project_id: "none" }), by());
        expect(await refused.catch(() => "refused")).toBe("refused");
      });

      test("replaceCredentialCiphertext() leaves alone what changed meanwhile", async () => {
        await store.putCredential(credential("c3"), by());
        expect(await store.replaceCredentialCiphertext("c3", "v1.c3", "v1.next")).toBe(true);
        expect(await store.replaceCredentialCiphertext("c3", "v1.c3", "v1.late")).toBe(false);
        const rows = await store.listCredentials();
        expect(rows.find((row) => row.id === "c3")?.ciphertext).toBe("v1.next");
      });

      test("deleteCredential() says whether there was one", async () => {
        expect(await store.deleteCredential("c3", by())).toBe(true);
        expect(await store.deleteCredential("c3", by())).toBe(false);
      });
    });

    fresh("tokens", () => {
      test("tokens are read and relabelled", async () => {
        await store.insertProject(project("p1"), by());
        await store.insertToken(token("t1"), by());
        const full = token("t2", {
          created_at: 1001,
          label: "two",
          models: ["gpt-5*", 'a"b'],
          endpoints: ["/v1/responses"],
          tiers: [],
          limits: { max_requests: 5, budget_micros_total: 9_007_199_254_740_991 },
        });
        await store.insertToken(full, by());
        expect(await store.getToken("t2")).toEqual(full);
        expect(await store.getToken("none")).toBeNull();
        expect(await store.updateToken("t1", { label: "one" }, by())).toMatchObject({
          label: "one",
        });
        expect(await store.updateToken("none", { label: null }, by())).toBeNull();
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

      test("ensureSigningKey() makes one of each algorithm", async () => {
        const hmac = signingKey("k3", { algorithm: "HS256", created_at: 1001 });
        expect(await store.ensureSigningKey(hmac)).toContainEqual(hmac);
        expect(await store.ensureSigningKey({ ...hmac, kid: "k4" })).toHaveLength(2);
      });

      test("insertSigningKey() adds, deleteSigningKey() removes", async () => {
        const next = signingKey("k5", { created_at: 1002 });
        await store.insertSigningKey(next, by());
        expect(await store.listSigningKeys()).toContainEqual(next);
        await store.deleteSigningKey("k5");
        await store.deleteSigningKey("none");
        expect((await store.listSigningKeys()).map((row) => row.kid)).not.toContain("k5");
      });

      test("replaceSigningKeyCiphertext() leaves alone what changed meanwhile", async () => {
        await store.insertSigningKey(signingKey("k6"), by());
        expect(await store.replaceSigningKeyCiphertext("k6", "v1.k", "v1.next")).toBe(true);
        expect(await store.replaceSigningKeyCiphertext("k6", "v1.k", "v1.late")).toBe(false);
        const rows = await store.listSigningKeys();
        expect(rows.find((row) => row.kid === "k6")?.ciphertext).toBe("v1.next");
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
  controlSuite(`${name}: control`, openStore);
  limitsSuite(`${name}: limits`, openStore);
  policiesSuite(`${name}: policies`, openStore);
  listsSuite(`${name}: lists`, openStore);
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
