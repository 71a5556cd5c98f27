import { describe, expect, test } from "bun:test";

import { variableNames } from "../../src/config/environment.ts";
import { record } from "../../src/config/rule.ts";
import { ROOT_KEYS } from "../../src/config/schema.ts";
import { configOf, problemsOf, warningsOf } from "./support.ts";

const KEY = `k1:${"A".repeat(43)}=`;

describe("applyEnvironment()", () => {
  test("lets a variable win over the file", () => {
    const config = configOf("http_port: 1\ntimeouts: {dial: 1s, idle: 2s}\n", {
      SLUICE_HTTP_PORT: "2",
      SLUICE_TIMEOUTS_DIAL: "3s",
      SLUICE_LIMITS_SESSIONS_PER_TOKEN: "4",
      SLUICE_AUTH_KEYS: "static-key",
    });
    expect(config.http?.port).toBe(2);
    expect(config.timeouts).toMatchObject({ dialMs: 3_000, idleMs: 2_000 });
    expect(config.limits.sessionsPerTokenMax).toBe(4);
    expect(config.authKeys).toEqual(["static-key"]);
  });

  test("knows the platforms' variables, and that the SLUICE_ form wins", () => {
    const env = { PORT: "1234", LOG_LEVEL: "WARNING", MANAGEMENT_TOKEN: "admin-1" };
    const config = configOf(null, env);
    expect(config.http).toEqual({ hostname: "0.0.0.0", port: 1_234 });
    expect(config.log.level).toBe("warn");
    expect(config.admin.token).toBe("admin-1");
    expect(configOf(null, { ...env, SLUICE_ADMIN_TOKEN: "admin-2" }).admin.token).toBe("admin-2");
  });

  test("reaches the items of a list that the file has", () => {
    const text = "providers:\n  - type: openai\n    weight: 1\n    api_keys: [{key: a}]\n";
    const env = { SLUICE_PROVIDERS_0_WEIGHT: "5", SLUICE_PROVIDERS_0_API_KEYS_0_KEY: "sk-env" };
    const [provider] = configOf(text, env).providers;
    expect(provider).toMatchObject({ apiKeys: [{ key: "sk-env", weight: 5 }] });
  });

  test("takes a variable's text as it is, without expansion", () => {
    expect(configOf(null, { SLUICE_DATA_DIR: "/a/${B}" }).dataDir).toBe("/a/${B}");
  });

  test("counts an empty variable as not set", () => {
    const env = { SLUICE_HTTP_PORT: "", PORT: "", DATABASE_URL: "", SLUICE_NOPE: "" };
    expect(configOf("http_port: 7", env).http?.port).toBe(7);
    expect(warningsOf(null, env)).toEqual([]);
  });

  test.each([
    [{ SLUICE_HTTP_PORT: "x" }, '- http_port: must be a whole number from 0 to 65535, not "x"'],
    [{ PORT: "tcp://10.0.0.1" }, "- http_port: must be a whole number from 0 to 65535"],
    [{ SLUICE_PROVIDERS_0_TYPE: "openai" }, "- providers: there is no such list in the file"],
    [{ DATABASE_URL: "mysql://u:hunter2@h/d" }, "- database_url: must be a URL beginning with"],
    [
      { DATABASE_URL: "postgres://u:hunter2@h/", SLUICE_ENCRYPTION_KEYS: KEY },
      "- database_url: names no database",
    ],
  ])("refuses %p, naming the variable and no secret", (env, start) => {
    const [problem = ""] = problemsOf(null, env);
    expect(problem).toStartWith(start);
    expect(problem).toEndWith(`(set by the variable ${Object.keys(env)[0]})`);
    expect(problem).not.toContain("hunter2");
  });

  test("refuses an item that the list of the file does not have", () => {
    const text = "providers: [{type: openai}]";
    expect(problemsOf(text, { SLUICE_PROVIDERS_3_TYPE: "gemini" })).toEqual([
      "- providers[3]: there is no such item in the file " +
        "(set by the variable SLUICE_PROVIDERS_3_TYPE)",
    ]);
  });

  test("warns of a SLUICE_ variable that is no key, and not of the command line's", () => {
    const env = { SLUICE_HTPP_PORT: "1", SLUICE_ADMIN_URL: "http://x", SLUICE_ZZZ: "secret" };
    expect(warningsOf(null, env)).toEqual([
      "- : the variable SLUICE_HTPP_PORT names no key and is not used; " +
        "did you mean SLUICE_HTTP_PORT?",
      "- : the variable SLUICE_ZZZ names no key and is not used",
    ]);
  });
});

test("variableNames() gives every scalar key a name of its own", () => {
  const names = variableNames(record(ROOT_KEYS));
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  // The old form of health_check is spelt alike; the variable means the new one.
  expect(twice).toEqual(["SLUICE_HEALTH_CHECK_INTERVAL"]);
  expect(names).toContain("SLUICE_TIMEOUTS_DIAL");
  expect(names).toContain("SLUICE_USAGE_SHIP_INTERVAL");
  expect(names).not.toContain("SLUICE_PROVIDERS");
});
