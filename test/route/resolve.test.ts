/** Which endpoint of which family a request asks for, and who could serve it. */

import { describe, expect, test } from "bun:test";

import type { ProviderConfig } from "../../src/config/config.ts";
import { GatewayError } from "../../src/errors.ts";
import type { ProviderType } from "../../src/exchange.ts";
import { anthropic } from "../../src/provider/anthropic.ts";
import { forward } from "../../src/provider/forward.ts";
import { gemini } from "../../src/provider/gemini.ts";
import { openai } from "../../src/provider/openai.ts";
import {
  dialectOf,
  requireUpgrade,
  resolve,
  type Route,
  type RouteRequest,
} from "../../src/route/resolve.ts";
import { buildTable } from "../../src/route/table.ts";
import { providerConfig } from "../support/provider_config.ts";

const FAMILIES = { openai, anthropic, gemini, forward };

function of(type: ProviderType, changes: Partial<ProviderConfig> = {}): ProviderConfig {
  return providerConfig({ name: type, type, ...changes });
}

const ALL = [of("openai"), of("anthropic"), of("gemini")];

interface Ask extends Partial<Omit<RouteRequest, "headers">> {
  headers?: Record<string, string>;
  defaultProvider?: string;
}

function ask(providers: readonly ProviderConfig[], asked: Ask): Route {
  const { headers, defaultProvider, ...request } = asked;
  return resolve(
    {
      method: "POST",
      host: "gw.example",
      path: "/v1/responses",
      upgrade: false,
      headers: new Headers(headers),
      ...request,
    },
    buildTable(providers, defaultProvider ?? null),
    (type) => FAMILIES[type],
  );
}

function names(providers: readonly ProviderConfig[], asked: Ask): string[] {
  return ask(providers, asked).pool.providers.map(({ name }) => name);
}

function refusal(run: () => unknown): [string, number] {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof GatewayError) return [thrown.code, thrown.status];
    throw thrown;
  }
  throw new Error("Nothing was refused");
}

describe("resolve() chooses the family by path", () => {
  test.each<[string, string, string, Record<string, string>, string, string]>([
    ["chat", "POST", "/v1/chat/completions", {}, "openai", "/v1/chat/completions"],
    ["messages", "POST", "/v1/messages", {}, "anthropic", "/v1/messages"],
    [
      "generateContent",
      "POST",
      "/v1beta/models/g:generateContent",
      {},
      "gemini",
      "/v1beta/models/g:generateContent",
    ],
    [
      "generateContent under v1, which looks like an OpenAI model",
      "POST",
      "/v1/models/g:generateContent",
      {},
      "gemini",
      "/v1/models/g:generateContent",
    ],
    ["models", "GET", "/v1/models", {}, "openai", "/v1/models"],
    [
      "models with anthropic-version",
      "GET",
      "/v1/models",
      { "anthropic-version": "2023-06-01" },
      "anthropic",
      "/v1/models",
    ],
    [
      "models with x-goog-api-key",
      "GET",
      "/v1/models",
      { "x-goog-api-key": "k" },
      "gemini",
      "/v1/models",
    ],
    ["models with a prefix", "GET", "/anthropic/v1/models", {}, "anthropic", "/v1/models"],
    [
      "a prefix against a header",
      "GET",
      "/openai/v1/models",
      { "anthropic-version": "x" },
      "openai",
      "/v1/models",
    ],
    ["HEAD like GET", "HEAD", "/v1/models", {}, "openai", "/v1/models"],
  ])("%s", (_title, method, path, headers, type, rest) => {
    const route = ask(ALL, { method, path, headers });
    expect([route.pool.type, route.path]).toEqual([type, rest]);
  });

  test("resolve() takes the double slash of Google's SDK", () => {
    const live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    const route = ask(ALL, { method: "GET", path: `/${live}`, upgrade: true });
    expect([route.pool.type, route.path]).toEqual(["gemini", live]);
  });

  test("resolve() gives a sole provider everything, also with its prefix", () => {
    const sole = [of("anthropic")];
    expect(names(sole, { method: "GET", path: "/v1/models" })).toEqual(["anthropic"]);
    expect(ask(sole, { path: "/anthropic/v1/messages" }).path).toBe("/v1/messages");
  });

  test("resolve() leaves a shared path to the default provider", () => {
    const asked = { method: "GET", path: "/v1/models", defaultProvider: "anthropic" };
    expect(names(ALL, asked)).toEqual(["anthropic"]);
    expect(names(ALL, { ...asked, method: "POST", path: "/v1/embeddings" })).toEqual(["openai"]);
  });

  test("resolve() gives unknown paths to a forward provider only by name", () => {
    const providers = [...ALL, of("forward")];
    expect(refusal(() => ask(providers, { path: "/x" }))).toEqual(["endpoint_not_found", 404]);
    expect(names(providers, { path: "/x", defaultProvider: "forward" })).toEqual(["forward"]);
  });
});

describe("resolve() refuses", () => {
  test.each<[string, Ask, [string, number]]>([
    ["an unknown path", { path: "/v2/nothing" }, ["endpoint_not_found", 404]],
    ["another family's path", { path: "/anthropic/v1/responses" }, ["endpoint_not_found", 404]],
    ["a doubled slash", { path: "/v1//responses" }, ["endpoint_not_found", 404]],
    [
      "an upgrade elsewhere",
      { method: "GET", path: "/v1/models", upgrade: true },
      ["endpoint_not_found", 404],
    ],
    [
      "an upgrade on /v1/live/sessions",
      { method: "GET", path: "/v1/live/sessions", upgrade: true },
      ["endpoint_not_found", 404],
    ],
    ["another method", { method: "DELETE", path: "/v1/realtime" }, ["method_not_allowed", 405]],
  ])("%s", (_title, asked, expected) => {
    expect(refusal(() => ask(ALL, asked))).toEqual(expected);
  });

  test("resolve() names the methods that are allowed", () => {
    try {
      ask(ALL, { method: "PUT", path: "/v1/realtime" });
      throw new Error("Nothing was refused");
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(GatewayError);
      expect(thrown).toMatchObject({ headers: { allow: "GET" } });
    }
  });

  test("resolve() has no provider for a family that is not configured, or another host", () => {
    const two = [of("openai"), of("anthropic")];
    const path = "/v1beta/models/g:generateContent";
    expect(refusal(() => ask(two, { path }))).toEqual(["no_provider", 404]);
    const hosted = [of("openai", { host: "api.example" })];
    expect(refusal(() => ask(hosted, {}))).toEqual(["no_provider", 404]);
  });
});

describe("resolve() refuses alike, whatever is served where", () => {
  const providers = [
    of("anthropic", { host: "claude.example" }),
    of("openai", { host: "gpt.example" }),
    of("gemini", { host: "team.example", pathPrefix: "/team/a" }),
  ];
  const hosts = ["claude.example", "gpt.example", "team.example", "nobody.example"];
  const asked: [string, string, boolean, string | null][] = [
    ["GET", "/nothing", false, "endpoint_not_found"],
    ["POST", "/v1/modelsX", false, "endpoint_not_found"],
    ["PATCH", "/v1/responses", false, "method_not_allowed"],
    ["GET", "/v1/chat/completions", true, "endpoint_not_found"],
    ["POST", "/team/a/nothing", false, "endpoint_not_found"],
    ["POST", "/v1/responses", false, null],
    ["POST", "/v1/messages", false, null],
    ["POST", "/anthropic/v1/messages", false, null],
    ["GET", "/v1/models", false, null],
    ["POST", "/team/a/v1beta/models/g:generateContent", false, null],
  ];
  // Null: a route, or no_provider, which is 401 to a stranger as well.
  test.each(asked)("%s %s, upgrade %p: %p", (method, path, upgrade, expected) => {
    for (const host of hosts) {
      const told = toldOf(() => ask(providers, { method, path, upgrade, host }));
      expect([host, told === "no_provider" ? null : told]).toEqual([host, expected]);
    }
  });

  function toldOf(run: () => unknown): string | null {
    try {
      run();
      return null;
    } catch (thrown) {
      if (thrown instanceof GatewayError) return thrown.code;
      throw thrown;
    }
  }

  test.each<[string, Record<string, string>, string]>([
    ["/v1/messages", {}, "anthropic"],
    ["/team/a/v1/messages", {}, "anthropic"],
    ["/anthropic/v1/nothing", {}, "anthropic"],
    ["/v1/models/g:generateContent", {}, "gemini"],
    ["/v1/models", { "anthropic-version": "x" }, "anthropic"],
    ["/v1/models", {}, "openai"],
    ["/nothing", {}, "openai"],
  ])("dialectOf() %s with %j is %s", (path, headers, type) => {
    const table = buildTable(providers, "anthropic");
    const request = { path, headers: new Headers(headers) };
    expect(dialectOf(request, table, (one) => FAMILIES[one])).toBe(type as ProviderType);
  });
});

describe("requireUpgrade()", () => {
  test("refuses a plain GET where only a WebSocket is, and lets the upgrade and POST pass", () => {
    const get = ask(ALL, { method: "GET", path: "/v1/responses" });
    const post = ask(ALL, {});
    expect(refusal(() => requireUpgrade(get.endpoint, false))).toEqual(["websocket_required", 426]);
    requireUpgrade(get.endpoint, true);
    requireUpgrade(post.endpoint, false);
  });
});

describe("resolve() matches hosts and prefixes", () => {
  const providers = [
    of("openai", { name: "any" }),
    of("openai", { name: "named", host: "api.example" }),
    of("openai", { name: "prefixed", host: "api.example", pathPrefix: "/team" }),
    of("openai", { name: "deeper", host: "api.example", pathPrefix: "/team/a" }),
    of("openai", { name: "six", host: "::1" }),
  ];
  test.each([
    ["other.example", "/v1/responses", "any", "/v1/responses"],
    ["API.Example:8080", "/v1/responses", "named", "/v1/responses"],
    ["api.example", "/team/v1/responses", "prefixed", "/v1/responses"],
    ["api.example", "/team/a/v1/responses", "deeper", "/v1/responses"],
    ["[::1]:8080", "/v1/responses", "six", "/v1/responses"],
    ["[::1]", "/v1/responses", "six", "/v1/responses"],
  ])("%s %s goes to %s", (host, path, name, rest) => {
    const route = ask(providers, { host, path });
    expect([route.pool.providers.map((one) => one.name), route.path]).toEqual([[name], rest]);
  });

  test("resolve() takes a prefix for whole segments only", () => {
    const path = "/teams/v1/responses";
    expect(refusal(() => ask(providers, { host: "api.example", path }))).toEqual([
      "no_provider",
      404,
    ]);
  });

  test("resolve() makes the path of a bare prefix /", () => {
    const sole = [of("forward", { pathPrefix: "/x" })];
    expect(ask(sole, { path: "/x" }).path).toBe("/");
  });
});
