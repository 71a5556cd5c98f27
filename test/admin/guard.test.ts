import { describe, expect, test } from "bun:test";
import { readJson, requireAdminToken, requireKnownHost } from "../../src/admin/guard.ts";

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

describe("requireAdminToken()", () => {
  test("compares nothing but the credential of a well-formed Bearer header", () => {
    const compared: string[] = [];
    const check = (authorization: string) => {
      const request = new Request("http://127.0.0.1", { headers: { authorization } });
      requireAdminToken(request, (token) => compared.push(token) > 0);
    };
    check("Bearer one");
    check("bEARER two");
    for (const bad of ["Bearer", "Bearer a b", "Basic a", "one"]) {
      expect(() => check(bad)).toThrow("Unauthorized");
    }
    expect(compared).toEqual(["one", "two"]);
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
