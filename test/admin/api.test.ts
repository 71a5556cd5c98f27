/** The guards of the management API, its methods, and what it says when things go wrong. */

import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../src/errors.ts";
import { DatabaseError } from "../../src/store/postgres_error.ts";
import { ADMIN_TOKEN, CLIENT_ADDRESS, setUpAdmin, VIEWER_TOKEN } from "../support/admin.ts";
import { auditLine, NEVER_SHOWN } from "../support/admin_cases.ts";

/** A request whose every detail is the caller's. */
function raw(
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: string,
): Request {
  return new Request(`http://127.0.0.1:9090${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
  });
}

const AUTHORIZED = { authorization: `Bearer ${ADMIN_TOKEN}` };
const CLIENT = { remoteAddress: CLIENT_ADDRESS };
const JSON_TYPE = { "content-type": "application/json" };

describe("createAdminHandler() refuses", () => {
  test.each<[string, string, string, Record<string, string>, number, string]>([
    ["no token", "GET", "/manage/projects", {}, 401, "unauthorized"],
    ["no token on an unknown path", "GET", "/manage/nothing", {}, 401, "unauthorized"],
    ["no token on a wrong method", "PUT", "/manage/projects", {}, 401, "unauthorized"],
    ["another token", "GET", "/manage/status", { authorization: "Bearer x" }, 401, "unauthorized"],
    ["an empty token", "GET", "/manage/status", { authorization: "Bearer " }, 401, "unauthorized"],
    ["a bare token", "GET", "/manage/status", { authorization: ADMIN_TOKEN }, 401, "unauthorized"],
    [
      "two tokens",
      "GET",
      "/manage/status",
      { authorization: `Bearer ${ADMIN_TOKEN} x` },
      401,
      "unauthorized",
    ],
    [
      "Basic",
      "GET",
      "/manage/status",
      { authorization: `Basic ${ADMIN_TOKEN}` },
      401,
      "unauthorized",
    ],
    ["an unknown path", "GET", "/manage/nothing", AUTHORIZED, 404, "not_found"],
    ["the root", "GET", "/", {}, 404, "not_found"],
    [
      "a name of someone else's",
      "GET",
      "/manage/status",
      { ...AUTHORIZED, host: "evil.example" },
      403,
      "host_not_allowed",
    ],
    [
      "a name that ends like ours",
      "GET",
      "/manage/status",
      { ...AUTHORIZED, host: "localhost.evil.example" },
      403,
      "host_not_allowed",
    ],
    [
      "a name that begins like an address",
      "GET",
      "/manage/status",
      { ...AUTHORIZED, host: "127.0.0.1.evil.example" },
      403,
      "host_not_allowed",
    ],
    [
      "an address out of range",
      "GET",
      "/manage/status",
      { ...AUTHORIZED, host: "127.0.0.256" },
      403,
      "host_not_allowed",
    ],
    [
      "a foreign host before the token",
      "GET",
      "/manage/status",
      { host: "evil.example" },
      403,
      "host_not_allowed",
    ],
  ])("%s", async (_what, method, path, headers, status, code) => {
    const { handle } = await setUpAdmin();
    const response = await handle(raw(method, path, headers), CLIENT);
    expect(response.status).toBe(status);
    const body = await response.json();
    expect(Object.keys(body)).toEqual(["error", "code", "description"]);
    expect(body.code).toBe(code);
  });

  test.each<[string, string, string]>([
    ["PUT", "/manage/projects", "GET, HEAD, POST"],
    ["DELETE", "/manage/tokens", "GET, HEAD, POST"],
    ["POST", "/manage/tokens/tok_1", "GET, HEAD, PATCH, DELETE"],
    ["PUT", "/manage/revocations", "GET, HEAD, POST"],
    ["GET", "/manage/keys/rotate", "POST"],
    ["OPTIONS", "/manage/usage/events", "GET, HEAD"],
    ["POST", "/health", "GET, HEAD"],
  ])("%s %s and names what is allowed", async (method, path, allow) => {
    const { request } = await setUpAdmin();
    const response = await request(method, path);
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allow);
    expect(response.headers.has("access-control-allow-origin")).toBe(false);
  });

  test.each<[string, Record<string, string>, string, number, string]>([
    ["a form", { "content-type": "text/plain" }, '{"name":"a"}', 415, "unsupported_media_type"],
    [
      "JSON's near namesake",
      { "content-type": "application/jsonp" },
      "{}",
      415,
      "unsupported_media_type",
    ],
    ["truncated JSON", JSON_TYPE, '{"name":', 400, "bad_request"],
    ["JSON with a bare control character", JSON_TYPE, '{"name":"\u0000"}', 400, "bad_request"],
    ["an empty body", JSON_TYPE, "", 400, "bad_request"],
    ["a list", JSON_TYPE, "[]", 400, "bad_request"],
    ["null", JSON_TYPE, "null", 400, "bad_request"],
    ["more than 1 MiB", JSON_TYPE, `{"name":"${"a".repeat(1024 * 1024)}"}`, 413, "body_too_large"],
  ])("a body that is %s", async (_what, headers, body, status, code) => {
    const { handle } = await setUpAdmin();
    const response = await handle(
      raw("POST", "/manage/projects", { ...AUTHORIZED, ...headers }, body),
      CLIENT,
    );
    expect(response.status).toBe(status);
    expect((await response.json()).code).toBe(code);
  });

  test("a body that is no UTF-8", async () => {
    const { handle } = await setUpAdmin();
    const request = new Request("http://127.0.0.1/manage/projects", {
      method: "POST",
      headers: { ...AUTHORIZED, ...JSON_TYPE },
      body: Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d),
    });
    const response = await handle(request, CLIENT);
    expect([response.status, (await response.json()).code]).toEqual([400, "bad_request"]);
  });

  test("more than 1 MiB that comes without a length", async () => {
    const { handle } = await setUpAdmin();
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(32)),
    });
    const headers = { ...AUTHORIZED, ...JSON_TYPE };
    const request = new Request("http://127.0.0.1/manage/projects", {
      method: "POST",
      headers,
      body,
    });
    expect((await handle(request, CLIENT)).status).toBe(413);
  });
});

describe("createAdminHandler() accepts", () => {
  test.each([
    "127.0.0.1:9090",
    "10.0.0.7",
    "[::1]:9090",
    "localhost",
    "LOCALHOST:80",
    "localhost.",
    "sluice.internal:9090",
  ])("the host %s", async (host) => {
    const { handle } = await setUpAdmin();
    const response = await handle(raw("GET", "/manage/status", { ...AUTHORIZED, host }), CLIENT);
    expect(response.status).toBe(200);
  });

  test("HEAD wherever GET is, without a body", async () => {
    const { request } = await setUpAdmin();
    const response = await request("HEAD", "/manage/projects");
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });

  test.each<[string, string]>([
    ["/health", '{"status":"ok","probe":"health"}'],
    ["/health/live", '{"status":"ok","probe":"live"}'],
    ["/health/ready", '{"status":"ok","probe":"ready"}'],
    ["/metrics", "sluice_up 1\n"],
  ])("%s without a token and from any host", async (path, body) => {
    const { handle } = await setUpAdmin();
    const response = await handle(raw("GET", path, { host: "probe.example" }), CLIENT);
    expect([response.status, await response.text()]).toEqual([200, body]);
  });

  test("keeps every answer out of caches", async () => {
    const { request } = await setUpAdmin();
    const { headers } = await request("GET", "/manage/tokens");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("passes on what the store refuses, such as a cursor of another list", async () => {
    const { request, store, errors } = await setUpAdmin();
    const message = "The cursor is not valid. Send next_cursor of the page before, or none";
    store.failWith = new GatewayError("bad_request", { message, param: "cursor" });
    const response = await request("GET", "/manage/usage/events?cursor=x");
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: message,
      code: "bad_request",
      description: 'It is about "cursor"',
    });
    expect(errors).toEqual([]);
  });

  test("says 409 for what is taken, and 503 for a database that does not answer", async () => {
    const { request, store } = await setUpAdmin();
    const codeOf = async (error: Error) => {
      store.failWith = error;
      const response = await request("PATCH", "/manage/projects/default", { name: "a" });
      return [response.status, (await response.json()).code];
    };
    const taken = new GatewayError("bad_request", { message: "Taken", param: "name", status: 409 });
    expect(await codeOf(taken)).toEqual([409, "conflict"]);
    const address = { hostname: "db", port: 5432 };
    for (const code of ["ECONNREFUSED", "STATEMENT_TIMEOUT", "POOL_TIMEOUT"]) {
      const away = new DatabaseError(address, code, "away");
      expect(await codeOf(away)).toEqual([503, "store_unavailable"]);
    }
    const damaged = new DatabaseError(address, "42P01", "no table");
    expect(await codeOf(damaged)).toEqual([500, "internal"]);
  });

  test("says nothing of an error it did not mean, and reports it", async () => {
    const { request, store, errors } = await setUpAdmin();
    store.failWith = new Error(`database at /secret/path with sk-proj-0123456789`);
    const response = await request("GET", "/manage/tokens");
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("secret");
    expect(errors).toEqual([store.failWith]);
  });
});

test("what is nobody's request is reported, an administrator's is not", async () => {
  const seen: string[] = [];
  const { request, handle } = await setUpAdmin({
    onRefused: ({ url }, code, isAnother) =>
      void seen.push(`${new URL(url).pathname} ${code}${isAnother ? " again" : ""}`),
  });
  await handle(raw("GET", "/manage/projects", { host: "127.0.0.1" }), CLIENT);
  await request("GET", "/manage/projects");
  await request("GET", "/manage/nothing");
  await request("GET", "/manage/status", undefined, { headers: { host: "evil.example" } });
  expect(seen.splice(0)).toEqual([
    "/manage/projects unauthorized",
    "/manage/status host_not_allowed",
  ]);
  for (let guess = 0; guess < 13; guess += 1) {
    await request("GET", "/manage/x", undefined, { token: "guess", address: "192.0.2.200" });
  }
  expect(seen.slice(9)).toEqual([
    "/manage/x unauthorized",
    "/manage/x too_many_attempts",
    "/manage/x too_many_attempts again",
    "/manage/x too_many_attempts again",
  ]);
});

describe("createAdminHandler() lets a viewer", () => {
  const viewer = { token: VIEWER_TOKEN };

  test.each(["/manage/projects", "/manage/audit", "/manage/keys/signing"])(
    "read %s",
    async (path) => {
      const { request } = await setUpAdmin();
      expect((await request("GET", path, undefined, viewer)).status).toBe(200);
      expect((await request("HEAD", path, undefined, viewer)).status).toBe(200);
    },
  );

  test.each<[string, string, unknown, string]>([
    ["POST", "/manage/projects", { name: "a" }, "project.create project_name:a refused"],
    ["PATCH", "/manage/projects/default", { name: "a" }, "project.update project:default refused"],
    ["DELETE", "/manage/projects/default", undefined, "project.delete project:default refused"],
    ["POST", "/manage/tokens", {}, "token.mint  refused"],
    ["POST", "/manage/revocations", { jti: "a" }, "revocation.add token:a refused"],
    ["DELETE", "/manage/sessions/s1", undefined, "session.end session:s1 refused"],
    ["POST", "/manage/keys/rotate", undefined, "keys.rotate  refused"],
    ["POST", "/manage/keys/signing/rotate", undefined, "signing_key.rotate  refused"],
  ])("not %s %s, which the audit tells", async (method, path, body, line) => {
    const { request, store } = await setUpAdmin();
    const response = await request(method, path, body, viewer);
    expect([response.status, (await response.json()).code]).toEqual([403, "forbidden"]);
    expect(store.audit.map(auditLine)).toEqual([line]);
    expect(store.audit[0]).toMatchObject({
      actor: "victor",
      details: { status: 403, code: "forbidden" },
    });
  });
});

describe("createAdminHandler() audits", () => {
  test("who changed what, from where, under which request id", async () => {
    const { request, store } = await setUpAdmin();
    const headers = { "x-request-id": "req-1" };
    const response = await request("POST", "/manage/projects", { name: "a" }, { headers });
    const { id } = await response.json();
    expect(response.headers.get("x-request-id")).toBe("req-1");
    expect(store.audit).toMatchObject([
      {
        actor: "alice",
        action: "project.create",
        subject: `project:${id}`,
        outcome: "done",
        request_id: "req-1",
        client_address: CLIENT_ADDRESS,
        details: { name: "a" },
      },
    ]);
  });

  test.each<[string, string, string, Record<string, string>, string | null]>([
    ["a login", "GET", "/manage/projects", { authorization: "Bearer x" }, "login  refused"],
    ["a login on no path", "POST", "/manage/nothing", { authorization: "" }, "login  refused"],
    ["a foreign host", "POST", "/manage/tokens", { host: "evil.example" }, "login  refused"],
    ["a foreign host that reads", "GET", "/manage/tokens", { host: "x.test" }, "login  refused"],
    ["an unknown path", "POST", "/manage/nothing", {}, "request  refused"],
    ["an unknown path that is read", "GET", "/manage/nothing", {}, null],
    ["a wrong method", "PUT", "/manage/projects", {}, "request  refused"],
    ["a path outside", "POST", "/health", {}, null],
  ])("or not: %s", async (_what, method, path, headers, line) => {
    const { request, store } = await setUpAdmin();
    expect((await request(method, path, undefined, { headers })).status).toBeGreaterThan(400);
    expect(store.audit.map(auditLine)).toEqual(line === null ? [] : [line]);
  });

  test("no secret of a refused request", async () => {
    const { request, store } = await setUpAdmin();
    const sent = { token: "sk-sluice-eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2ln" };
    await request("GET", `/manage/tokens/${sent.token}`, undefined, sent);
    await request("PUT", `/manage/${sent.token}`, { api_key: NEVER_SHOWN[0] });
    expect(store.audit.map(({ details }) => details)).toEqual([
      { status: 401, code: "unauthorized", method: "GET", path: "/manage/tokens/[redacted]" },
      { status: 404, code: "not_found", method: "PUT", path: "/manage/[redacted]" },
    ]);
    for (const secret of [...NEVER_SHOWN, "eyJhbGci"]) {
      expect(JSON.stringify(store.audit)).not.toContain(secret);
    }
  });

  test("a change that failed", async () => {
    const { request, store } = await setUpAdmin();
    store.insertProject = () => Promise.reject(new Error("disk full"));
    await request("POST", "/manage/projects", { name: "a" });
    expect(store.audit.map(auditLine)).toEqual(["project.create project_name:a failed"]);
    expect(store.audit[0]?.details).toEqual({ status: 500, code: "internal" });
  });

  test("a refusal later, where the store fails or does not answer", async () => {
    const { request, store, errors, refusalAudit, clock } = await setUpAdmin();
    const failure = new Error("disk full");
    store.failWith = failure;
    expect((await request("POST", "/manage/projects", {})).status).toBe(400);
    expect(errors).toEqual([failure]);
    store.failWith = null;
    await refusalAudit.flush("finished");
    const append = store.appendAudit.bind(store);
    const frozen = Promise.withResolvers<void>();
    store.appendAudit = (entries) => frozen.promise.then(() => append(entries));
    const answer = request("GET", "/manage/status", undefined, { token: "guess" });
    while (clock.pendingTimers === 0) await Promise.resolve();
    clock.advance(500);
    expect((await answer).status).toBe(401);
    frozen.resolve();
    await refusalAudit.flush("finished");
    expect(store.audit.map(auditLine)).toEqual(["project.create  refused", "login  refused"]);
  });
});

describe("createAdminHandler() slows down guesses:", () => {
  const wrong = { token: "guess" };

  test("the eleventh of an address is not looked at, right or wrong, for a minute", async () => {
    const { request, store, clock, refusalAudit } = await setUpAdmin();
    const statusOf = async (sender = {}) =>
      (await request("GET", "/manage/projects", undefined, sender)).status;
    for (let guess = 0; guess < 10; guess++) expect(await statusOf(wrong)).toBe(401);
    clock.advance(20_000);
    const refused = await request("GET", "/manage/projects");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("40");
    expect((await refused.json()).code).toBe("too_many_attempts");
    expect(await statusOf(wrong)).toBe(429);
    expect(await statusOf({ address: "127.0.0.1" })).toBe(200);
    expect(store.audit).toHaveLength(10);
    clock.advance(40_000);
    expect(await statusOf()).toBe(200);
    await refusalAudit.stop();
    const told = store.audit.reduce((sum, { details }) => sum + Number(details["count"] ?? 1), 0);
    expect(told).toBe(12);
  });

  test("who got in from there is let in, and a viewer's success hides no guess", async () => {
    const { request } = await setUpAdmin();
    const statusOf = async (sender = {}) =>
      (await request("GET", "/manage/status", undefined, sender)).status;
    expect(await statusOf()).toBe(200);
    for (let guess = 0; guess < 10; guess++) {
      expect(await statusOf(wrong)).toBe(401);
      expect(await statusOf()).toBe(200);
    }
    expect(await statusOf(wrong)).toBe(429);
    expect(await statusOf({ token: VIEWER_TOKEN })).toBe(429);
    expect(await statusOf()).toBe(200);
  });

  test("no token is no guess, nor is the right one under a foreign name", async () => {
    const { request } = await setUpAdmin();
    const statusOf = async (headers = {}) =>
      (await request("GET", "/manage/status", undefined, { headers })).status;
    for (let round = 0; round < 20; round++) {
      expect(await statusOf({ authorization: "" })).toBe(401);
      expect(await statusOf({ host: "evil.example" })).toBe(403);
    }
    expect(await statusOf()).toBe(200);
    for (let round = 0; round < 10; round++) {
      expect(await statusOf({ host: "evil.example", authorization: "Bearer x" })).toBe(403);
    }
    expect(await statusOf({ authorization: "Bearer x" })).toBe(429);
  });

  test("loopback is no exception, and what is no login does not count", async () => {
    const { request } = await setUpAdmin();
    const local = { address: "127.0.0.1" };
    for (let round = 0; round < 20; round++)
      await request("GET", "/manage/nothing", undefined, local);
    for (let round = 0; round < 10; round++) {
      await request("GET", "/manage/status", undefined, { ...local, ...wrong });
    }
    const viewer = { ...local, token: VIEWER_TOKEN };
    expect((await request("GET", "/manage/status", undefined, viewer)).status).toBe(429);
    expect((await request("GET", "/health", undefined, local)).status).toBe(200);
  });
});
