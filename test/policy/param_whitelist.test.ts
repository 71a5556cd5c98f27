import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { parseGlob } from "../../src/lib/glob.ts";
import {
  type ParamWhitelist,
  requireForm,
  requireParam,
  requireParams,
} from "../../src/policy/param_whitelist.ts";

function whitelist(limits: Record<string, readonly string[]>): ParamWhitelist {
  const globs = (patterns: readonly string[]) => patterns.flatMap((one) => parseGlob(one) ?? []);
  return new Map(Object.entries(limits).map(([name, patterns]) => [name, globs(patterns)]));
}

/** "ok", or the code and the parameter of the refusal. */
function told(run: () => unknown): string {
  try {
    run();
    return "ok";
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown;
    return `${thrown.code} ${thrown.param}`;
  }
}

const LIMITS = whitelist({
  model: ["gpt-4o", "gpt-4.1-*"],
  n: ["1"],
  stream: ["false"],
  maxOutputTokens: ["[1-9]", "[1-9][0-9]"],
  tools: ["*"],
});

describe("requireParams()", () => {
  test.each([
    ['{"model":"gpt-4o"}', "ok"],
    ['{"model":"gpt-4.1-mini","input":"x"}', "ok"],
    ['{"input":"x"}', "ok"],
    ['{"model":null}', "ok"],
    ['{"mod\\u0065l":"gpt-4o"}', "ok"],
    ['{"model":"\\u0067pt-4o"}', "ok"],
    ['{"model":"gpt-4o-mini"}', "param_not_allowed model"],
    ['{"model":"GPT-4o"}', "param_not_allowed model"],
    ['{"model":" gpt-4o"}', "param_not_allowed model"],
    ['{"mod\\u0065l":"o3"}', "param_not_allowed model"],
    ['{"model":["gpt-4o"]}', "param_not_allowed model"],
    ['{"model":{"id":"gpt-4o"}}', "param_not_allowed model"],
    ['{"model":"models/gpt-4o"}', "ok"],
    ['{"model":"o3","model":"gpt-4o"}', "ambiguous_json model"],
    ['{"n":1}', "ok"],
    ['{"n":"1"}', "ok"],
    ['{"n":2}', "param_not_allowed n"],
    ['{"n":1e0}', "param_not_allowed n"],
    ['{"stream":false}', "ok"],
    ['{"stream":true}', "param_not_allowed stream"],
    ['{"tools":[]}', "param_not_allowed tools"],
    ['{"metadata":{"model":"o3"}}', "ok"],
    ['{"input":[{"model":"o3"}]}', "ok"],
    ['{"type":"response.create","response":{"model":"o3"}}', "param_not_allowed response.model"],
    ['{"type":"session.update","session":{"model":"o3"}}', "param_not_allowed session.model"],
    ['{"setup":{"model":"models/gpt-4o"}}', "ok"],
    [
      '{"setup":{"generationConfig":{"maxOutputTokens":100}}}',
      "param_not_allowed setup.generationConfig.maxOutputTokens",
    ],
    [
      '{"generation_config":{"max_output_tokens":100}}',
      "param_not_allowed generation_config.max_output_tokens",
    ],
    ['{"generationConfig":{"maxOutputTokens":99}}', "ok"],
    ['{"response":{},"response":{"n":1}}', "ambiguous_json response"],
  ])("of %p is %p", (text, expected) => {
    expect(told(() => requireParams(LIMITS, text))).toBe(expected);
    expect(told(() => requireParams(LIMITS, new TextEncoder().encode(text)))).toBe(expected);
  });

  test.each(["", "[]", '"x"', "{", '{"model":"o3"', '\ufeff{"model":"o3"}', '{"model":"o3"} {}'])(
    "of %p is false: it is not one JSON object",
    (text) => {
      expect(requireParams(LIMITS, text)).toBe(false);
    },
  );

  test("of bytes that are no UTF-8 is false, of an object true", () => {
    expect(requireParams(LIMITS, Uint8Array.of(0x7b, 0xff, 0x7d))).toBe(false);
    expect(requireParams(LIMITS, "{}")).toBe(true);
  });

  test("takes a limited parameter that is a container itself", () => {
    const limits = whitelist({ session: ["a"], model: ["gpt-4o"] });
    expect(told(() => requireParams(limits, '{"session":"a"}'))).toBe("ok");
    expect(told(() => requireParams(limits, '{"session":"b"}'))).toBe("param_not_allowed session");
  });

  test("looks no deeper than any protocol goes", () => {
    const deep = `${'{"session":'.repeat(5_000)}{"model":"o3"}${"}".repeat(5_000)}`;
    expect(told(() => requireParams(LIMITS, deep))).toBe("ok");
  });

  test("says which values are allowed", () => {
    expect(() => requireParams(LIMITS, '{"model":"o3"}')).toThrow(
      '"model" has a value that is not allowed here. Allowed: gpt-4o, gpt-4.1-*',
    );
    expect(() => requireParams(whitelist({ user: [] }), '{"user":"x"}')).toThrow(
      "Allowed: nothing",
    );
  });

  test("takes no value that is longer than any setting", () => {
    const limits = whitelist({ user: ["*"] });
    const user = (length: number) => JSON.stringify({ user: "x".repeat(length) });
    expect(told(() => requireParams(limits, user(1_000)))).toBe("ok");
    expect(told(() => requireParams(limits, user(1_001)))).toBe("param_not_allowed user");
  });
});

describe("requireForm()", () => {
  const form = (values: Record<string, string>, ...oversized: string[]) =>
    told(() =>
      requireForm(LIMITS, {
        values: new Map(Object.entries(values)),
        oversized: new Set(oversized),
      }),
    );

  test("checks the fields found so far", () => {
    expect(form({})).toBe("ok");
    expect(form({ model: "gpt-4o", n: "1", language: "de" })).toBe("ok");
    expect(form({ model: "whisper-1" })).toBe("param_not_allowed model");
  });

  test("refuses a field that was too long to be kept, where it is limited", () => {
    expect(form({}, "prompt")).toBe("ok");
    expect(form({}, "model")).toBe("param_not_allowed model");
  });
});

test("requireParam() checks the one parameter, where it is limited", () => {
  expect(told(() => requireParam(LIMITS, "model", "gpt-4o"))).toBe("ok");
  expect(told(() => requireParam(LIMITS, "model", "o3"))).toBe("param_not_allowed model");
  expect(told(() => requireParam(LIMITS, "voice", "alloy"))).toBe("ok");
});
