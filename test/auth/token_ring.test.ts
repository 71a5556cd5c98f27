/** Which signing keys there are, and which of them signs. */

import { describe, expect, test } from "bun:test";
import { KeyRing } from "../../src/auth/token_ring.ts";
import { FakeCipher } from "../support/fake_cipher.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { BY_ADMIN, DAY_MS } from "../support/identity.ts";
import { MemoryStore } from "../support/memory_store.ts";

type Algorithm = "EdDSA" | "HS256";

function open(
  store: MemoryStore,
  clock: FakeClock,
  algorithm: Algorithm = "EdDSA",
): Promise<KeyRing> {
  const config = { algorithm, maxLifetimeMs: DAY_MS, leewayMs: 5000 };
  return KeyRing.open({ store, cipher: new FakeCipher(), clock, config });
}

async function setUp(algorithm: Algorithm = "EdDSA") {
  const store = new MemoryStore();
  const clock = new FakeClock();
  const ring = await open(store, clock, algorithm);
  return { store, clock, ring, first: ring.signer().kid };
}

describe("KeyRing.open()", () => {
  test("makes one key for all nodes that start at once", async () => {
    const store = new MemoryStore();
    const clock = new FakeClock();
    const [one, two] = await Promise.all([open(store, clock), open(store, clock)]);
    expect(store.signingKeys).toHaveLength(1);
    expect(one.signer().kid).toBe(two.signer().kid);
  });

  test("makes a key of the configured algorithm beside those of the other one", async () => {
    const { store, clock, ring, first } = await setUp("EdDSA");
    const other = await open(store, clock, "HS256");
    expect(store.signingKeys.map(({ algorithm }) => algorithm)).toEqual(["EdDSA", "HS256"]);
    expect(other.signer().algorithm).toBe("HS256");
    expect(other.publicKeys().map(({ kid }) => kid)).toEqual([first]);
    await ring.reload();
    expect(ring.signer().kid).toBe(first);
    expect(ring.byHeader(other.signer().header)?.kid).toBe(other.signer().kid);
  });

  test("throws for a key that cannot be used", async () => {
    const { store, clock } = await setUp();
    store.signingKeys.push({ ...store.signingKeys[0]!, kid: "moved" });
    await expect(open(store, clock)).rejects.toThrow('signing key "moved"');
  });
});

describe("KeyRing.rotate()", () => {
  test("is audited, and its key signs everywhere once all have had time to read it", async () => {
    const { store, clock, ring, first } = await setUp();
    clock.advance(DAY_MS);
    const other = await open(store, clock);
    const { kid, algorithm, signsFromMs } = await ring.rotate(BY_ADMIN);
    expect([algorithm, signsFromMs]).toEqual(["EdDSA", clock.nowMs() + 10_000]);
    expect(store.audit).toHaveLength(1);
    await other.reload();
    const signers = () => [ring.signer().kid, other.signer().kid];
    clock.advance(9_999);
    expect(signers()).toEqual([first, first]);
    clock.advance(1);
    expect(signers()).toEqual([kid, kid]);
    expect(other.publicKeys().map((key) => key.kid)).toEqual([kid, first]);
  });

  test("twice at once gives two keys, and the later one signs in the end", async () => {
    const { clock, ring, first } = await setUp();
    await ring.rotate(BY_ADMIN);
    const last = await ring.rotate(BY_ADMIN);
    expect(ring.signer().kid).toBe(first);
    clock.advance(last.signsFromMs - clock.nowMs());
    expect(ring.signer().kid).toBe(last.kid);
  });

  test("makes a later key also where the last one is of a node whose clock was ahead", async () => {
    const { store, clock, ring } = await setUp();
    const ahead = new FakeClock(clock.nowMs() + 600_000);
    const theirs = await (await open(store, ahead)).rotate(BY_ADMIN);
    await ring.reload();
    const ours = await ring.rotate(BY_ADMIN);
    expect(ours.signsFromMs).toBe(theirs.signsFromMs + 1);
  });

  test("leaves everything as it was when the store fails", async () => {
    const { store, ring, first } = await setUp();
    store.failWith = new Error("database is gone");
    await expect(ring.rotate(BY_ADMIN)).rejects.toThrow("database is gone");
    expect(ring.publicKeys().map(({ kid }) => kid)).toEqual([first]);
  });
});

describe("KeyRing.reload()", () => {
  test("decrypts only what is new, and drops what is gone", async () => {
    const store = new MemoryStore();
    const clock = new FakeClock();
    const cipher = new FakeCipher();
    const config = { algorithm: "EdDSA", maxLifetimeMs: DAY_MS, leewayMs: 5000 } as const;
    const ring = await KeyRing.open({ store, cipher, clock, config });
    const rotated = await (await open(store, clock)).rotate(BY_ADMIN);
    await ring.reload();
    expect(cipher.decryptions).toBe(2);
    store.signingKeys.shift();
    await ring.reload();
    expect(ring.publicKeys().map(({ kid }) => kid)).toEqual([rotated.kid]);
    expect(cipher.decryptions).toBe(2);
  });

  test("takes the keys that it can use, and throws for the one that it cannot", async () => {
    const { store, ring, clock } = await setUp();
    store.signingKeys.push({ ...store.signingKeys[0]!, kid: "new", algorithm: "ML-DSA-44" });
    const { kid } = await (await setUpBeside(store, clock)).rotate(BY_ADMIN);
    await expect(ring.reload()).rejects.toThrow('"ML-DSA-44"');
    expect(ring.publicKeys().map((key) => key.kid)).toContain(kid);
  });
});

/** A node that read the keys before the one it cannot use was there. */
async function setUpBeside(store: MemoryStore, clock: FakeClock): Promise<KeyRing> {
  const hidden = store.signingKeys.pop();
  const ring = await open(store, clock);
  if (hidden !== undefined) store.signingKeys.push(hidden);
  return ring;
}

describe("KeyRing.forgetRetired()", () => {
  test("deletes a key only when all that it signed has expired everywhere", async () => {
    const { store, clock, ring, first } = await setUp();
    const { kid, signsFromMs } = await ring.rotate(BY_ADMIN);
    const lastExpiryMs = signsFromMs + DAY_MS + 5000;
    clock.advance(lastExpiryMs - clock.nowMs());
    clock.advance(3_600_000);
    expect(await ring.forgetRetired()).toEqual([]);
    clock.advance(1);
    expect(await ring.forgetRetired()).toEqual([first]);
    expect(store.signingKeys.map((row) => row.kid)).toEqual([kid]);
    expect(ring.publicKeys().map((key) => key.kid)).toEqual([kid]);
  });

  test("keeps the last key of each algorithm, however old", async () => {
    const { store, clock, ring } = await setUp("EdDSA");
    await open(store, clock, "HS256");
    await ring.reload();
    clock.advance(1000 * DAY_MS);
    expect(await ring.forgetRetired()).toEqual([]);
    expect(store.signingKeys).toHaveLength(2);
  });
});
