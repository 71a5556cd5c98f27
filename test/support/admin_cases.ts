/**
 * Requests to the management API, each with the answer it gets and the audit rows it writes, as a
 * table. Reveals secrets: every answer and the whole audit are searched for what must never come
 * back; and answers that are not as `openapi.json` describes them.
 */

import { expect, test } from "bun:test";
import type { AuditEntry } from "../../src/store/store.ts";
import { ADMIN_TOKEN, type AdminSetup, setUpAdmin, VIEWER_TOKEN } from "./admin.ts";
import { ApiDocument } from "./openapi.ts";

/** A provider's key, as the tests store it. */
export const SECRET = "sk-proj-0123456789abcdefghij";

/** What no answer and no audit row ever holds. */
export const NEVER_SHOWN = [
  SECRET,
  ADMIN_TOKEN,
  VIEWER_TOKEN,
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
  /** Parts that the answer's text must not have. */
  readonly lacks?: readonly string[];
  /** Audit rows written, oldest first, as `auditLine` writes them; none where absent. */
  readonly audit?: readonly string[];
}

/** One test a case, each on a node of its own. */
export function testAnswers(
  cases: readonly Case[],
  prepare: (setup: AdminSetup) => void = () => {},
): void {
  test.each(cases.map((one) => [one.what, one] as const))("%s", async (_what, one) => {
    const setup = await setUpAdmin();
    prepare(setup);
    const { request, store } = setup;
    const document = new ApiDocument(await (await request("GET", "/manage/openapi.json")).json());
    const response = await request(one.method, one.path, one.body);
    const text = await response.text();
    expect([response.status, text]).toEqual([one.status, text]);
    for (const part of one.has ?? []) expect(text).toContain(part);
    for (const part of [...NEVER_SHOWN, ...(one.lacks ?? [])]) expect(text).not.toContain(part);
    expect(document.complaint(one.method, one.path, one.status, text)).toBeNull();
    expect(store.audit.map(auditLine)).toEqual([...(one.audit ?? [])]);
    for (const secret of NEVER_SHOWN) expect(JSON.stringify(store.audit)).not.toContain(secret);
  });
}

/** `project.create project:prj_* done`; made ids are shown as `*`. */
export function auditLine({ action, subject, outcome }: AuditEntry): string {
  return `${action} ${subject.replace(/(prj|crd|tok)_[0-9a-f]{32}/, "$1_*")} ${outcome}`;
}
