/** What `sluice check --explain` says. */

import { describe, expect, test } from "bun:test";

import { UsageError } from "../../src/cli/command.ts";
import { explain } from "../../src/cli/explain.ts";
import type { ProviderConfig } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { parseGlob } from "../../src/lib/glob.ts";
import { providerConfig } from "../support/provider_config.ts";

const { config } = parseConfig({ text: null, env: {} });

function said(
  asked: string,
  providers: readonly ProviderConfig[],
  model: string | null = null,
): string[] {
  const { text } = explain({ ...config, providers }, asked, model);
  return text.trimEnd().split("\n");
}

function globOf(pattern: string) {
  const glob = parseGlob(pattern);
  if (glob === undefined) throw new Error(`${pattern} is no pattern`);
  return glob;
}

function of(name: string, changes: Partial<ProviderConfig> = {}): ProviderConfig {
  return providerConfig({ name, ...changes });
}

describe("explain()", () => {
  test("names who takes the request, with shares, and who would be next", () => {
    const apiKeys = [
      { key: "sk-secret-1", weight: 3 },
      { key: "sk-secret-2", weight: 1 },
    ];
    const lines = said("POST https://gw.example/v1/responses?x=1", [
      of("two", { weight: 3, apiKeys, priority: 5 }),
      of("one", { priority: 5 }),
      of("low"),
      of("last", { isFallback: true }),
    ]);
    expect(lines).toEqual([
      "POST https://gw.example/v1/responses?x=1 is /v1/responses of openai.",
      "  two, key 1 of 2: takes 56 %",
      "  two, key 2 of 2: takes 19 %",
      "  one: takes 25 %",
      "  low: takes 100 % where those above fail (priority 0)",
      "  last: takes 100 % where those above fail (is_fallback)",
      "The first would be sent to https://api.openai.example/v1/responses?x=1",
    ]);
  });

  test("says whose credential goes there, where it is none of the configuration", () => {
    const sentTo = (changes: Partial<ProviderConfig>) =>
      said("POST /v1/responses", [of("main", changes)])
        .at(-1)
        ?.split("/v1/responses")[1];
    expect([
      sentTo({ apiKeys: [{ key: "sk-secret", weight: 1 }] }),
      sentTo({ authValue: "" }),
      sentTo({}),
      sentTo({ type: "forward" }),
    ]).toEqual([
      "",
      "",
      " with the project's own credential, since none is configured",
      " with the caller's own credential",
    ]);
  });

  test("says of each other provider why not", () => {
    const lines = said(
      "POST https://gw.example/team/v1/responses",
      [
        of("main", { host: "gw.example", pathPrefix: "/team" }),
        of("listed", { host: "gw.example", pathPrefix: "/team", allowedEndpoints: ["/v1/models"] }),
        of("models", { host: "gw.example", pathPrefix: "/team", allowedModels: ["a"] }),
        of("methods", { host: "gw.example", pathPrefix: "/team", allowedMethods: ["GET"] }),
        of("claude", { host: "gw.example", pathPrefix: "/team", type: "anthropic" }),
        of("short", { host: "gw.example" }),
        of("elsewhere", { host: "other.example" }),
        of("beside", { host: "gw.example", pathPrefix: "/b" }),
        of("any"),
      ],
      "m",
    );
    expect(lines.slice(1, -1)).toEqual([
      "  main: takes 100 %",
      "  listed: no, allowed_endpoints does not have the path",
      "  models: no, allowed_models does not have the model",
      "  methods: no, allowed_methods does not have the method",
      "  claude: no, it speaks anthropic",
      "  short: no, the longer prefix /team comes first",
      "  elsewhere: no, it serves host other.example",
      "  beside: no, it serves paths under /b",
      "  any: no, a provider that names the host comes first",
    ]);
  });

  test("says what the refusal would be", () => {
    const only = [of("main", { allowedMethods: ["GET"] })];
    const { text, isTaken } = explain({ ...config, providers: only }, "POST /v1/responses", null);
    expect(isTaken).toBe(false);
    expect(text.split("\n").slice(0, 2)).toEqual([
      "POST /v1/responses is refused: 405 method_not_allowed: The method is not allowed here.",
      "  main: no, allowed_methods does not have the method",
    ]);
    expect(said("GET /v9/none", [of("main")])[0]).toContain("404 endpoint_not_found");
    expect(said("GET /v1/responses", [of("main")])[0]).toContain("426 websocket_required");
    const hosted = said("GET http://b.example/v1/models", [of("main", { host: "a.example" })]);
    expect(hosted.slice(1)).toEqual(["  main: no, it serves host a.example"]);
  });

  test("goes by param_whitelist where the model is known, and names the headers asked for", () => {
    const providers = [
      of("listed", { paramWhitelist: new Map([["model", [globOf("gpt-4o*")]]]) }),
      of("headed", { requiredHeaders: new Map([["x-team", []]]), priority: -1 }),
    ];
    expect(said("POST /v1/responses", providers, "gpt-4o-mini").slice(1, -1)).toEqual([
      "  listed: takes 100 %",
      "  headed: takes 100 % of requests with the headers x-team where those above fail " +
        "(priority -1)",
    ]);
    expect(said("POST /v1/responses", providers, "o3").slice(1, -1)).toEqual([
      "  headed: takes 100 % of requests with the headers x-team",
      "  listed: no, param_whitelist does not have the model",
    ]);
    const [only = ""] = said("POST /v1/responses", providers.slice(0, 1), "o3");
    expect(only).toContain("is refused: 400 param_not_allowed");
  });

  test("takes wss:// for an upgrade", () => {
    expect(said("GET wss://x/v1/responses", [of("main")])[1]).toBe("  main: takes 100 %");
  });

  test.each(["", "POST", "/v1/responses", "post /v1/x", "GET ftp://x/", "GET a b"])(
    "refuses %p, which is no method and URL",
    (asked) => {
      expect(() => explain(config, asked, null)).toThrow(UsageError);
    },
  );
});
