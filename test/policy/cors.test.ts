import { describe, expect, test } from "bun:test";

import type { CorsConfig } from "../../src/config/config.ts";
import { allowsOrigin, Cors, preflightOf } from "../../src/policy/cors.ts";
import { providerConfig } from "../support/provider_config.ts";

const APP = "https://app.example.com";
const PREVIEWS = "https://*.preview.example.com";

const cors = (changes: Partial<CorsConfig> = {}) =>
  new Cors({
    allowedOrigins: [APP],
    allowedMethods: [],
    allowedHeaders: [],
    allowCredentials: false,
    maxAgeMs: 86_400_000,
    ...changes,
  });

const preflight = (headers: Record<string, string>) =>
  preflightOf(new Request("http://gw.example/v1/models", { method: "OPTIONS", headers }));

const ASKED = {
  origin: APP,
  "access-control-request-method": "POST",
  "access-control-request-headers": "Authorization, content-type",
};

describe("allowsOrigin()", () => {
  test.each([
    [APP, true],
    ["https://pr-15854.preview.example.com", true],
    ["https://a.preview.example.com", true],
    ["null", false],
    ["", false],
    ["http://app.example.com", false],
    ["https://app.example.com.evil.example", false],
    ["https://evilapp.example.com", false],
    ["https://APP.example.com", false],
    ["https://app.example.com:443", false],
    ["https://app.example.com:8443", false],
    ["https://app.example.com/", false],
    ["https://app.example.com, https://evil.example", false],
    ["https://user@app.example.com", false],
    ["https://preview.example.com", false],
    ["https://.preview.example.com", false],
    ["https://a.b.preview.example.com", false],
    ["https://evil.example/.preview.example.com", false],
    ["https://evil.example#.preview.example.com", false],
    ["https://u@a.preview.example.com", false],
    ["https://a:1.preview.example.com", false],
    ["https://-a.preview.example.com", false],
    ["https://\u00e4.preview.example.com", false],
    ["https://a.preview.example.com:8443", false],
    ["http://a.preview.example.com", false],
    ["https://a.preview.example.com.evil.example", false],
  ])("of %p is %p", (origin, expected) => {
    expect(allowsOrigin([APP, PREVIEWS], origin)).toBe(expected);
  });

  test("takes any origin for *, and none for an empty list", () => {
    expect([allowsOrigin(["*"], "null"), allowsOrigin([], APP)]).toEqual([true, false]);
  });
});

describe("preflightOf()", () => {
  test("is what a browser asks, without names that are none", () => {
    const headers = { ...ASKED, "access-control-request-headers": "X-A, authorization ,x y,," };
    expect(preflight(headers)).toEqual({
      origin: APP,
      method: "POST",
      headers: ["x-a", "authorization"],
    });
  });

  test("is null for an OPTIONS request that asks nothing, and for every other method", () => {
    expect(preflight({ origin: APP })).toBeNull();
    expect(preflight({ "access-control-request-method": "POST" })).toBeNull();
    const get = new Request("http://gw.example/", { headers: ASKED });
    expect(preflightOf(get)).toBeNull();
  });
});

describe("Cors", () => {
  const [own, none, inheriting] = [
    providerConfig({ allowedOrigins: ["https://own.example"] }),
    providerConfig({ allowedOrigins: [] }),
    providerConfig(),
  ];

  test("originsOf a provider are its own, where it has some, else those of all", () => {
    expect(cors().originsOf(own)).toEqual(["https://own.example"]);
    expect(cors().originsOf(none)).toEqual([]);
    expect(cors().originsOf(inheriting)).toEqual([APP]);
    expect(cors({ allowedOrigins: [] }).originsOf(inheriting)).toBeNull();
  });

  test("originsOfAny of several are those of each, once", () => {
    expect(cors().originsOfAny([own, none, inheriting, own])).toEqual(["https://own.example", APP]);
    const open = cors({ allowedOrigins: [] });
    expect(open.originsOfAny([inheriting])).toBeNull();
    expect(open.originsOfAny([none, inheriting])).toEqual([]);
  });

  test("answers a preflight with what it asks for", () => {
    const asked = preflight(ASKED);
    if (asked === null) throw new Error("It is no preflight");
    const answer = cors().answer([APP], asked);
    expect(answer.status).toBe(204);
    expect(Object.fromEntries(answer.headers)).toEqual({
      "access-control-allow-origin": APP,
      "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
      "access-control-allow-headers": "authorization, content-type",
      "access-control-max-age": "86400",
      vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    });
  });

  test("answers with what is configured", () => {
    const configured = cors({
      allowedMethods: ["POST"],
      allowedHeaders: ["x-a"],
      allowCredentials: true,
      maxAgeMs: 1_500,
    });
    const { headers } = configured.answer([APP], { origin: APP, method: "GET", headers: ["x-b"] });
    expect(headers.get("access-control-allow-methods")).toBe("POST");
    expect(headers.get("access-control-allow-headers")).toBe("x-a");
    expect(headers.get("access-control-allow-credentials")).toBe("true");
    expect(headers.get("access-control-max-age")).toBe("1");
  });

  test("names no headers where none are asked for", () => {
    const { headers } = cors().answer([APP], { origin: APP, method: "GET", headers: [] });
    expect(headers.has("access-control-allow-headers")).toBe(false);
  });

  const marked = (origin: string | null, rules = cors(), origins: readonly string[] = [APP]) => {
    const headers = new Headers({
      "access-control-allow-origin": "*",
      "access-control-allow-credentials": "true",
      vary: "accept-encoding",
      "x-a": "1",
    });
    rules.mark(headers, origins, origin);
    return Object.fromEntries(headers);
  };

  test("mark() lets the page of an allowed origin read the answer, and every header of it", () => {
    expect(marked(APP)).toEqual({
      "access-control-allow-origin": APP,
      "access-control-expose-headers": "*",
      vary: "accept-encoding, Origin",
      "x-a": "1",
    });
  });

  test.each([["https://evil.example"], [null]])(
    "mark() names %p nowhere, and takes the upstream's own headers out",
    (origin) => {
      expect(marked(origin)).toEqual({ vary: "accept-encoding, Origin", "x-a": "1" });
    },
  );

  test("mark() says * where every origin is allowed", () => {
    expect(marked(APP, cors(), ["*"])["access-control-allow-origin"]).toBe("*");
  });

  test("mark() spells the exposed headers out for a browser that sends cookies", () => {
    const headers = marked(APP, cors({ allowCredentials: true }));
    expect(headers["access-control-expose-headers"]).toBe("vary, x-a");
    expect(headers["access-control-allow-credentials"]).toBe("true");
  });

  test("mark() leaves an answer alone where origins are not limited", () => {
    const headers = new Headers({ "access-control-allow-origin": "*" });
    cors().mark(headers, null, APP);
    expect(Object.fromEntries(headers)).toEqual({ "access-control-allow-origin": "*" });
  });

  test("mark() says once what an answer varies by", () => {
    for (const vary of ["ORIGIN", "accept, origin", "*"]) {
      const headers = new Headers({ vary });
      cors().mark(headers, [APP], APP);
      expect(headers.get("vary")).toBe(vary);
    }
  });
});
