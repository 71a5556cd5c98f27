import { describe, expect, test } from "bun:test";
import { detailsOf, entryFor, entryOf, newCall, refusalEntry } from "../../src/admin/call.ts";

const SECRET = "sk-proj-0123456789abcdefghij";

function callWith(headers: Record<string, string> = {}) {
  return newCall(new Request("http://127.0.0.1/manage", { headers }), "192.0.2.7");
}

describe("newCall()", () => {
  test.each(["req-1", "a.b:c_d", "0".repeat(128)])("keeps the request id %p", (id) => {
    expect(callWith({ "x-request-id": id }).requestId).toBe(id);
  });

  test.each(["", "a b", "0".repeat(129), "é", '"', SECRET])("makes one in place of %p", (id) => {
    const headers: Record<string, string> = id === "" ? {} : { "x-request-id": id };
    expect(callWith(headers).requestId).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("entryOf()", () => {
  test("names the admin, or nobody", () => {
    const call = callWith({ "x-request-id": "req-1" });
    call.action = "project.update";
    call.subject = "project:p";
    const entry = {
      actor: "unknown",
      action: "project.update",
      subject: "project:p",
      outcome: "done",
      request_id: "req-1",
      client_address: "192.0.2.7",
      details: { a: 1 },
    };
    expect(entryOf(call, { a: 1 })).toMatchObject(entry);
    call.admin = { name: "alice", token: "secret", role: "admin" };
    expect(entryOf(call, { a: 1 })).toEqual({ ...entry, actor: "alice", outcome: "done" });
  });

  test("holds no secret in its subject, and no more than 250 characters", () => {
    const call = callWith();
    call.subject = `token:${SECRET}`;
    expect(entryOf(call).subject).toBe("token:[redacted]");
    expect(entryFor(entryOf(call), `token:${SECRET}`).subject).toBe("token:[redacted]");
    expect(entryFor(entryOf(call), "x".repeat(300)).subject).toHaveLength(250);
  });
});

describe("entryFor()", () => {
  test("is about another subject, and another action where one is named", () => {
    const call = callWith();
    call.action = "project.create";
    const by = entryOf(call, { kept: false });
    expect(entryFor(by, "project:p")).toEqual({ ...by, subject: "project:p", details: {} });
    expect(entryFor(by, "credential:c", {}, "credential.put").action).toBe("credential.put");
  });
});

test("detailsOf() says new values, limits one by one, and no secret", () => {
  const values = {
    name: `shop ${SECRET}`,
    label: null,
    is_active: false,
    models: ["gpt-5*", "o3"],
    tiers: undefined,
    limits: { session_turns: 3, requests_per_minute: null },
    long: "x".repeat(600),
  };
  expect(detailsOf(values)).toEqual({
    name: "shop [redacted]",
    label: null,
    is_active: false,
    models: "gpt-5*, o3",
    "limits.session_turns": 3,
    "limits.requests_per_minute": null,
    long: "x".repeat(500),
  });
});

describe("refusalEntry()", () => {
  const request = new Request(`http://127.0.0.1/manage/x/${SECRET}?key=1`, { method: "PUT" });

  test.each([
    [403, "refused"],
    [500, "failed"],
  ] as const)("of status %d is %s", (status, outcome) => {
    const call = callWith();
    call.action = "token.mint";
    expect(refusalEntry(call, request, { status, code: "c" })).toMatchObject({
      outcome,
      details: { status, code: "c" },
    });
  });

  test("says what was asked for where that has no name", () => {
    const call = callWith();
    call.action = "request";
    expect(refusalEntry(call, request, { status: 404, code: "not_found" }).details).toEqual({
      status: 404,
      code: "not_found",
      method: "PUT",
      path: "/manage/x/[redacted]",
    });
  });
});
