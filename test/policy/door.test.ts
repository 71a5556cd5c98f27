import { describe, expect, test } from "bun:test";

import type { ProviderConfig } from "../../src/config/config.ts";
import { GatewayError } from "../../src/errors.ts";
import { parseGlob } from "../../src/lib/glob.ts";
import { Cors } from "../../src/policy/cors.ts";
import { Doors, requireOrigin } from "../../src/policy/door.ts";
import { providerConfig } from "../support/provider_config.ts";

const APP = "https://app.example.com";

const doors = (headers: Record<string, string>, model: string | null = null) =>
  new Doors(
    new Cors({
      allowedOrigins: [],
      allowedMethods: [],
      allowedHeaders: [],
      allowCredentials: false,
      maxAgeMs: 0,
    }),
    new Headers(headers),
    model,
  );

/** What a request is told that only this provider could serve. */
function verdict(
  provider: Partial<ProviderConfig>,
  headers: Record<string, string>,
  model: string | null = null,
): string {
  const door = doors(headers, model);
  try {
    return door.choose(() => {
      if (door.takes(providerConfig(provider))) return "taken";
      throw new GatewayError("endpoint_not_found");
    });
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown;
    return `${thrown.code}: ${thrown.message}`;
  }
}

describe("Doors", () => {
  test("take a request without an origin, and of the others those that are allowed", () => {
    const provider = { allowedOrigins: [APP] };
    expect(verdict(provider, {})).toBe("taken");
    expect(verdict(provider, { origin: APP })).toBe("taken");
    expect(verdict(provider, { origin: "https://evil.example" })).toStartWith("origin_not_allowed");
    expect(verdict({ allowedOrigins: [] }, { origin: APP })).toStartWith("origin_not_allowed");
    expect(verdict({}, { origin: "https://evil.example" })).toBe("taken");
  });

  test("name the header that is missing, and none of its values", () => {
    const requiredHeaders = new Map([
      ["x-team", []],
      ["x-mode", ["red", "blue"]],
    ]);
    const told = (headers: Record<string, string>) => verdict({ requiredHeaders }, headers);
    expect(told({ "X-Team": "a", "X-Mode": "blue" })).toBe("taken");
    expect(told({ "x-mode": "red" })).toBe("bad_request: The header x-team is missing. Send it");
    expect(told({ "x-team": "", "x-mode": "red" })).toStartWith("bad_request: The header x-team");
    expect(told({ "x-team": "a", "x-mode": "re" })).toBe(
      "bad_request: The header x-mode has a value that is not allowed here",
    );
    expect(told({ "x-team": "a", "x-mode": "Red" })).toStartWith("bad_request");
  });

  test("judge the model that the URL names", () => {
    const glob = parseGlob("gemini-*");
    if (glob === undefined) throw new Error("It is no pattern");
    const provider = { paramWhitelist: new Map([["model", [glob]]]) };
    expect(verdict(provider, {}, "gemini-3-flash")).toBe("taken");
    expect(verdict(provider, {}, "gemma-4")).toStartWith('param_not_allowed: "model" has');
    expect(verdict(provider, {})).toBe("taken");
  });

  test("leave a failure as it is where one of them was open", () => {
    const door = doors({ origin: APP });
    const choose = () =>
      door.choose(() => {
        door.takes(providerConfig({ allowedOrigins: [] }));
        door.takes(providerConfig());
        throw new GatewayError("circuit_open");
      });
    expect(choose).toThrow(expect.objectContaining({ code: "circuit_open" }));
  });

  test("leave a failure as it is where none was asked", () => {
    const fail = () => {
      throw new GatewayError("endpoint_not_found");
    };
    expect(() => doors({}).choose(fail)).toThrow(
      expect.objectContaining({ code: "endpoint_not_found" }),
    );
  });
});

test("requireOrigin() refuses without repeating the origin, and keeps caches apart", () => {
  const refused = () => requireOrigin([APP], "https://evil.example");
  expect(refused).toThrow(
    expect.objectContaining({ code: "origin_not_allowed", headers: { vary: "Origin" } }),
  );
  expect(refused).not.toThrow("evil.example");
  expect(() => requireOrigin([APP], null)).not.toThrow();
});
