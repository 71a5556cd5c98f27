/** What a minted token says, and when it is issued. */

import { describe, expect, test } from "bun:test";
import { setUpAdmin } from "../support/admin.ts";

const NOW_MS = 1_795_190_000_000;
const MINT = { project_id: "default", duration_minutes: 60 };

describe("mintToken()", () => {
  test("signs the restrictions and stores the same", async () => {
    const { request, tokens, store } = await setUpAdmin();
    const restrictions = {
      models: ["gpt-5*"],
      endpoints: ["/v1/responses"],
      tiers: ["flex"],
      limits: { requests_per_minute: 60, session_turns: null },
    };
    const body = { ...MINT, ...restrictions, max_requests: 10 };
    const { id, token } = await (await request("POST", "/manage/tokens", body)).json();
    const expected = {
      ...restrictions,
      limits: { requests_per_minute: 60, max_requests: 10 },
    };
    expect((await tokens.verify(token)).restrictions).toEqual(expected);
    expect(store.tokens.get(id)).toMatchObject(expected);
    expect(store.audit.at(-1)?.details).toEqual({
      project_id: "default",
      expires_at: new Date(NOW_MS + 3_600_000).toISOString(),
      models: "gpt-5*",
      endpoints: "/v1/responses",
      tiers: "flex",
      "limits.requests_per_minute": 60,
      "limits.max_requests": 10,
    });
    const shown = await (await request("GET", `/manage/tokens/${id}`)).json();
    expect([shown.limits, shown.max_requests]).toEqual([{ requests_per_minute: 60 }, 10]);
  });

  test("restricts nothing where nothing is asked for", async () => {
    const { request, tokens } = await setUpAdmin();
    const { token } = await (await request("POST", "/manage/tokens", MINT)).json();
    expect((await tokens.verify(token)).restrictions).toBeNull();
  });

  test("waits out the second in which the project's tokens were revoked", async () => {
    const { request, tokens, revocations, clock } = await setUpAdmin();
    clock.advance(300);
    await request("POST", "/manage/projects/default/tokens/revoke");
    const minting = request("POST", "/manage/tokens", MINT);
    while (clock.pendingTimers === 0) await Promise.resolve();
    clock.advance(699);
    expect(clock.pendingTimers).toBe(1);
    clock.advance(1);
    const principal = await tokens.verify((await (await minting).json()).token);
    expect(principal.issuedAtMs).toBe(NOW_MS + 1000);
    expect(revocations.isRevoked(principal)).toBe(false);
  });

  test("does not wait for another project's, or for a second that is over", async () => {
    const { request, clock } = await setUpAdmin();
    await request("POST", "/manage/revocations", { project_id: "other" });
    expect((await request("POST", "/manage/tokens", MINT)).status).toBe(201);
    await request("POST", "/manage/projects/default/tokens/revoke");
    clock.advance(1000);
    expect((await request("POST", "/manage/tokens", MINT)).status).toBe(201);
  });

  test("refuses where another node's clock is far ahead", async () => {
    const { request, revocations, store } = await setUpAdmin();
    const row = { issued_before: NOW_MS + 600_000, revoked_at: NOW_MS, expires_at: NOW_MS * 2 };
    revocations.revokeProject({ ...row, project_id: "default" });
    const response = await request("POST", "/manage/tokens", MINT);
    expect(response.status).toBe(409);
    expect((await response.json()).description).toContain("clock is behind");
    expect(store.tokens.size).toBe(0);
  });
});
