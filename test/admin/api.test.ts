/** The guards of the management API, its methods, and what it says when things go wrong. */

import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../src/errors.ts";
import { ADMIN_TOKEN, setUpAdmin } from "../support/admin.ts";

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
    const response = await handle(raw(method, path, headers));
    expect(response.status).toBe(status);
    const body = await response.json();
    expect(Object.keys(body)).toEqual(["error", "code", "description"]);
    expect(body.code).toBe(code);
  });

  test.each<[string, string, string]>([
    ["PUT", "/manage/projects", "GET, HEAD, POST"],
    ["DELETE", "/manage/tokens", "GET, HEAD, POST"],
    ["POST", "/manage/tokens/tok_1", "GET, HEAD, PATCH, DELETE"],
    ["GET", "/manage/revocations", "POST"],
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
    const response = await handle(request);
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
    expect((await handle(request)).status).toBe(413);
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
    const response = await handle(raw("GET", "/manage/status", { ...AUTHORIZED, host }));
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
    const response = await handle(raw("GET", path, { host: "probe.example" }));
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

  test("says nothing of an error it did not mean, and reports it", async () => {
    const { request, store, errors } = await setUpAdmin();
    store.failWith = new Error(`database at /secret/path with sk-proj-0123456789`);
    const response = await request("GET", "/manage/tokens");
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("secret");
    expect(errors).toEqual([store.failWith]);
  });
});

test("a request without the admin token is reported, one with it is not", async () => {
  const seen: string[] = [];
  const { request, handle } = await setUpAdmin({
    onUnauthorized: ({ url }) => void seen.push(new URL(url).pathname),
  });
  await handle(
    new Request("http://127.0.0.1:9090/manage/projects", { headers: { host: "127.0.0.1" } }),
  );
  await request("GET", "/manage/projects");
  expect(seen).toEqual(["/manage/projects"]);
});
