import { describe, expect, test } from "bun:test";
import { runAgainst } from "../support/fake_api.ts";

const ENTRY = {
  sequence: 7,
  recorded_at: "2026-11-21T12:00:00.000Z",
  actor: "ops",
  action: "keys.rotate",
  subject: "encryption_key:k2",
  outcome: "done",
  details: { key_made: true, credentials_rotated: 3 },
  client_address: "127.0.0.1",
  request_id: "req_1",
};

describe("sluice audit list", () => {
  test("passes every filter on and shows entries as a table", async () => {
    const query = "actor=ops&action=keys.rotate&subject=project%3Ap1&since=1h&until=1&limit=1";
    const answers = { [`GET audit?${query}`]: { entries: [ENTRY], next_cursor: "c2" } };
    const filters = ["--actor", "ops", "--action", "keys.rotate", "--subject", "project:p1"];
    const args = ["audit", "list", ...filters, "--since", "1h", "--until", "1", "--limit", "1"];
    const { code, out, err } = await runAgainst(answers, args);
    expect([code, err]).toEqual([0, "There is more: --cursor c2\n"]);
    expect(out).toMatch(/^ENTRY +RECORDED +ACTOR +ACTION +SUBJECT +OUTCOME +DETAILS +CLIENT +REQ/);
    expect(out).toContain("7  2026-11-21T12:00:00.000Z  ops    keys.rotate");
    expect(out).toContain("done     key_made=true, credentials_rotated=3  127.0.0.1  req_1");
  });

  test("--json prints what the API answered", async () => {
    const page = { entries: [ENTRY], next_cursor: null };
    const { out } = await runAgainst({ "GET audit?cursor=c": page }, [
      "audit",
      "list",
      "--cursor",
      "c",
      "--json",
    ]);
    expect(JSON.parse(out)).toEqual(page);
  });
});

describe("sluice audit verify", () => {
  const whole = { entries: 7, head: "ab".repeat(32), broken: null };
  const broken = { entries: 7, head: "x", broken: { sequence: 5, reason: "hash does not fit" } };

  test("exits 0 and prints the last hash when the chain is whole", async () => {
    const ran = await runAgainst({ "GET audit/verify": whole }, ["audit", "verify"]);
    expect([ran.code, ran.out]).toEqual([
      0,
      `The audit is whole: 7 entries\nHash of the last one: ${whole.head}\n`,
    ]);
  });

  test("says that an empty audit is whole", async () => {
    const empty = { entries: 0, head: null, broken: null };
    const ran = await runAgainst({ "GET audit/verify": empty }, ["audit", "verify"]);
    expect([ran.code, ran.out]).toEqual([0, "The audit is whole: 0 entries\n"]);
  });

  test("exits 1 and names the entry when it is broken", async () => {
    const ran = await runAgainst({ "GET audit/verify": broken }, ["audit", "verify"]);
    expect([ran.code, ran.out]).toEqual([1, ""]);
    expect(ran.err).toStartWith("error: The audit is broken at entry 5: hash does not fit\n");
  });

  test("--head asks for a hash that was noted, and says when it is gone", async () => {
    const gone = { ...whole, broken: { sequence: null, reason: "No entry has the hash" } };
    const path = `GET audit/verify?head=${whole.head}`;
    const ran = await runAgainst({ [path]: gone }, ["audit", "verify", "--head", whole.head]);
    expect(ran.code).toBe(1);
    expect(ran.err).toStartWith("error: The audit is broken: No entry has the hash\n");
  });

  test("--json exits as without it", async () => {
    for (const [answer, code] of [
      [whole, 0],
      [broken, 1],
    ] as const) {
      const ran = await runAgainst({ "GET audit/verify": answer }, ["audit", "verify", "--json"]);
      expect([ran.code, JSON.parse(ran.out)]).toEqual([code, answer]);
    }
  });
});
