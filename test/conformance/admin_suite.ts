/**
 * What the management API promises on every store: one walk through it as a table of requests,
 * each with its status, what its answer has and has not, and the audit rows that it writes. Every
 * answer is held to `openapi.json`, and searched for the secrets that went in.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import type { Store } from "../../src/store/store.ts";
import { type AdminSetup, FakeSession, setUpAdminOver, VIEWER_TOKEN } from "../support/admin.ts";
import { auditLine, NEVER_SHOWN, SECRET } from "../support/admin_cases.ts";
import type { FakeClock } from "../support/fake_clock.ts";
import { ApiDocument } from "../support/openapi.ts";
import { usageEvent } from "../support/usage_event.ts";

export interface OpenedStore {
  readonly store: Store;
  /** The clock of the node, and of the store where that takes one. */
  readonly clock: FakeClock;
  dispose(): Promise<void>;
}

interface Step {
  /** Method and path; `<name>` is what an earlier step kept. */
  readonly send: string;
  readonly body?: object;
  readonly as?: "viewer" | "guest";
  readonly status: number;
  readonly has?: readonly string[];
  readonly lacks?: readonly string[];
  /** Keeps the answer's `id` under this name. */
  readonly keep?: string;
  /** Rows written, oldest first; none where absent. */
  readonly audit?: readonly string[];
}

/** In order: each stands on those before. A second passes between two of them. */
const STEPS: readonly Step[] = [
  {
    send: "POST /manage/projects",
    body: {
      name: "web",
      api_key: SECRET,
      models: ["gpt-5*"],
      tiers: ["flex"],
      limits: { requests_per_minute: 50 },
    },
    status: 201,
    keep: "web",
    has: [
      '"models":["gpt-5*"],"endpoints":null,"tiers":["flex"],"limits":{"requests_per_minute":50}',
      '"api_key":"sk-p****ghij"',
    ],
    audit: ["project.create project:prj_* done", "credential.put credential:crd_* done"],
  },
  {
    send: "POST /manage/projects",
    body: { name: "web" },
    status: 409,
    audit: ["project.create project_name:web refused"],
  },
  {
    send: "POST /manage/projects/<web>/credentials",
    body: { provider: "anthropic", api_key: SECRET, label: "team" },
    status: 201,
    keep: "credential",
    audit: ["credential.put credential:crd_* done"],
  },
  {
    send: "DELETE /manage/projects/<web>/credentials/<credential>",
    status: 204,
    audit: ["credential.delete credential:crd_* done"],
  },
  {
    send: "DELETE /manage/projects/<web>/credentials/<credential>",
    status: 404,
    audit: ["credential.delete credential:crd_* refused"],
  },
  {
    send: "PATCH /manage/projects/<web>",
    body: {
      name: "shop",
      models: null,
      endpoints: ["/v1/responses"],
      limits: { budget_micros_total: 5_000_000, requests_per_minute: null },
    },
    status: 200,
    has: [
      '"name":"shop"',
      '"models":null,"endpoints":["/v1/responses"],"tiers":["flex"]',
      '"limits":{"budget_micros_total":5000000}',
    ],
    audit: ["project.update project:prj_* done"],
  },
  {
    send: "PATCH /manage/projects/<web>",
    body: { name: "other" },
    as: "viewer",
    status: 403,
    audit: ["project.update project:prj_* refused"],
  },
  { send: "GET /manage/projects", as: "viewer", status: 200, has: ['"name":"shop"'] },
  { send: "GET /manage/projects", as: "guest", status: 401, audit: ["login  refused"] },
  {
    send: "POST /manage/tokens",
    body: {
      project_id: "<web>",
      duration_minutes: 60,
      label: "ci",
      max_requests: 10,
      models: ["gpt-5*"],
      tiers: ["flex"],
      limits: { tokens_per_minute: 1000 },
    },
    status: 201,
    keep: "token",
    audit: ["token.mint token:tok_* done"],
  },
  {
    send: "GET /manage/tokens/<token>",
    status: 200,
    has: [
      '"label":"ci","is_active":true',
      '"last_used_at":null,"request_count":0,"cache_hit_count":0,"max_requests":10',
      '"models":["gpt-5*"],"endpoints":null,"tiers":["flex"],"limits":{"tokens_per_minute":1000}',
      '"spend":{"requests":0,"cost_micros":{"today":0,"this_month":0,"total":0}}',
    ],
  },
  {
    send: "PATCH /manage/tokens/<token>",
    body: { label: "cd", max_requests: 5, limits: { session_turns: 3 } },
    status: 200,
    has: ['"label":"cd"', '"max_requests":5', '"tokens_per_minute":1000', '"session_turns":3'],
    audit: ["token.update token:tok_* done", "token.update token:tok_* done"],
  },
  {
    send: "PATCH /manage/tokens/<token>",
    body: { max_requests: null, limits: { tokens_per_minute: 999 } },
    status: 200,
    has: ['"max_requests":10', '"tokens_per_minute":999', '"session_turns":3'],
    audit: ["token.update token:tok_* done"],
  },
  {
    send: "PATCH /manage/tokens/<token>",
    body: { limits: { tokens_per_minute: 1001 } },
    status: 400,
    has: ["wider"],
    audit: ["token.update token:tok_* refused"],
  },
  {
    send: "PATCH /manage/tokens/<token>",
    body: { is_active: false },
    status: 200,
    has: ['"is_active":false'],
    audit: ["token.update token:tok_* done"],
  },
  {
    send: "PATCH /manage/tokens/<token>",
    body: { is_active: true },
    status: 200,
    has: ['"is_active":true'],
    audit: ["token.update token:tok_* done"],
  },
  {
    send: "DELETE /manage/tokens/<token>",
    status: 204,
    audit: ["token.revoke token:tok_* done"],
  },
  {
    send: "DELETE /manage/tokens/<token>",
    status: 204,
    audit: ["token.revoke token:tok_* done"],
  },
  {
    send: "PATCH /manage/tokens/<token>",
    body: { is_active: true },
    status: 409,
    audit: ["token.update token:tok_* refused"],
  },
  {
    send: "POST /manage/tokens",
    body: { project_id: "<web>", duration_minutes: 60 },
    status: 201,
    keep: "second",
    audit: ["token.mint token:tok_* done"],
  },
  {
    send: "GET /manage/tokens?project_id=<web>",
    status: 200,
    has: ['[{"id":"<second>"', '"id":"<token>"'],
  },
  {
    send: "POST /manage/projects/<web>/tokens/revoke",
    status: 200,
    has: ['{"revoked":1}'],
    audit: ["tokens.revoke project:prj_* done"],
  },
  {
    send: "POST /manage/revocations",
    body: { jti: "tok_elsewhere" },
    status: 204,
    audit: ["revocation.add token:tok_elsewhere done"],
  },
  {
    send: "POST /manage/revocations",
    body: { project_id: "prj_elsewhere", issued_before: "1h" },
    status: 204,
    audit: ["revocation.add project:prj_elsewhere done"],
  },
  {
    send: "POST /manage/revocations",
    body: {},
    status: 400,
    audit: ["revocation.add  refused"],
  },
  {
    send: "GET /manage/revocations",
    status: 200,
    has: ['{"revocations":[{"project_id":"prj_elsewhere"', '{"jti":"tok_elsewhere"', '"<token>"'],
  },
  { send: "GET /manage/revocations?limit=1", status: 200, has: ["prj_elsewhere"], lacks: ["jti"] },
  {
    send: "POST /manage/keys/rotate",
    status: 200,
    audit: ["keys.rotate  done"],
  },
  {
    send: "POST /manage/keys/signing/rotate",
    status: 201,
    audit: ["signing_key.rotate  done"],
  },
  { send: "GET /manage/keys/signing", status: 200, has: ['"signs":true', '"signs":false'] },
  {
    send: "DELETE /manage/sessions/ses_live",
    status: 204,
    audit: ["session.end session:ses_live done"],
  },
  {
    send: "DELETE /manage/projects/<web>",
    status: 409,
    has: ["has usage"],
    audit: ["project.delete project:prj_* refused"],
  },
  {
    send: "GET /manage/projects/<web>",
    status: 200,
    has: ['"spend":{"requests":0,"cost_micros":{"today":1500,"this_month":1500,"total":1500}}'],
  },
  {
    send: "GET /manage/usage/events?project_id=<web>",
    status: 200,
    has: ['"settled_micros":1500'],
  },
  {
    send: "PATCH /manage/projects/<web>",
    body: { is_active: false },
    status: 200,
    has: ['"is_active":false', '"deactivated_at":"20'],
    audit: ["project.update project:prj_* done"],
  },
  {
    send: "POST /manage/tokens",
    body: { project_id: "<web>", duration_minutes: 60 },
    status: 403,
    has: ["project_inactive"],
    audit: ["token.mint project:prj_* refused"],
  },
  {
    send: "POST /manage/projects",
    body: { name: "gone" },
    status: 201,
    keep: "gone",
    audit: ["project.create project:prj_* done"],
  },
  {
    send: "DELETE /manage/projects/<gone>",
    status: 204,
    audit: ["project.delete project:prj_* done"],
  },
  {
    send: "DELETE /manage/projects/<gone>",
    status: 404,
    audit: ["project.delete project:prj_* refused"],
  },
  {
    send: "PUT /manage/policies/service-tier",
    body: { rules: [{ service_tier: "flex", action: "block" }] },
    status: 200,
    has: ['{"version":1,"source":"stored"'],
    audit: ["policy.put policy:service-tier done"],
  },
  {
    send: "GET /manage/audit?action=session.end",
    status: 200,
    has: ['"actor":"alice"', '"client_address":"192.0.2.7"', '"token_id":"<second>"'],
  },
  { send: "GET /manage/audit?actor=victor", status: 200, has: ['"code":"forbidden"'] },
  { send: "GET /manage/audit/verify", status: 200, has: ['"broken":null'] },
];

/** Runs the suite; `open` makes a store that is migrated and otherwise empty. */
export function adminSuite(name: string, open: () => Promise<OpenedStore>): void {
  describe(`createAdminHandler() on ${name}:`, () => {
    let opened: OpenedStore;
    let setup: AdminSetup<Store>;
    let document: ApiDocument;
    const kept = new Map<string, string>();
    /** What tokens there were, to be looked for afterwards. */
    const secrets: string[] = [...NEVER_SHOWN];
    const fill = (text: string) =>
      text.replace(/<(\w+)>/g, (_, key: string) => kept.get(key) ?? `no ${key}`);

    beforeAll(async () => {
      opened = await open();
      setup = await setUpAdminOver(opened.store, opened.clock);
      document = new ApiDocument(await (await setup.request("GET", "/manage/openapi.json")).json());
    });
    afterAll(() => opened.dispose());

    test.each(STEPS.map((step, index) => [`${index} ${step.send}`, step] as const))(
      "%s answers and audits as the table says",
      async (_, step) => {
        const { clock, store } = opened;
        clock.advance(1000);
        await prepare(step, setup, kept);
        const [method = "", path = ""] = fill(step.send).split(" ");
        const body = step.body && JSON.parse(fill(JSON.stringify(step.body)));
        const before = await allAudit(store);
        const response = await setup.request(method, path, body, senderOf(step));
        const text = await response.text();
        expect([response.status, text]).toEqual([step.status, text]);
        if (step.keep !== undefined) kept.set(step.keep, JSON.parse(text).id);
        for (const part of step.has ?? []) expect(text).toContain(fill(part));
        for (const part of [...secrets, ...(step.lacks ?? [])]) expect(text).not.toContain(part);
        expect(document.complaint(method, path, step.status, text)).toBeNull();
        const written = (await allAudit(store)).slice(before.length);
        expect(written.map(auditLine)).toEqual([...(step.audit ?? [])]);
        if (path === "/manage/tokens" && response.status === 201) {
          secrets.push(JSON.parse(text).token.split(".")[2]);
        }
      },
    );

    test("nothing that is read gives a secret back", async () => {
      const { store } = opened;
      secrets.push(...(await storedSecrets(store)));
      const reads = document.operations().filter((one) => one.startsWith("GET "));
      const paths = reads.flatMap((one) => pathsOf(one.slice("GET ".length), kept));
      expect(secrets.length).toBeGreaterThan(NEVER_SHOWN.length + 4);
      expect(paths.length).toBeGreaterThan(14);
      for (const path of [...paths, "/metrics", "/health", "/health/ready"]) {
        const response = await setup.request("GET", path);
        const text = (await response.text()) + JSON.stringify([...response.headers]);
        expect([path, response.status]).toEqual([path, 200]);
        for (const secret of secrets) expect(text).not.toContain(secret);
      }
      expect(setup.errors).toEqual([]);
    });

    test("another node over it reads the same", async () => {
      const other = await setUpAdminOver(opened.store, opened.clock);
      for (const path of ["/manage/projects", "/manage/tokens", "/manage/revocations"]) {
        const [here, there] = await Promise.all(
          [setup, other].map(async ({ request }) => (await request("GET", path)).json()),
        );
        expect(there).toEqual(here);
      }
    });
  });
}

/** What happened outside of the API before a step. */
async function prepare(
  { send }: Step,
  { sessions, store, clock }: AdminSetup<Store>,
  kept: ReadonlyMap<string, string>,
): Promise<void> {
  const projectId = kept.get("web") ?? "";
  if (send.startsWith("DELETE /manage/sessions/")) {
    const tokenId = kept.get("second") ?? "";
    sessions.push(new FakeSession("ses_live", projectId, tokenId, clock.nowMs()));
  }
  if (send === "DELETE /manage/projects/<web>") {
    const event = { project_id: projectId, recorded_at: clock.nowMs(), settled_micros: 1500 };
    await store.insertUsage([usageEvent(1, event)]);
  }
}

function senderOf({ as }: Step) {
  if (as === "viewer") return { token: VIEWER_TOKEN };
  return as === "guest" ? { token: "guess" } : {};
}

/** Oldest first. */
async function allAudit(store: Store) {
  const { entries } = await store.listAudit({ limit: 1000 });
  return entries.toReversed();
}

/** Ciphertexts, which are for nobody either. */
async function storedSecrets(store: Store): Promise<string[]> {
  const [credentials, keys] = await Promise.all([store.listCredentials(), store.listSigningKeys()]);
  return [...credentials, ...keys].map(({ ciphertext }) => JSON.stringify(ciphertext).slice(1, -1));
}

/** The paths of an operation for everything there is. */
function pathsOf(template: string, kept: ReadonlyMap<string, string>): string[] {
  if (!template.includes("{")) return [template];
  if (template.endsWith("/{version}")) return [template.replace("{version}", "1")];
  const names = template.startsWith("/manage/projects/") ? ["web"] : ["token", "second"];
  return names.map((name) => template.replace("{id}", kept.get(name) ?? ""));
}
