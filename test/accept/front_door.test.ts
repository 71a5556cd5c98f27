import { describe, expect, test } from "bun:test";

import { createFrontDoor, type Readiness } from "../../src/accept/front_door.ts";
import { SIGNS_AFTER_MS } from "../../src/auth/token_ring.ts";
import type { Connection } from "../../src/runtime/runtime.ts";

const connection: Connection = {
  remoteAddress: "127.0.0.1",
  secure: false,
  upgrade: () => false,
  setIdleTimeout: () => {},
};

const refused: string[] = [];

const OK = '{"status":"ok","reasons":[],"revocations_age_ms":12}';

function door(readiness: Readiness = "ok") {
  return createFrontDoor({
    gateway: { handle: async () => new Response("gateway") },
    onRefused: (_request, error) => void refused.push(error.code),
    headerCountMax: 0,
    health: () => ({
      readiness,
      reasons: readiness === "degraded" ? ["policy_unreadable"] : [],
      revocationsAgeMs: 12.3,
    }),
    jwks: () => ({ keys: [] }),
  });
}

async function answer(path: string, readiness: Readiness = "ok", method = "GET") {
  const response = await door(readiness)(
    new Request(`http://node:8080${path}`, { method, headers: { host: "node:8080" } }),
    connection,
  );
  return { status: response?.status, body: await response?.text(), headers: response?.headers };
}

describe("createFrontDoor()", () => {
  test.each<[Readiness, number]>([
    ["ok", 200],
    ["degraded", 200],
    ["starting", 503],
    ["draining", 503],
  ])("answers /health/ready with the state %s and %d", async (readiness, status) => {
    expect(await answer("/health/ready", readiness)).toMatchObject({
      status,
      body: JSON.stringify({
        status: readiness,
        reasons: readiness === "degraded" ? ["policy_unreadable"] : [],
        revocations_age_ms: 12,
      }),
    });
  });

  test("is live as long as it answers", async () => {
    expect((await answer("/health/live", "draining")).status).toBe(200);
  });

  test("serves the signing keys, and has no cache hold them until a new one signs", async () => {
    const { body, headers } = await answer("/.well-known/jwks.json");
    expect(body).toBe('{"keys":[]}');
    expect(headers?.get("cache-control")).toBe("public, max-age=5");
    expect(5_000).toBeLessThan(SIGNS_AFTER_MS);
  });

  test.each(["/v1/models", "/", "/health/ready/x", "/health?x=1#y", "/healthy"])(
    "hands %s to the gateway unless it is its own",
    async (path) => {
      const expected = path.startsWith("/health?") ? OK : "gateway";
      expect((await answer(path)).body).toBe(expected);
    },
  );

  test("reports what the guard turns away", async () => {
    refused.length = 0;
    const request = new Request("http://node:8080/v1/models", { headers: { host: "a, b" } });
    expect((await door()(request, connection))?.status).toBe(400);
    expect(refused).toEqual(["bad_request"]);
  });

  test("hands a POST to its own paths to the gateway", async () => {
    expect((await answer("/health", "ok", "POST")).body).toBe("gateway");
  });
});
