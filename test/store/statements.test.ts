import { describe, expect, test } from "bun:test";

import * as statements from "../../src/store/statements.ts";
import * as audit from "../../src/store/statements_audit.ts";
import * as spend from "../../src/store/statements_spend.ts";
import * as usage from "../../src/store/statements_usage.ts";

const TEXTS = [statements, audit, spend, usage]
  .flatMap((module) => Object.entries(module))
  .flatMap(([name, value]): [string, string][] =>
    typeof value === "string" ? [[name, value]] : [],
  );

/** Numbers of the parameters in the order in which they first appear. */
function firstUses(sql: string): number[] {
  return [...new Set([...sql.matchAll(/\$(\d+)/g)].map((match) => Number(match[1])))];
}

describe("statements", () => {
  test.each(TEXTS)("%s numbers its parameters in order of first use", (_, sql) => {
    const uses = firstUses(sql);
    expect(uses).toEqual(uses.map((_number, index) => index + 1));
  });
});
