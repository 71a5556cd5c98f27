/** Client secrets: what make writes open reads, on every node, and nothing else does. */

import { describe, expect, test } from "bun:test";
import { SECRET_LENGTH_MAX } from "../../src/auth/client_secret.ts";
import { asGatewayError } from "../../src/errors.ts";
import type { Principal } from "../../src/exchange.ts";
import { base64Url, ed25519, forge, stolenKey, strangersKey } from "../support/forge.ts";
import { DAY_MS, type Identity, openIdentity } from "../support/identity.ts";

const SECRET = { provider: "openai", key: "ek_68af296e8e408191a1120ab6383263c2" };
const RESTRICTIONS = {
  models: ["gpt-realtime*"],
  endpoints: ["/v1/realtime"],
  tiers: ["flex"],
  limits: { max_requests: 3, requests_per_minute: 60 },
};
const HOUR_MS = 3_600_000;

async function callerOf(node: Identity, lifetimeMs = DAY_MS): Promise<Principal> {
  const { token } = await node.tokens.mint("default", lifetimeMs, RESTRICTIONS);
  return await node.tokens.verify(token);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "accepted";
  } catch (thrown) {
    return asGatewayError(thrown).code;
  }
}

describe("ClientSecrets.make()", () => {
  test("writes what open() reads, on another node too", async () => {
    const node = await openIdentity();
    const caller = await callerOf(node);
    const expiresAtMs = node.clock.nowMs() + 600_000;
    const secret = await node.clientSecrets.make(caller, SECRET, expiresAtMs);
    const other = await openIdentity(node.store, node.clock);
    expect(await other.clientSecrets.open(secret)).toEqual({
      ...caller,
      expiresAtMs,
      clientSecret: SECRET,
    });
  });

  test("ends it no later than the token that it was made with", async () => {
    const node = await openIdentity();
    const caller = await callerOf(node, HOUR_MS);
    const secret = await node.clientSecrets.make(caller, SECRET, node.clock.nowMs() + DAY_MS);
    expect((await node.clientSecrets.open(secret)).expiresAtMs).toBe(caller.expiresAtMs);
  });

  test.each<Partial<Principal> & Pick<Principal, "kind">>([
    { kind: "static_key", tokenId: "static_01234567" },
    { kind: "open", tokenId: null },
  ])("stands for %p as well", async (of) => {
    const { clientSecrets, clock } = await openIdentity();
    const caller = {
      projectId: "default",
      tokenId: null,
      expiresAtMs: null,
      issuedAtMs: null,
      restrictions: null,
      ...of,
    };
    const expiresAtMs = clock.nowMs() + HOUR_MS;
    const secret = await clientSecrets.make(caller, SECRET, expiresAtMs);
    const opened = { ...caller, expiresAtMs, clientSecret: SECRET };
    expect(await clientSecrets.open(secret)).toEqual(opened);
  });

  test("fits into a list of subprotocols, and begins as OpenAI's do", async () => {
    const node = await openIdentity();
    const secret = await node.clientSecrets.make(await callerOf(node), SECRET, Date.now());
    expect(secret).toMatch(/^ek_sluice-[\w.-]+$/);
    expect(node.clientSecrets.recognizes(secret)).toBe(true);
    expect(node.clientSecrets.recognizes(SECRET.key)).toBe(false);
  });

  test("takes the longest restrictions that a token can have, and a long key", async () => {
    const node = await openIdentity();
    const models = Array.from({ length: 30 }, (_, n) => `${n}`.padEnd(188, "m"));
    const restrictions = { ...RESTRICTIONS, models };
    const { token } = await node.tokens.mint("default", DAY_MS, restrictions);
    expect(token.length).toBeGreaterThan(8_000);
    const secret = { provider: "openai", key: "k".repeat(1024) };
    const caller = await node.tokens.verify(token);
    const made = await node.clientSecrets.make(caller, secret, node.clock.nowMs() + HOUR_MS);
    expect((await node.clientSecrets.open(made)).restrictions).toEqual(restrictions);
  });

  test("refuses to make one that is too long to be accepted", async () => {
    const node = await openIdentity();
    const secret = { provider: "openai", key: "k".repeat(SECRET_LENGTH_MAX) };
    const make = node.clientSecrets.make(await callerOf(node), secret, DAY_MS);
    await expect(make).rejects.toThrow("is too long");
  });
});

describe("ClientSecrets.open()", () => {
  test("says token_expired of a genuine one once its time and the leeway are over", async () => {
    const node = await openIdentity();
    const expiresAtMs = node.clock.nowMs() + 60_000;
    const secret = await node.clientSecrets.make(await callerOf(node), SECRET, expiresAtMs);
    node.clock.advance(64_999);
    expect(await codeOf(node.clientSecrets.open(secret))).toBe("accepted");
    node.clock.advance(1);
    expect(await codeOf(node.clientSecrets.open(secret))).toBe("token_expired");
  });

  test("says token_invalid of whatever is not one", async () => {
    const node = await openIdentity();
    const secret = await node.clientSecrets.make(await callerOf(node), SECRET, Date.now() * 2);
    const { token } = await node.tokens.mint("default", DAY_MS, null);
    const stolen = stolenKey(node.store);
    const header = { alg: "EdDSA", typ: "JWT", kid: stolen.kid };
    const [, payload = ""] = secret.slice("ek_sluice-".length).split(".");
    const text = Buffer.from(payload, "base64url").toString();
    const { sealed } = JSON.parse(text);
    const ours = (claims: unknown) => forge(header, claims, ed25519(stolen.key));
    const otherRow = await node.cipher.encrypt("[]", "credential");
    const noClaims = await node.cipher.encrypt(
      '["token","openai","ek_1","{}"]',
      '["client_secret"]',
    );
    for (const jwt of [
      "",
      "x.y.z",
      token.slice("sk-sluice-".length),
      token,
      forge(header, text, ed25519(strangersKey())),
      ours(text).replace(/.{4}$/, "AAAA"),
      ours({ use: "client_secret", sealed, more: 1 }),
      ours({ sealed }),
      ours("no JSON"),
      ours({ use: "client_secret", sealed: otherRow }),
      ours({ use: "client_secret", sealed: noClaims }),
      `${base64Url("{}")}.${payload}.`,
    ]) {
      expect([jwt, await codeOf(node.clientSecrets.open(`ek_sluice-${jwt}`))]).toEqual([
        jwt,
        "token_invalid",
      ]);
    }
    expect(await codeOf(node.clientSecrets.open(`ek_sluice-${ours(text)}`))).toBe("accepted");
  });

  test("knows none of another store, or of another audience", async () => {
    const node = await openIdentity();
    const secret = await node.clientSecrets.make(await callerOf(node), SECRET, Date.now() * 2);
    const stranger = await openIdentity();
    expect(await codeOf(stranger.clientSecrets.open(secret))).toBe("token_invalid");
    const other = await openIdentity(node.store, node.clock, { audience: "other" });
    expect(await codeOf(other.clientSecrets.open(secret))).toBe("token_invalid");
  });
});

test("Tokens.verify() takes no client secret, with or without a prefix", async () => {
  const node = await openIdentity();
  const secret = await node.clientSecrets.make(await callerOf(node), SECRET, Date.now() * 2);
  const jwt = secret.slice("ek_sluice-".length);
  for (const token of [secret, jwt, `sk-sluice-${jwt}`]) {
    expect(await codeOf(node.tokens.verify(token))).toBe("token_invalid");
  }
});
