/** Overrides: what is taken from a token after it was signed, and given back. */

import { describe, expect, test } from "bun:test";
import { FakeSession, setUpAdmin, setUpAdminOver } from "../support/admin.ts";

const NOW_MS = 1_795_190_000_000;
const SIGNED = { limits: { requests_per_minute: 10 }, max_requests: 100 };

async function minted() {
  const setup = await setUpAdmin();
  const body = { project_id: "default", duration_minutes: 60, ...SIGNED };
  const { id } = await (await setup.request("POST", "/manage/tokens", body)).json();
  const path = `/manage/tokens/${id}`;
  const change = async (fields: object) => {
    const response = await setup.request("PATCH", path, fields);
    return { status: response.status, body: await response.json() };
  };
  const bearer = { tokenId: String(id), projectId: "default", issuedAtMs: NOW_MS };
  return { ...setup, id: String(id), path, change, bearer };
}

describe("changeToken()", () => {
  test("narrows what was signed, entry by entry, and null gives it back", async () => {
    const { change, store, id } = await minted();
    const limitsOf = ({ body }: { body: { limits: object; max_requests: number } }) => [
      body.limits,
      body.max_requests,
    ];
    expect(limitsOf(await change({ limits: { requests_per_minute: 5 } }))).toEqual([
      { requests_per_minute: 5 },
      100,
    ]);
    expect(limitsOf(await change({ limits: { session_turns: 2 }, max_requests: 7 }))).toEqual([
      { requests_per_minute: 5, session_turns: 2 },
      7,
    ]);
    const given = await change({ limits: { requests_per_minute: null }, max_requests: null });
    expect(limitsOf(given)).toEqual([{ requests_per_minute: 10, session_turns: 2 }, 100]);
    expect(store.overrides.get(id)?.limits).toEqual({ session_turns: 2 });
    expect(store.tokens.get(id)?.limits).toEqual({ requests_per_minute: 10, max_requests: 100 });
  });

  test("is_active false ends sessions and true lets the token in again", async () => {
    const { change, sessions, revocations, bearer, id } = await minted();
    sessions.push(new FakeSession("s1", "default", id, NOW_MS));
    expect((await change({ is_active: false })).body.is_active).toBe(false);
    expect(sessions[0]?.ended).toBe("token_revoked");
    expect(revocations.isRevoked(bearer)).toBe(true);
    expect((await change({ is_active: true })).body.is_active).toBe(true);
    expect(revocations.isRevoked(bearer)).toBe(false);
  });

  test("takes rights away before it is stored, and gives them back after", async () => {
    const { change, revocations, bearer, store, id, pending } = await minted();
    await change({ limits: { requests_per_minute: 5, session_turns: 2 } });
    store.changeTokenOverride = () => Promise.reject(new Error("disk full"));
    const both = { requests_per_minute: 3, session_turns: null };
    expect((await change({ limits: both })).status).toBe(500);
    expect((await change({ is_active: false })).status).toBe(503);
    expect(revocations.isRevoked(bearer)).toBe(true);
    expect(revocations.overrideOf(id)?.limits).toEqual({
      requests_per_minute: 3,
      session_turns: 2,
    });
    Reflect.deleteProperty(store, "changeTokenOverride");
    expect((await change({ is_active: false })).status).toBe(200);
    await pending.flush();
    store.changeTokenOverride = () => Promise.reject(new Error("disk full"));
    expect((await change({ is_active: true })).status).toBe(500);
    expect(revocations.isRevoked(bearer)).toBe(true);
  });

  test("a token that was revoked or has expired is not active again", async () => {
    const { change, request, path, clock } = await minted();
    await request("DELETE", path);
    const revoked = await change({ is_active: true });
    expect([revoked.status, revoked.body.error]).toEqual([
      409,
      "The token is revoked and stays so",
    ]);
    expect((await change({ label: "still" })).status).toBe(200);
    const other = await minted();
    other.clock.advance(3_600_000);
    const expired = await other.change({ is_active: true });
    expect([expired.status, expired.body.error]).toEqual([
      409,
      "The token is expired and stays so",
    ]);
    expect(clock.pendingTimers).toBe(0);
  });

  test("of two at once on different nodes neither is lost", async () => {
    const { change, store, clock, id, path, revocations, bearer } = await minted();
    const other = await setUpAdminOver(store, clock);
    const limits = { requests_per_minute: 3 };
    const narrowed = other.request("PATCH", path, { limits });
    expect((await change({ is_active: false })).status).toBe(200);
    expect((await narrowed).status).toBe(200);
    expect(store.overrides.get(id)).toMatchObject({ is_active: false, limits });
    await revocations.load(store);
    await other.revocations.load(store);
    for (const node of [revocations, other.revocations]) {
      expect(node.isRevoked(bearer)).toBe(true);
      expect(node.overrideOf(id)?.limits).toEqual(limits);
    }
  });

  test("a change that is refused changes nothing", async () => {
    const { change, store, revocations, id } = await minted();
    const refused = await change({ label: "x", is_active: false, max_requests: 101 });
    expect(refused.status).toBe(400);
    expect(store.tokens.get(id)?.label).toBeNull();
    expect(store.overrides.size).toBe(0);
    expect(revocations.overrideOf(id)).toBeNull();
  });
});
