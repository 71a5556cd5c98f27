import { describe, expect, test } from "bun:test";
import { runAgainst } from "../support/fake_api.ts";

const COUNTS = { rotated: 3, current: 1, failed: 0 };
const REPORT = {
  key_id: "k2",
  key_source: "data_dir",
  key_made: true,
  credentials: COUNTS,
  signing_keys: { rotated: 0, current: 1, failed: 0 },
  failures: [],
  unused_key_ids: ["k0"],
  kept_key_id: "k1",
};

describe("sluice keys generate", () => {
  test("prints a key for encryption_keys, another one each time, and asks no node", async () => {
    const one = await runAgainst({}, ["keys", "generate"]);
    const two = await runAgainst({}, ["keys", "generate"]);
    expect(one.out).toMatch(/^[A-Za-z0-9_-]{1,32}:[A-Za-z0-9+/]{43}=\n$/);
    expect(two.out).not.toBe(one.out);
    expect(one.calls).toEqual([]);
    const { id, key } = JSON.parse((await runAgainst({}, ["keys", "generate", "--json"])).out);
    expect([typeof id, Buffer.from(key, "base64").byteLength]).toEqual(["string", 32]);
  });
});

describe("sluice keys rotate", () => {
  const rotate = (report: object, ...more: string[]) =>
    runAgainst({ "POST keys/rotate": report }, ["keys", "rotate", ...more]);

  test("says what was moved, which key was removed and which one stays for now", async () => {
    const { code, out, err } = await rotate(REPORT);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toBe(
      [
        "Made encryption key k2 in data_dir",
        "Under key k2: 3 moved, 1 were before, 0 failed of the credentials",
        "Under key k2: 0 moved, 1 were before, 0 failed of the signing keys",
        "Removed from data_dir: k0",
        "Not needed any more, kept in data_dir until the next rotation: k1",
        "",
      ].join("\n"),
    );
  });

  test("says that it completed the rotation before, instead of making a key", async () => {
    const { out } = await rotate({ ...REPORT, key_made: false, unused_key_ids: [] });
    expect(out).toStartWith("Made no key: the rotation before was not complete, and goes on\n");
    expect(out).not.toContain("Removed");
  });

  test("names configured keys that may go, or how to bring a newer one", async () => {
    const configured = {
      ...REPORT,
      key_source: "configuration",
      key_made: false,
      kept_key_id: null,
    };
    expect((await rotate(configured)).out).toContain("take them out of encryption_keys: k0\n");
    const alone = { ...configured, unused_key_ids: [] };
    expect((await rotate(alone)).out).toContain("sluice keys generate");
  });

  test("exits 1 and lists what cannot be read", async () => {
    const failures = [{ kind: "credential", id: "c1", reason: "it was altered" }];
    const report = { ...REPORT, failures, unused_key_ids: [], kept_key_id: null };
    const { code, out, err } = await rotate(report);
    expect(code).toBe(1);
    expect(err).toContain("cannot be read");
    expect(out).toMatch(/KIND +ID +REASON\ncredential +c1 +it was altered\n$/);
    const json = await rotate(report, "--json");
    expect([json.code, JSON.parse(json.out)]).toEqual([1, report]);
  });

  test("--signing makes a signing key", async () => {
    const answer = { kid: "abc", algorithm: "EdDSA", signs_from: "2026-11-21T12:00:10.000Z" };
    const answers = { "POST keys/signing/rotate": answer };
    const { code, out } = await runAgainst(answers, ["keys", "rotate", "--signing"]);
    expect(code).toBe(0);
    expect(out).toStartWith("Made signing key abc (EdDSA)\nIt signs from 2026-11-21T12:00:10.000Z");
  });
});

describe("sluice keys list", () => {
  test("shows the keys that tokens are signed with", async () => {
    const created_at = "2026-11-21T12:00:00.000Z";
    const keys = [{ kid: "abc", algorithm: "EdDSA", created_at, signs: true, public_jwk: {} }];
    const answers = { "GET keys/signing": { keys, next_cursor: null } };
    const { code, out } = await runAgainst(answers, ["keys", "list"]);
    expect([code, out]).toEqual([
      0,
      `KEY  ALGORITHM  SIGNS  CREATED\nabc  EdDSA      yes    ${created_at}\n`,
    ]);
  });
});
