/** `sluice session` against the real management API. */

import { describe, expect, test } from "bun:test";
import { FakeSession } from "../support/admin.ts";
import { setUpCli } from "../support/cli.ts";

describe("sluice session", () => {
  test("list shows what runs and on which node, delete ends it", async () => {
    const { sluice, sessions } = await setUpCli();
    sessions.push(new FakeSession("s1", "default", "tok_1", 1_795_190_000_000));
    const { out, err } = await sluice(["session", "list"]);
    expect(err).toBe("Sessions of node node-1, and of no other\n");
    const json = await sluice(["session", "list", "--json"]);
    expect([json.err, JSON.parse(json.out).node_id]).toEqual(["", "node-1"]);
    expect(out).toMatch(/^ID +TRANSPORT +PROJECT +TOKEN +PROVIDER +ENDPOINT +TURNS +STARTED/);
    expect(out).toMatch(/\ns1 +websocket +default +tok_1 +openai +\/v1\/responses +2 +2026-/);
    expect((await sluice(["session", "delete", "s1"])).out).toBe("Ended session s1\n");
    expect(sessions[0]?.ended).toBe("session_limit");
    expect((await sluice(["session", "delete", "nope"])).code).toBe(1);
  });
});
