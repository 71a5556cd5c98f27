/**
 * The house rules of src/README.md, held by a program: `tidy/rules.ts` has the list with the reason
 * for each, `tidy/samples.ts` shows each of them broken.
 */

import { expect, test } from "bun:test";
import { join } from "node:path";

import { RULES } from "./tidy/rules.ts";
import { SAMPLES } from "./tidy/samples.ts";
import { makeTree, readTree } from "./tidy/tree.ts";

const repository = readTree(join(import.meta.dir, ".."));
const BREACHES_SHOWN_MAX = 40;

test.each(RULES.map((rule) => [rule.name, rule] as const))("tidy: %s", (_, rule) => {
  const breaches = rule.find(repository);
  if (breaches.length === 0) return;
  const shown = breaches.slice(0, BREACHES_SHOWN_MAX).map((breach) => `  ${breach}`);
  const more =
    breaches.length > shown.length ? [`  and ${breaches.length - shown.length} more`] : [];
  throw new Error(
    [`Rule: ${rule.name}`, `Reason: ${rule.reason}`, `Fix: ${rule.fix}`, ...shown, ...more].join(
      "\n",
    ),
  );
});

test.each(SAMPLES.map((sample) => [sample.rule, sample] as const))(
  "tidy finds every breach, and nothing else, of: %s",
  (name, sample) => {
    const rule = RULES.find((one) => one.name === name);
    expect(rule?.find(makeTree(sample.bad))).toHaveLength(sample.breaches);
    expect(rule?.find(makeTree(sample.good))).toEqual([]);
  },
);

test("tidy shows every rule broken by a sample", () => {
  expect(SAMPLES.map(({ rule }) => rule)).toEqual(RULES.map(({ name }) => name));
});
