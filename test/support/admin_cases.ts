/**
 * Requests to the management API, each with the answer it gets, as a table. Reveals secrets in
 * answers: every one of them is searched for what must never come back.
 */

import { expect, test } from "bun:test";
import { ADMIN_TOKEN, setUpAdmin } from "./admin.ts";

/** A provider's key, as the tests store it. */
export const SECRET = "sk-proj-0123456789abcdefghij";

const NEVER_SHOWN = [
  SECRET,
  ADMIN_TOKEN,
  "sk-configured-secret",
  "client-static-secret",
  "header-secret",
];

export interface Case {
  readonly what: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly status: number;
  /** Parts of the answer's text. */
  readonly has?: readonly string[];
}

/** One test a case, each on a node of its own. */
export function testAnswers(cases: readonly Case[]): void {
  test.each(cases.map((one) => [one.what, one] as const))("%s", async (_what, one) => {
    const { request } = await setUpAdmin();
    const response = await request(one.method, one.path, one.body);
    const text = await response.text();
    expect([response.status, text]).toEqual([one.status, text]);
    for (const part of one.has ?? []) expect(text).toContain(part);
    for (const secret of NEVER_SHOWN) expect(text).not.toContain(secret);
    if (one.status < 400) return;
    expect(Object.keys(JSON.parse(text))).toEqual(["error", "code", "description"]);
  });
}
