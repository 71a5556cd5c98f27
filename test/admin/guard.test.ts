import { describe, expect, test } from "bun:test";
import { readJson, readLogin, requireAdmin, requireKnownHost } from "../../src/admin/guard.ts";

function to(host: string): Request {
  return new Request("http://127.0.0.1/manage", { headers: { host } });
}

describe("requireKnownHost()", () => {
  test.each([
    "127.0.0.1",
    "127.0.0.1:",
    "[::1]",
    "[2001:db8::7]:80",
    "localhost:9090",
    "admin.test",
  ])("lets %p pass", (host) => {
    expect(() => requireKnownHost(to(host), ["admin.test"])).not.toThrow();
  });

  test.each([
    "evil.example",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.999",
    "0x7f.0.0.1",
    "[evil]",
    "xadmin.test",
    "admin.test.evil.example",
    "localhost.evil.example:80",
  ])("refuses %p", (host) => {
    expect(() => requireKnownHost(to(host), ["admin.test"])).toThrow("Host header");
  });
});

describe("readLogin() and requireAdmin()", () => {
  const admins = [
    { name: "one", token: "token-1", role: "admin" },
    { name: "two", token: "token-2", role: "viewer" },
  ] as const;
  const loginOf = (authorization: string) =>
    readLogin(new Request("http://127.0.0.1", { headers: { authorization } }), admins);
  const holderOf = (authorization: string) => requireAdmin(loginOf(authorization)).name;

  test("tells whose token it is", () => {
    expect([holderOf("Bearer token-1"), holderOf("bEARER token-2")]).toEqual(["one", "two"]);
  });

  test.each([
    "Bearer",
    "Bearer ",
    "Bearer token-1 x",
    "Bearer token-",
    "Bearer token-11",
    "Basic token-1",
    "token-1",
    "",
  ])("refuses %p", (authorization) => {
    expect(() => holderOf(authorization)).toThrow("Unauthorized");
  });

  test("tell a wrong token from none", () => {
    const isAttempt = (authorization: string) => loginOf(authorization).isAttempt;
    expect(["Bearer x", "Bearer token-1"].map(isAttempt)).toEqual([true, true]);
    expect(["", "Bearer ", "Basic token-1"].map(isAttempt)).toEqual([false, false, false]);
  });

  test("looks at every token, also behind the one that matches", () => {
    const looked: string[] = [];
    const watched = admins.map(({ name, role, token }) => ({
      name,
      role,
      get token() {
        looked.push(name);
        return token;
      },
    }));
    const headers = { authorization: "Bearer token-1" };
    readLogin(new Request("http://127.0.0.1", { headers }), watched);
    expect(looked).toEqual(["one", "two"]);
    expect(readLogin(new Request("http://127.0.0.1"), watched).admin).toBeNull();
    expect(looked).toEqual(["one", "two", "one", "two"]);
  });
});

describe("readJson()", () => {
  const post = (body: string, headers: Record<string, string> = {}) =>
    new Request("http://127.0.0.1", { method: "POST", body, headers });

  test.each(["application/json", "Application/JSON; charset=utf-8", " application/json ;x"])(
    "takes %p",
    async (type) => {
      expect(await readJson(post('{"a":"ä"}', { "content-type": type }))).toEqual({ a: "ä" });
    },
  );

  test("refuses a key that stands twice, of which the last would count", async () => {
    const twice = post('{"rules":[{"a":1}],"rules":[]}', { "content-type": "application/json" });
    await expect(readJson(twice)).rejects.toThrow("names a field twice");
  });

  test("is undefined without a body, declared or not", async () => {
    expect(await readJson(new Request("http://127.0.0.1", { method: "POST" }))).toBeUndefined();
    expect(await readJson(post("", { "content-type": "application/json" }))).toBeUndefined();
  });

  test.each([
    "text/plain",
    "application/jsonl",
    "multipart/form-data",
    "application/x-www-form-urlencoded",
  ])("refuses %p, which a page can send across origins, before it reads the body", async (type) => {
    const request = post("{}", { "content-type": type });
    await expect(readJson(request)).rejects.toThrow("not declared as JSON");
    expect(request.bodyUsed).toBe(false);
  });
});
