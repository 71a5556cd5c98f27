/** The part of the store suite about revisions, revocations and the audit; see `store_suite.ts`. */

import { describe, expect, test } from "bun:test";

import { verifyAudit } from "../../src/store/audit_chain.ts";
import type { AuditEntry, AuditQuery, Revisions, Store } from "../../src/store/store.ts";
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

type Raised = Partial<Record<keyof Omit<Revisions, "nowMs">, number>>;

/** What `run` raises, and how many entries of the audit it writes. */
async function effectOf(store: Store, run: () => Promise<unknown>): Promise<[Raised, number]> {
  const before = await store.readRevisions();
  const entries = (await verifyAudit(store)).entries;
  await run();
  const after = await store.readRevisions();
  const raised: Raised = {};
  for (const name of ["directory", "revocations", "signing_keys", "policies"] as const) {
    if (after[name] !== before[name]) raised[name] = after[name] - before[name];
  }
  return [raised, (await verifyAudit(store)).entries - entries];
}

async function allEntries(store: Store, query: AuditQuery): Promise<number[]> {
  const found: number[] = [];
  let cursor: string | null = null;
  do {
    const page = await store.listAudit(cursor === null ? query : { ...query, cursor });
    expect(page.entries.length).toBeLessThanOrEqual(query.limit);
    found.push(...page.entries.map((entry) => entry.sequence));
    cursor = page.nextCursor;
  } while (cursor !== null);
  return found;
}

/** Runs this part as `name`. */
export function controlSuite(name: string, openStore: OpenStore): void {
  describe(name, () => {
    let opened: OpenedStore;
    let store: Store;

    const fresh = freshly(openStore, (next) => {
      opened = next;
      store = next.store;
    });

    fresh("revisions", () => {
      const override = { is_active: false };
      const revocation = { jti: "x", revoked_at: 1, expires_at: 9000 };
      const all = { project_id: "p1", issued_before: 1, revoked_at: 1, expires_at: 9000 };

      test.each<[string, (store: Store) => Promise<unknown>, Raised, number]>([
        ["insertProject", (s) => s.insertProject(project("p1"), by()), { directory: 1 }, 1],
        ["insertProject, taken", (s) => s.insertProject(project("p1"), by()), {}, 0],
        [
          "updateProject",
          (s) => s.updateProject("p1", { name: "x" }, 2, by()),
          { directory: 1 },
          1,
        ],
        ["updateProject, none", (s) => s.updateProject("p0", { name: "y" }, 2, by()), {}, 0],
        [
          "updateProject, taken",
          (s) => s.updateProject("p1", { name: "default" }, 2, by()).catch(() => null),
          {},
          0,
        ],
        ["putCredential", (s) => s.putCredential(credential("c1"), by()), { directory: 1 }, 1],
        [
          "putCredential, no project",
          (s) => s.putCredential(credential("c2", { project_id: "p0" }), by()).catch(() => null),
          {},
          0,
        ],
        [
          "replaceCredentialCiphertext",
          (s) => s.replaceCredentialCiphertext("c1", "v1.c1", "v1.next"),
          { directory: 1 },
          0,
        ],
        ["deleteCredential", (s) => s.deleteCredential("c1", by()), { directory: 1 }, 1],
        ["deleteCredential, none", (s) => s.deleteCredential("c1", by()), {}, 0],
        ["insertToken", (s) => s.insertToken(token("t1"), by()), {}, 1],
        ["updateToken", (s) => s.updateToken("t1", { label: "l" }, by()), {}, 1],
        ["updateToken, none", (s) => s.updateToken("t0", { label: "l" }, by()), {}, 0],
        ["revokeToken", (s) => s.revokeToken("t1", 5, by()), { revocations: 1 }, 1],
        ["revokeToken, none", (s) => s.revokeToken("t0", 5, by()), {}, 0],
        [
          "changeTokenOverride",
          (s) => s.changeTokenOverride(token("t1"), override, 1, by()),
          { revocations: 1 },
          1,
        ],
        ["insertRevocation", (s) => s.insertRevocation(revocation, by()), { revocations: 1 }, 1],
        [
          "insertProjectRevocation",
          (s) => s.insertProjectRevocation(all, by()),
          { revocations: 1 },
          1,
        ],
        ["markRevokedTokens", (s) => s.markRevokedTokens("p1", 1), {}, 0],
        ["ensureSigningKey", (s) => s.ensureSigningKey(signingKey("k1")), { signing_keys: 1 }, 0],
        ["ensureSigningKey, there", (s) => s.ensureSigningKey(signingKey("k2")), {}, 0],
        [
          "insertSigningKey",
          (s) => s.insertSigningKey(signingKey("k3"), by()),
          { signing_keys: 1 },
          1,
        ],
        [
          "replaceSigningKeyCiphertext",
          (s) => s.replaceSigningKeyCiphertext("k3", "v1.k", "v1.next"),
          {},
          0,
        ],
        ["deleteSigningKey", (s) => s.deleteSigningKey("k3"), { signing_keys: 1 }, 0],
        ["deleteSigningKey, none", (s) => s.deleteSigningKey("k3"), {}, 0],
        ["putPolicy", (s) => s.putPolicy("p", "{}", 0, 1, by()), { policies: 1 }, 1],
        ["putPolicy, stale", (s) => s.putPolicy("p", "{}", 0, 2, by()), {}, 0],
        ["putPolicy of none", (s) => s.putPolicy("p", null, 1, 3, by()), { policies: 1 }, 1],
        ["putPolicy of none again", (s) => s.putPolicy("p", null, null, 4, by()), {}, 0],
        ["appendAudit", (s) => s.appendAudit([by(), by("b"), by("c")]), {}, 3],
        ["appendAudit of none", (s) => s.appendAudit([]), {}, 0],
        ["deleteProject", (s) => s.deleteProject("p1", by()), { directory: 1 }, 1],
        ["deleteProject, none", (s) => s.deleteProject("p1", by()), {}, 0],
      ])("%s raises and records what it changed", async (_, run, raised, entries) => {
        expect(await effectOf(store, () => run(store))).toEqual([raised, entries]);
      });

      test("readRevisions() tells the time of the database", async () => {
        const { nowMs } = await store.readRevisions();
        expect(Number.isInteger(nowMs)).toBe(true);
        expect(Math.abs(nowMs - Date.now())).toBeLessThan(3_600_000);
      });
    });

    fresh("watching", () => {
      test("watchRevisions() hears of another store's change, until it is ended", async () => {
        let calls = 0;
        let heard = Promise.withResolvers<void>();
        const next = () => {
          heard = Promise.withResolvers<void>();
          return heard.promise;
        };
        const end = store.watchRevisions(() => {
          calls += 1;
          heard.resolve();
        });
        opened.look();
        // Of what was before it began to listen.
        await heard.promise;
        for (const jti of ["a", "b"]) {
          const hears = next();
          await opened.other.insertRevocation({ jti, revoked_at: 1, expires_at: 2 }, by());
          opened.look();
          await hears;
        }
        end();
        const before = await store.readRevisions();
        const callsBefore = calls;
        await opened.other.insertRevocation({ jti: "c", revoked_at: 1, expires_at: 2 }, by());
        opened.look();
        // Not heard of, and found all the same.
        expect((await store.readRevisions()).revocations).toBe(before.revocations + 1);
        expect(calls).toBe(callsBefore);
      });
    });

    fresh("revocations", () => {
      test("revokeToken() puts the token on the list and keeps the first time", async () => {
        await store.insertProject(project("p1"), by());
        await store.insertToken(token("t1"), by());
        expect(await store.revokeToken("t1", 2000, by())).toMatchObject({ revoked_at: 2000 });
        expect(await store.revokeToken("t1", 3000, by())).toMatchObject({ revoked_at: 2000 });
        expect(await store.revokeToken("none", 2000, by())).toBeNull();
        const listed = { jti: "t1", revoked_at: 2000, expires_at: 9000 };
        expect((await store.listRevocations(0, 2500)).tokens).toEqual([listed]);
      });

      test("insertRevocation() keeps the first time and the later end", async () => {
        await store.insertRevocation({ jti: "x", revoked_at: 100, expires_at: 20_000 }, by());
        await store.insertRevocation({ jti: "x", revoked_at: 200, expires_at: 30_000 }, by());
        await store.insertRevocation({ jti: "x", revoked_at: 300, expires_at: 10_000 }, by());
        const listed = { jti: "x", revoked_at: 100, expires_at: 30_000 };
        expect((await store.listRevocations(0, 25_000)).tokens).toEqual([listed]);
      });

      test("insertProjectRevocation() lets the later time and the longer end hold", async () => {
        const row = { project_id: "p1", issued_before: 2000, revoked_at: 7, expires_at: 9000 };
        expect(await store.insertProjectRevocation(row, by())).toEqual(row);
        const later = { ...row, issued_before: 3000, revoked_at: 8, expires_at: 8000 };
        const held = { ...later, expires_at: 9000 };
        expect(await store.insertProjectRevocation(later, by())).toEqual(held);
        expect(await opened.other.insertProjectRevocation({ ...row, revoked_at: 8 }, by())).toEqual(
          held,
        );
        expect((await store.listRevocations(0, 1)).projects).toEqual([held]);
      });

      test("insertProjectRevocation() of all tokens has those of a clock ahead too", async () => {
        await store.insertToken(token("ahead", { created_at: 3900 }), by());
        await store.insertToken(token("x", { created_at: 9000, project_id: "default" }), by());
        const all = { project_id: "p1", issued_before: null, expires_at: 9000 };
        const held = await store.insertProjectRevocation({ ...all, revoked_at: 3500 }, by());
        expect(held).toEqual({ ...all, issued_before: 3900, revoked_at: 3500 });
        const none = { ...all, project_id: "none", revoked_at: 3500, expires_at: 3501 };
        expect(await store.insertProjectRevocation(none, by())).toMatchObject({
          issued_before: 3500,
        });
      });

      test("changeTokenOverride() merges; each change is later than the one before", async () => {
        const of = { id: "o", expires_at: 9000 };
        const sent = { is_active: false, limits: { max_requests: 1, session_turns: 9 } };
        const first = await store.changeTokenOverride(of, sent, 5, by());
        expect(first).toEqual({ jti: "o", changed_at: 5, expires_at: 9000, ...sent });
        const change = { limits: { session_turns: 3, max_requests: null } };
        const second = await opened.other.changeTokenOverride(of, change, 4, by());
        expect(second).toEqual({ ...first, limits: { session_turns: 3 }, changed_at: 6 });
        expect((await store.listRevocations(0, 1)).overrides).toEqual([second]);
        const third = await store.changeTokenOverride(of, { is_active: true }, 8, by());
        expect(third).toEqual({ ...second, is_active: true, changed_at: 8 });
      });

      test("changeTokenOverride() by two nodes at once loses neither change", async () => {
        const of = { id: "race", expires_at: 1 };
        for (let round = 1; round <= 10; round += 1) {
          const [is_active, limits] = [round % 2 === 0, { session_turns: round }];
          const changed = await Promise.all([
            store.changeTokenOverride(of, { is_active }, round, by()),
            opened.other.changeTokenOverride(of, { limits }, round, by()),
          ]);
          const [, last] = changed.toSorted((left, right) => left.changed_at - right.changed_at);
          expect(last).toMatchObject({ is_active, limits });
        }
      });

      test("listRevocations() gives what is newer and has not expired", async () => {
        const { revision } = await store.listRevocations(0, 0);
        expect(await store.listRevocations(revision, 0)).toEqual({
          revision,
          tokens: [],
          projects: [],
          overrides: [],
        });
        const again = { jti: "x", revoked_at: 400, expires_at: 5 };
        await opened.other.insertRevocation(again, by());
        const newer = await store.listRevocations(revision, 0);
        expect(newer).toMatchObject({ revision: revision + 1, projects: [], overrides: [] });
        expect(newer.tokens).toEqual([{ jti: "x", revoked_at: 100, expires_at: 30_000 }]);
        expect((await store.listRevocations(revision, 30_000)).tokens).toEqual([]);
        expect((await store.listRevocations(0, 9000)).overrides).toEqual([]);
        expect((await store.listRevocations(0, 9000)).projects).toEqual([]);
      });

      test("listRevocations() misses nothing of two nodes that revoke at once", async () => {
        let { revision } = await store.listRevocations(0, 60_000);
        const writers = [store, opened.other].map(async (node, index) => {
          for (let round = 0; round < 20; round += 1) {
            const row = { jti: `race ${index} ${round}`, revoked_at: 1, expires_at: 50_000 };
            await node.insertRevocation(row, by());
          }
        });
        const seen = new Set<string>();
        while (seen.size < 40) {
          const changes = await store.listRevocations(revision, 0);
          // One revision for each: a reader that got this far has seen all there is.
          expect(changes.tokens).toHaveLength(changes.revision - revision);
          revision = changes.revision;
          for (const { jti } of changes.tokens) seen.add(jti);
        }
        await Promise.all(writers);
        expect(seen.size).toBe(40);
      });

      test("forgetExpired() forgets what had expired, and no more", async () => {
        while ((await store.forgetExpired(9000)) > 0);
        const left = await store.listRevocations(0, 0);
        expect(left.projects).toEqual([]);
        expect(left.overrides).toEqual([]);
        expect(left.tokens).toHaveLength(41);
        expect(await store.getToken("t1")).toMatchObject({ revoked_at: 2000 });
      });
    });

    fresh("audit", () => {
      test("a change is recorded with who, what and where", async () => {
        const entry = by("project.create", {
          subject: "project:p1",
          details: { name: 'p"1', b: 2, a: true, none: null },
        });
        await store.insertProject(project("p1"), entry);
        const { entries } = await store.listAudit({ limit: 1 });
        expect(entries).toMatchObject([{ ...entry, sequence: 1, node_id: "node_1" }]);
        expect(Object.keys(entries[0]?.details ?? {})).toEqual(["name", "b", "a", "none"]);
        expect(entries[0]?.hash).toMatch(/^[0-9a-f]{64}$/);
      });

      test("appendAudit() keeps any text", async () => {
        const actor = "NUL \0, half \ud800 of \u{1f600}, \u202e'; DROP TABLE audit; --";
        const refusal = by(actor, { actor, outcome: "refused", details: { actor } });
        await opened.other.appendAudit([refusal]);
        const [entry] = (await store.listAudit({ limit: 1 })).entries;
        expect(entry?.actor).toBe(actor.toWellFormed().replace("\0", "\u{fffd}"));
        expect(entry).toMatchObject({ outcome: "refused", node_id: "node_2", sequence: 2 });
        expect((await verifyAudit(store)).broken).toBeNull();
      });

      test("entries of two nodes at once make one chain without gaps", async () => {
        const nodes = [store, opened.other];
        await Promise.all(
          nodes.map(async (node, index) => {
            for (let round = 0; round < 10; round += 1) {
              await node.appendAudit([by("a", { actor: `n${index}` }), by("b")]);
              await node.updateProject("p1", { is_active: round % 2 === 0 }, round, by("c"));
            }
          }),
        );
        const sequences = await allEntries(store, { limit: 7 });
        expect(sequences).toEqual(Array.from({ length: 62 }, (_, index) => 62 - index));
        const verified = await verifyAudit(store);
        expect(verified).toMatchObject({ entries: 62, broken: null });
        const [newest] = (await store.listAudit({ limit: 1 })).entries;
        expect(verified.head).toBe(newest?.hash ?? "none");
      });

      test("listAudit() filters on every page", async () => {
        expect(await allEntries(store, { limit: 3, actor: "n1" })).toHaveLength(10);
        expect(await allEntries(store, { limit: 3, action: "c" })).toHaveLength(20);
        expect(await allEntries(store, { limit: 3, subject: "project:p1" })).toEqual([1]);
        const nobody = { actor: "n1", action: "c" };
        expect(await allEntries(store, { limit: 3, ...nobody })).toEqual([]);
        const [first] = (await store.listAudit({ limit: 1, subject: "project:p1" })).entries;
        const at = first?.recorded_at ?? NaN;
        expect(await allEntries(store, { limit: 50, untilMs: at })).toEqual([]);
        expect(await allEntries(store, { limit: 50, sinceMs: at })).toHaveLength(62);
        const refused = store.listAudit({ limit: 1, cursor: "e30" }).catch((error) => error);
        expect(await refused).toMatchObject({ code: "bad_request", param: "cursor" });
      });

      test("a transaction that fails leaves no entry", async () => {
        const broken = by("x", { outcome: null } as unknown as Partial<AuditEntry>);
        const failed = store.insertProject(project("p7"), broken).catch(() => "failed");
        expect(await failed).toBe("failed");
        expect((await store.listProjects()).map((row) => row.id)).not.toContain("p7");
        expect(await verifyAudit(store)).toMatchObject({ entries: 62, broken: null });
      });

      test.each([
        ["UPDATE audit SET actor = 'nobody' WHERE sequence = 5", 5, "altered"],
        ["UPDATE audit SET details = '{\"x\":1}' WHERE sequence = 9", 9, "altered"],
        ["UPDATE audit SET outcome = 'unknown' WHERE sequence = 9", 9, "outcome"],
        ["UPDATE audit SET hash = 'x' WHERE sequence = 62", 62, "altered"],
        ["DELETE FROM audit WHERE sequence = 30", 30, "Entry 30 is missing"],
        ["DELETE FROM audit WHERE sequence > 60", 61, "Entries 61 to 62 are missing"],
        ["DELETE FROM audit", 1, "Entries 1 to 62 are missing"],
        ["UPDATE audit SET sequence = 63 WHERE sequence = 62", 62, "missing"],
        [
          "INSERT INTO audit SELECT 63, recorded_at, node_id, actor, action, subject, outcome, " +
            "request_id, client_address, details, hash FROM audit WHERE sequence = 62",
          63,
          "put in",
        ],
        [
          "INSERT INTO audit SELECT 0, recorded_at, node_id, actor, action, subject, outcome, " +
            "request_id, client_address, details, hash FROM audit WHERE sequence = 1",
          0,
          "put in",
        ],
      ])("verifyAudit() finds: %s", async (tampering, sequence, reason) => {
        await opened.exec("CREATE TABLE kept AS SELECT * FROM audit");
        await opened.exec(tampering);
        const { broken } = await verifyAudit(store);
        await opened.exec("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept");
        await opened.exec("DROP TABLE kept");
        expect(broken).toMatchObject({ sequence });
        expect(broken?.reason).toContain(reason);
        expect((await verifyAudit(store)).broken).toBeNull();
      });

      test("verifyAudit() reads a chain of several pages, up to where it ended", async () => {
        const entries = Array.from({ length: 1_938 }, (_, index) => by(`many ${index}`));
        await store.appendAudit(entries);
        const begun = await store.checkAudit(null);
        expect(begun).toMatchObject({ entries: 500, expected: 2_000, isDone: false });
        await opened.other.appendAudit([by("late")]);
        let progress = begun;
        while (!progress.isDone) progress = await store.checkAudit(progress);
        expect(progress).toMatchObject({ entries: 2_000, broken: null });
        expect(await verifyAudit(store)).toMatchObject({ entries: 2_001, broken: null });
      });

      test("listAudit() finds the entry of a hash", async () => {
        const [entry] = (await store.listAudit({ limit: 1, subject: "project:p1" })).entries;
        const hash = entry?.hash ?? "";
        expect((await store.listAudit({ limit: 2, hash })).entries).toEqual(entry ? [entry] : []);
        expect((await store.listAudit({ limit: 2, hash: "f".repeat(64) })).entries).toEqual([]);
      });
    });
  });
}
