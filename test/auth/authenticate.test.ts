/** Who gets in, as whom, and when that ends. */

import { describe, expect, test } from "bun:test";
import {
  type Access,
  accessOf,
  endWhenRefused,
  type LiveSession,
} from "../../src/auth/authenticate.ts";
import { findCredentials } from "../../src/auth/credential.ts";
import { StaticKeys } from "../../src/auth/static_key.ts";
import { asGatewayError, GatewayError } from "../../src/errors.ts";
import type { Limits, Principal, Restrictions } from "../../src/exchange.ts";
import { ed25519, forge, strangersKey } from "../support/forge.ts";
import { BY_ADMIN, type Identity, openIdentity } from "../support/identity.ts";
import { UNRESTRICTED } from "../support/unrestricted.ts";

const REQUIRED: Access = { auth: "required", keys: new StaticKeys(["static-key-1"]) };
const OPEN: Access = { auth: "open", keys: new StaticKeys(["static-key-1"]) };
const FOREIGN_JWT = forge(
  { alg: "EdDSA", typ: "JWT", kid: "theirs" },
  { iss: "https://auth.example.com" },
  ed25519(strangersKey()),
);
const OPEN_PRINCIPAL = { kind: "open" as const, projectId: "default", tokenId: null };

type Headers_ = Record<string, string>;

function found(headers: Headers_, placement: "api" | "gemini" | "proxy" = "api") {
  return findCredentials({ headers: new Headers(headers), placement, query: "" });
}

async function outcome(
  node: Identity,
  headers: Headers_,
  access: Access,
): Promise<Principal | string> {
  try {
    return await node.authenticator.authenticate(found(headers), access);
  } catch (thrown) {
    return asGatewayError(thrown).code;
  }
}

function bearer(token: string): Headers_ {
  return { authorization: `Bearer ${token}` };
}

describe("Authenticator.authenticate() with auth: required", () => {
  test.each<[string, Headers_, string]>([
    ["nothing", {}, "token_missing"],
    ["a foreign key", bearer("sk-proj-foreign"), "token_invalid"],
    ["a foreign JWT", bearer(FOREIGN_JWT), "token_invalid"],
    ["half a static key", bearer("static-key-"), "token_invalid"],
    ["two tokens in one header", bearer("static-key-1, Bearer static-key-1"), "token_invalid"],
    [
      "a good and a different one",
      { ...bearer("static-key-1"), "x-api-key": "other" },
      "token_invalid",
    ],
    ["9000 characters", bearer("A".repeat(9000)), "token_invalid"],
  ])("refuses %s", async (_what, headers, code) => {
    expect(await outcome(await openIdentity(), headers, REQUIRED)).toBe(code);
  });

  test("knows a static key, without a promise", async () => {
    const node = await openIdentity();
    expect(node.authenticator.authenticate(found(bearer("static-key-1")), REQUIRED)).toMatchObject({
      kind: "static_key",
      projectId: "default",
    });
  });

  test("knows the same token in two places", async () => {
    const node = await openIdentity();
    const headers = { ...bearer("static-key-1"), "api-key": "static-key-1" };
    expect(await outcome(node, headers, REQUIRED)).toMatchObject({ kind: "static_key" });
  });

  test("needs no promise and no store for a token seen before", async () => {
    const node = await openIdentity();
    const { token, jti } = await node.tokens.mint("default", 60_000, null);
    const first = node.authenticator.authenticate(found(bearer(token)), REQUIRED);
    expect(first).toBeInstanceOf(Promise);
    await first;
    const calls = node.store.calls.length;
    const second = node.authenticator.authenticate(found(bearer(token)), REQUIRED);
    expect(second).toMatchObject({ kind: "token", tokenId: jti, projectId: "default" });
    expect(node.store.calls).toHaveLength(calls);
  });

  test("asks for proxy authentication where a proxy is addressed", async () => {
    const node = await openIdentity();
    const ask = () => node.authenticator.authenticate(found({}, "proxy"), REQUIRED);
    expect(ask).toThrow(GatewayError);
    try {
      await ask();
    } catch (thrown) {
      const error = asGatewayError(thrown);
      expect(error.status).toBe(407);
      expect(error.headers["proxy-authenticate"]).toContain("Basic");
    }
  });
});

describe("Authenticator.authenticate() of a client secret", () => {
  const SECRET = { provider: "openai", key: "ek_1" };
  const STATIC = new StaticKeys(["static-key-1"]).match("static-key-1");

  async function secretOf(node: Identity, caller: Principal): Promise<Headers_> {
    const made = await node.clientSecrets.make(caller, SECRET, node.clock.nowMs() + 600_000);
    return bearer(made);
  }

  async function ofToken() {
    const node = await openIdentity();
    const { token, jti, expiresAtMs } = await node.tokens.mint("default", 3_600_000, null);
    const caller = await node.tokens.verify(token);
    return { node, jti, expiresAtMs, headers: await secretOf(node, caller), caller };
  }

  test("is its token's principal, with what the session is opened with", async () => {
    const { node, headers, caller } = await ofToken();
    const expiresAtMs = node.clock.nowMs() + 600_000;
    const principal = { ...caller, expiresAtMs, clientSecret: SECRET };
    expect(await outcome(node, headers, REQUIRED)).toEqual(principal);
    expect(await outcome(node, headers, OPEN)).toEqual(principal);
  });

  test("ends with its token", async () => {
    const { node, headers, jti, expiresAtMs } = await ofToken();
    node.revocations.revoke([{ jti, expires_at: expiresAtMs }]);
    expect(await outcome(node, headers, REQUIRED)).toBe("token_revoked");
  });

  test("ends with its project", async () => {
    const { node, headers } = await ofToken();
    node.directory.suspend("default");
    expect(await outcome(node, headers, REQUIRED)).toBe("project_inactive");
  });

  test("holds for a static key as long as that is configured", async () => {
    const node = await openIdentity();
    if (STATIC === null) throw new Error("The key is there");
    const headers = await secretOf(node, STATIC);
    expect(await outcome(node, headers, REQUIRED)).toMatchObject({
      kind: "static_key",
      tokenId: STATIC.tokenId,
    });
    const other: Access = { auth: "required", keys: new StaticKeys(["static-key-2"]) };
    expect(await outcome(node, headers, other)).toBe("token_invalid");
  });

  test("holds for nobody in particular as long as auth is open", async () => {
    const node = await openIdentity();
    const caller = await outcome(node, {}, OPEN);
    if (typeof caller === "string") throw new Error(caller);
    const headers = await secretOf(node, caller);
    expect(await outcome(node, headers, OPEN)).toMatchObject({ ...OPEN_PRINCIPAL });
    expect(await outcome(node, headers, REQUIRED)).toBe("token_invalid");
  });

  test("is refused where it is forged, too long, or not alone", async () => {
    const { node, headers } = await ofToken();
    const forged = bearer("ek_sluice-x.y.z");
    expect(await outcome(node, forged, REQUIRED)).toBe("token_invalid");
    expect(await outcome(node, forged, OPEN)).toBe("token_invalid");
    const long = bearer(`ek_sluice-${"x".repeat(14 * 1024)}`);
    expect(await outcome(node, long, REQUIRED)).toBe("token_invalid");
    const two = { ...headers, "api-key": "other" };
    expect(await outcome(node, two, REQUIRED)).toBe("token_invalid");
  });
});

describe("Authenticator.authenticate() refuses a genuine token", () => {
  async function seen(): Promise<{ node: Identity; token: string; jti: string; exp: number }> {
    const node = await openIdentity();
    const { token, jti, expiresAtMs } = await node.tokens.mint("default", 60_000, null);
    await node.authenticator.authenticate(found(bearer(token)), REQUIRED);
    return { node, token, jti, exp: expiresAtMs };
  }

  test("that was revoked, from the next request on", async () => {
    const { node, token, jti, exp } = await seen();
    node.revocations.revoke([{ jti, expires_at: exp }]);
    expect(await outcome(node, bearer(token), REQUIRED)).toBe("token_revoked");
  });

  test("that was revoked before this node ever saw it", async () => {
    const { node, token, jti, exp } = await seen();
    await node.store.insertRevocation({ jti, revoked_at: 0, expires_at: exp }, BY_ADMIN);
    const other = await openIdentity(node.store, node.clock);
    expect(await outcome(other, bearer(token), REQUIRED)).toBe("token_revoked");
  });

  test("that has expired, cached or not", async () => {
    const { node, token } = await seen();
    node.clock.advance(66_000);
    expect(await outcome(node, bearer(token), REQUIRED)).toBe("token_expired");
    expect(await outcome(node, bearer(token), REQUIRED)).toBe("token_expired");
  });

  test("whose project's tokens were revoked, unless it was issued after", async () => {
    const { node, token, exp } = await seen();
    const issued_before = node.clock.nowMs();
    const row = { issued_before, revoked_at: issued_before, expires_at: exp };
    node.revocations.revokeProject({ ...row, project_id: "default" });
    expect(await outcome(node, bearer(token), REQUIRED)).toBe("token_revoked");
    node.clock.advance(1000);
    const later = await node.tokens.mint("default", 60_000, null);
    expect(await outcome(node, bearer(later.token), REQUIRED)).toMatchObject({ kind: "token" });
    expect(await outcome(node, bearer("static-key-1"), REQUIRED)).toMatchObject({
      kind: "static_key",
    });
    expect(await outcome(node, {}, OPEN)).toMatchObject(OPEN_PRINCIPAL);
  });

  test("that was deactivated, until it is active again", async () => {
    const { node, token, jti, exp } = await seen();
    const row = { jti, limits: {}, changed_at: node.clock.nowMs(), expires_at: exp };
    node.revocations.override({ ...row, is_active: false });
    expect(await outcome(node, bearer(token), REQUIRED)).toBe("token_revoked");
    node.revocations.override({ ...row, is_active: true });
    expect(await outcome(node, bearer(token), REQUIRED)).toMatchObject({ tokenId: jti });
  });

  test("while the revocations known are too old, but nobody without a token", async () => {
    const { node, token } = await seen();
    node.setStale(true);
    expect(await outcome(node, bearer(token), REQUIRED)).toBe("revocations_stale");
    expect(await outcome(node, bearer(token), OPEN)).toBe("revocations_stale");
    expect(await outcome(node, bearer("sk-sluice-forged"), REQUIRED)).toBe("token_invalid");
    expect(await outcome(node, bearer("static-key-1"), REQUIRED)).toMatchObject({
      kind: "static_key",
    });
    expect(await outcome(node, {}, OPEN)).toMatchObject(OPEN_PRINCIPAL);
    node.setStale(false);
    expect(await outcome(node, bearer(token), REQUIRED)).toMatchObject({ kind: "token" });
  });

  test("whose project is inactive", async () => {
    const { node, token } = await seen();
    const row = await node.store.updateProject("default", { is_active: false }, 0, BY_ADMIN);
    if (row !== null) node.directory.putProject(row);
    expect(await outcome(node, bearer(token), REQUIRED)).toBe("project_inactive");
    expect(await outcome(node, bearer("static-key-1"), REQUIRED)).toBe("project_inactive");
    expect(await outcome(node, {}, OPEN)).toBe("project_inactive");
  });

  test("whose project does not exist", async () => {
    const { node } = await seen();
    const { token } = await node.tokens.mint("gone", 60_000, null);
    expect(await outcome(node, bearer(token), REQUIRED)).toBe("project_inactive");
  });
});

describe("Authenticator.authenticate() with auth: open", () => {
  test.each<[string, Headers_]>([
    ["nothing", {}],
    ["a foreign key", bearer("sk-proj-foreign")],
    ["a foreign JWT", bearer(FOREIGN_JWT)],
    ["two foreign keys", { ...bearer("sk-one"), "x-api-key": "sk-two" }],
    ["a foreign key of 9000 characters", bearer("A".repeat(9000))],
  ])("lets in %s as the default project, without a promise", async (_what, headers) => {
    const node = await openIdentity();
    expect(node.authenticator.authenticate(found(headers), OPEN)).toMatchObject(OPEN_PRINCIPAL);
  });

  test("counts a token of ours as its principal, also beside a foreign key", async () => {
    const node = await openIdentity();
    const { token, jti } = await node.tokens.mint("default", 60_000, null);
    for (const sent of [token, token.slice("sk-sluice-".length)]) {
      const headers = { ...bearer("sk-proj-foreign"), "x-api-key": sent };
      expect(await outcome(node, headers, OPEN)).toMatchObject({ kind: "token", tokenId: jti });
    }
  });

  test("counts a static key as its principal", async () => {
    const node = await openIdentity();
    expect(await outcome(node, bearer("static-key-1"), OPEN)).toMatchObject({ kind: "static_key" });
  });

  test.each<[string, (node: Identity) => Promise<Headers_>, string]>([
    ["forged", async () => bearer("sk-sluice-forged"), "token_invalid"],
    ["of 9000 characters", async () => bearer(`sk-sluice-${"A".repeat(9000)}`), "token_invalid"],
    [
      "expired",
      async (node) => {
        const { token } = await node.tokens.mint("default", 1000, null);
        node.clock.advance(7000);
        return bearer(token.slice("sk-sluice-".length));
      },
      "token_expired",
    ],
    [
      "one of two",
      async (node) => {
        const { token } = await node.tokens.mint("default", 60_000, null);
        return { ...bearer(token), "x-api-key": "static-key-1" };
      },
      "token_invalid",
    ],
  ])("still refuses a token of ours that is %s", async (_what, headers, code) => {
    const node = await openIdentity();
    expect(await outcome(node, await headers(node), OPEN)).toBe(code);
  });
});

describe("Authenticator.limits()", () => {
  const signed = { requests_per_minute: 60, max_requests: 100 };

  async function withLimits(limits: Limits | null) {
    const node = await openIdentity();
    const lists = { models: null, endpoints: null, tiers: null };
    const restrictions = limits === null ? null : { ...lists, limits };
    const { token, jti, expiresAtMs } = await node.tokens.mint("default", 60_000, restrictions);
    const principal = await node.tokens.verify(token);
    const ask = () => node.authenticator.limits(principal);
    const override = (change: Limits) =>
      node.revocations.override({
        jti,
        is_active: true,
        limits: change,
        changed_at: node.clock.nowMs(),
        expires_at: expiresAtMs,
      });
    return { node, jti, ask, override };
  }

  test("is empty where nothing is limited", async () => {
    const { ask, override } = await withLimits(null);
    expect(ask()).toEqual([]);
    override({});
    expect(ask()).toEqual([]);
  });

  test("takes of the token's claims and its override the lower of each", async () => {
    const { jti, ask, override } = await withLimits(signed);
    expect(ask()).toEqual([{ subject: `token:${jti}`, limits: signed }]);
    override({ requests_per_minute: 5, max_requests: 500, session_turns: 9 });
    const limits = { requests_per_minute: 5, max_requests: 100, session_turns: 9 };
    expect(ask()).toEqual([{ subject: `token:${jti}`, limits }]);
  });

  test("adds the project's, also for those who have no token", async () => {
    const { node, jti, ask } = await withLimits(signed);
    const row = node.directory.project("default");
    if (row === null) throw new Error("The default project is missing");
    const limits = { tokens_per_minute: 1000 };
    node.directory.putProject({ ...row, limits });
    const project = { subject: "project:default", limits };
    expect(ask()).toEqual([{ subject: `token:${jti}`, limits: signed }, project]);
    for (const [headers, access] of [
      [bearer("static-key-1"), REQUIRED],
      [{}, OPEN],
    ] as const) {
      const principal = await node.authenticator.authenticate(found(headers), access);
      expect(node.authenticator.limits(principal)).toEqual([project]);
    }
  });
});

describe("Authenticator.lists()", () => {
  const lists = { models: ["gpt-5*"], endpoints: null, tiers: null };

  async function principals(signed: Restrictions | null) {
    const node = await openIdentity();
    const { token, jti } = await node.tokens.mint("default", 60_000, signed);
    const bearers = [
      [bearer(token), REQUIRED],
      [bearer("static-key-1"), REQUIRED],
      [{}, OPEN],
    ] as const;
    const found_ = bearers.map(([headers, access]) =>
      node.authenticator.authenticate(found(headers), access),
    );
    const known = await Promise.all(found_);
    const ask = () => known.map((principal) => node.authenticator.lists(principal));
    const change = (to: Partial<Restrictions>) => {
      const row = node.directory.project("default");
      if (row === null) throw new Error("The default project is missing");
      node.directory.putProject({ ...row, ...to });
    };
    return { jti, ask, change };
  }

  test("is empty where nothing but limits restricts", async () => {
    const limits = { session_turns: 5 };
    const { ask, change } = await principals({ ...UNRESTRICTED, limits });
    change({ limits });
    expect(ask()).toEqual([[], [], []]);
  });

  test("has those that are signed into the token", async () => {
    const { jti, ask } = await principals({ ...lists, limits: {} });
    expect(ask()).toMatchObject([[{ subject: `token:${jti}`, lists }], [], []]);
  });

  test("has the project's as they are now, also for those who have no token", async () => {
    const { jti, ask, change } = await principals({ ...lists, limits: {} });
    for (const restricting of [{ tiers: ["flex"] }, { endpoints: ["/v1/*"], tiers: null }]) {
      change(restricting);
      const project = { subject: "project:default", lists: restricting };
      expect(ask()).toMatchObject([
        [{ subject: `token:${jti}`, lists }, project],
        [project],
        [project],
      ]);
    }
    change({ endpoints: null });
    expect(ask()).toMatchObject([[{ subject: `token:${jti}` }], [], []]);
  });
});

describe("Authenticator.recheck()", () => {
  test("throws once the principal was revoked, expired or its project deactivated", async () => {
    const node = await openIdentity();
    const { token, jti, expiresAtMs } = await node.tokens.mint("default", 60_000, null);
    const principal = await node.authenticator.authenticate(found(bearer(token)), REQUIRED);
    const code = () => {
      try {
        node.authenticator.recheck(principal);
        return "good";
      } catch (thrown) {
        const error = asGatewayError(thrown);
        expect(error.subject).toBe(`token:${jti}`);
        return error.code;
      }
    };
    expect(code()).toBe("good");
    node.directory.removeProject("default");
    expect(code()).toBe("project_inactive");
    node.setStale(true);
    expect(code()).toBe("revocations_stale");
    node.revocations.revoke([{ jti, expires_at: expiresAtMs }]);
    expect(code()).toBe("token_revoked");
    node.clock.advance(65_000);
    expect(code()).toBe("token_expired");
  });
});

describe("endWhenRefused()", () => {
  test("ends sessions of revoked tokens and deactivated projects, and no other", async () => {
    const node = await openIdentity();
    const nowMs = node.clock.nowMs();
    let live: LiveSession[] = [
      { projectId: "default", tokenId: "a", issuedAtMs: nowMs },
      { projectId: "default", tokenId: "b", issuedAtMs: nowMs },
      { projectId: "default", tokenId: "static_a", issuedAtMs: null },
      { projectId: "default", tokenId: null, issuedAtMs: null },
      { projectId: "other", tokenId: "old", issuedAtMs: nowMs - 1000 },
      { projectId: "other", tokenId: "new", issuedAtMs: nowMs + 1000 },
    ];
    const ended: string[] = [];
    endWhenRefused(node.revocations, node.directory, {
      endWhere(matches, error) {
        const ending = live.filter(matches);
        live = live.filter((session) => !matches(session));
        ended.push(`${error.code}: ${ending.map(({ tokenId }) => tokenId).join(" ")}`);
        return ending.length;
      },
    });
    const times = { revoked_at: nowMs, expires_at: nowMs + 60_000 };
    node.revocations.revoke([{ jti: "a", ...times }]);
    node.revocations.revokeProject({ project_id: "other", issued_before: nowMs, ...times });
    node.directory.removeProject("default");
    expect(ended).toEqual([
      "token_revoked: a",
      "token_revoked: old",
      "project_inactive: b static_a ",
    ]);
    expect(live.map(({ tokenId }) => tokenId)).toEqual(["new"]);
  });
});

describe("accessOf()", () => {
  test("takes global keys and the provider's own", () => {
    const config = { authKeys: ["global"] };
    const access = accessOf(config, { auth: "required", authKeys: ["own"] });
    expect(access.auth).toBe("required");
    expect(access.keys.size).toBe(2);
    expect(access.keys.match("own")).not.toBeNull();
    expect(access.keys.match("global")).not.toBeNull();
  });
});
