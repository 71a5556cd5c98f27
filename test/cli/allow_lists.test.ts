import { describe, expect, test } from "bun:test";
import { allowFields } from "../../src/cli/allow_lists.ts";
import { UsageError } from "../../src/cli/command.ts";

describe("allowFields()", () => {
  test("is empty without options", () => {
    expect(allowFields({})).toEqual({});
  });

  test("has what is named, and null for what is taken away", () => {
    expect(allowFields({ model: ["gpt-5*", "o3"], "any-tier": true })).toEqual({
      models: ["gpt-5*", "o3"],
      tiers: null,
    });
    expect(allowFields({ endpoint: ["/v1/*"], "any-model": false })).toEqual({
      endpoints: ["/v1/*"],
    });
  });

  test.each(["model", "endpoint", "tier"])("refuses --%s beside its --any", (kind) => {
    const read = () => allowFields({ [kind]: ["a"], [`any-${kind}`]: true });
    expect(read).toThrow(UsageError);
    expect(read).toThrow(`--${kind} and --any-${kind} exclude each other`);
  });
});
