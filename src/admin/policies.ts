/**
 * `/manage/policies/service-tier`: the policy in force, its versions, and what it would decide.
 *
 * Owns: these routes. Does not own: the policy's check and decisions (`policy/`), its versions
 * (`store/`).
 * Invariant: what is put was checked in full, and is in force at this node when the answer goes
 * out; a version is never lost.
 */

import { scrub } from "../emit/redact.ts";
import { GatewayError } from "../errors.ts";
import type { SubjectLists } from "../exchange.ts";
import { requireModel, requireTier } from "../policy/access.ts";
import { SERVICE_TIER } from "../policy/current_policy.ts";
import { decideServiceTier, type TierDecision } from "../policy/service_tier.ts";
import {
  parseServiceTierPolicy,
  type ServiceTierPolicy,
  ServiceTierPolicyError,
} from "../policy/service_tier_policy.ts";
import { cutPage, decodeCursor } from "../store/cursor.ts";
import type { AuditEntry, PolicyRow, PolicyVersion } from "../store/store.ts";
import { type AdminContext, entryFor } from "./call.ts";
import type { AdminOptions } from "./context.ts";
import {
  NO_FIELDS,
  operation,
  type Operation,
  type Operations,
  pathParameter,
} from "./operation.ts";
import { parseLimit } from "./page.ts";
import { POLICY_DOCUMENT } from "./policy_schemas.ts";
import { notFound, Problem } from "./problem.ts";
import { pageOf, ref } from "./schemas.ts";
import { rfc3339 } from "./time.ts";

const PATH = "/manage/policies/service-tier";
const SUBJECT = "policy:service-tier";
const LIMIT_DEFAULT = 100;

/** The routes of this file. */
export function policyRoutes(options: AdminOptions): Operations {
  return {
    [PATH]: { GET: showPolicy(options), PUT: putPolicy(options), DELETE: resetPolicy(options) },
    [`${PATH}/versions`]: { GET: listVersions(options) },
    [`${PATH}/versions/{version}`]: { GET: showVersion(options) },
    [`${PATH}/restore`]: { POST: restoreVersion(options) },
    [`${PATH}/evaluate`]: { POST: evaluate(options) },
  };
}

function showPolicy({ tierPolicy }: AdminOptions): Operation {
  return operation(
    {
      summary: "The service tier policy that is in force, and where it is from",
      answer: [200, ref("ServiceTierPolicy")],
      hasETag: true,
    },
    () => answer(tierPolicy.version, tierPolicy, tierPolicy.problem),
  );
}

function putPolicy(options: AdminOptions): Operation {
  return operation(
    {
      summary: "Store a service tier policy; open sessions are under it with their next frame",
      document: POLICY_DOCUMENT,
      answer: [200, ref("ServiceTierPolicy")],
      hasETag: true,
      change: { action: "policy.put", subject: SUBJECT },
    },
    ({ context, document, by }) => {
      if (document === undefined) throw emptyBody();
      return store(options, context, checked(document, ""), by);
    },
  );
}

function resetPolicy(options: AdminOptions): Operation {
  return operation(
    {
      summary: "Go back to the policy of the configuration, or the default; versions stay",
      body: NO_FIELDS,
      answer: [200, ref("ServiceTierPolicy")],
      hasETag: true,
      change: { action: "policy.reset", subject: SUBJECT },
    },
    ({ context, by }) => store(options, context, null, by),
  );
}

function restoreVersion(options: AdminOptions): Operation {
  return operation(
    {
      summary: "Store an earlier version again, as a new one",
      body: { required: { version: "count" }, optional: {} },
      answer: [200, ref("ServiceTierPolicy")],
      hasETag: true,
      change: { action: "policy.restore", subject: SUBJECT },
    },
    async ({ context, body, by }) => {
      const { document } = await existingVersion(options, String(body.version));
      const policy = document === null ? null : checked(parsed(document), "");
      const entry = entryFor(by, SUBJECT, { restored_version: body.version });
      return store(options, context, policy, entry);
    },
  );
}

function listVersions(options: AdminOptions): Operation {
  return operation(
    {
      summary: "Every version there was, newest first",
      query: ["limit", "cursor"],
      answer: [200, pageOf("versions", "PolicyVersion")],
    },
    async ({ query }) => {
      const limit = parseLimit(query.limit, LIMIT_DEFAULT);
      const before = query.cursor === undefined ? null : positionOf(query.cursor);
      const found = await options.store.listPolicyVersions(SERVICE_TIER, limit + 1, before);
      const page = cutPage(found, limit, versionJson, ({ version }) => [version]);
      return Response.json({ versions: page.entries, next_cursor: page.nextCursor });
    },
  );
}

function showVersion(options: AdminOptions): Operation {
  return operation(
    { summary: "One version with its policy", answer: [200, ref("PolicyVersionDocument")] },
    async ({ context }) => {
      const row = await existingVersion(options, pathParameter(context, "version"));
      const { version, created_at, actor, document } = row;
      const about = { version, created_at: rfc3339(created_at), actor };
      return Response.json({ ...about, is_reset: document === null, ...contentOf(document) });
    },
  );
}

function evaluate(options: AdminOptions): Operation {
  const { tierPolicy } = options;
  return operation(
    {
      summary:
        "What becomes of a tier, under the policy in force or one that is sent along, and " +
        "whether the project and token may be used for that",
      body: {
        required: { tier: "text" },
        optional: {
          model: "nullable_text",
          project_id: "text",
          token_id: "text",
          credential_kind: "credential_kind",
          policy: "policy",
        },
      },
      answer: [200, ref("TierEvaluation")],
    },
    async ({ body }) => {
      const isDraft = body.policy !== undefined;
      const policy = isDraft ? checked(body.policy, "policy.") : tierPolicy.policy;
      const decision = decideServiceTier(policy, {
        tier: body.tier,
        model: body.model ?? null,
        credentialKind: body.credential_kind ?? "api_key",
        projectId: body.project_id ?? "",
        tokenId: body.token_id ?? null,
      });
      const policy_version = isDraft ? null : tierPolicy.heldVersion;
      const lists = await listsOf(options, body.project_id, body.token_id);
      const refusal = refusalOf(lists, body.model ?? null, decision);
      return Response.json({ ...decisionJson(decision), policy_version, refusal });
    },
  );
}

/** Adds a version, puts it in force at this node, and answers it. @throws Problem 412 */
async function store(
  options: AdminOptions,
  context: AdminContext,
  policy: ServiceTierPolicy | null,
  by: AuditEntry,
): Promise<Response> {
  const { clock, tierPolicy } = options;
  const expected = await expectedVersion(options, context);
  const document = policy === null ? null : JSON.stringify(policy);
  const nowMs = clock.nowMs();
  const put = await options.store.putPolicy(SERVICE_TIER, document, expected, nowMs, by);
  if (put === "stale") throw stale();
  const { version } = put;
  tierPolicy.take({ version, document });
  return answer(version, policy === null ? tierPolicy.base : { policy, source: "stored" }, null);
}

function answer(
  version: number,
  { source, policy }: AdminOptions["tierPolicy"]["base"],
  problem: string | null,
): Response {
  const headers = { etag: `"${version}"` };
  return Response.json({ version, source, policy, problem }, { headers });
}

/** The version that `If-Match` asks for; null: any. @throws Problem 412 where that is not it */
async function expectedVersion(
  { store }: AdminOptions,
  { req }: AdminContext,
): Promise<number | null> {
  const header = req.header("if-match")?.trim();
  if (header === undefined || header === "*") return null;
  const current = (await store.getPolicy(SERVICE_TIER))?.version ?? 0;
  const tags = header.split(",").map((tag) => tag.trim());
  if (tags.includes(`"${current}"`)) return current;
  throw stale();
}

/** @throws Problem 404 */
async function existingVersion({ store }: AdminOptions, version: string): Promise<PolicyRow> {
  const number = /^\d{1,15}$/.test(version) ? Number(version) : 0;
  const row = await store.getPolicyVersion(SERVICE_TIER, number);
  if (row === null) throw notFound("Version", version, `${PATH}/versions`);
  return row;
}

function contentOf(document: string | null): { policy: object | null; problem: string | null } {
  if (document === null) return { policy: null, problem: null };
  try {
    return { policy: checked(parsed(document), ""), problem: null };
  } catch (error) {
    if (error instanceof Problem) return { policy: null, problem: error.message };
    throw error;
  }
}

/** A stored document as JSON; null for what is none. */
function parsed(document: string): unknown {
  try {
    return JSON.parse(document);
  } catch {
    return null;
  }
}

/** @param prefix of the paths of its problems. @throws Problem 400 with all of them */
function checked(policy: unknown, prefix: string): ServiceTierPolicy {
  try {
    return parseServiceTierPolicy(policy);
  } catch (error) {
    if (!(error instanceof ServiceTierPolicyError)) throw error;
    const problems = error.problems.map(({ path, message }) => ({
      path: scrub(`${prefix}${path}`.replace(/\.$/, "")),
      message: scrub(message),
    }));
    const lines = problems.map(({ path, message }) => `${path} ${message}`.trim());
    const advice = "Correct what is named; rules are counted from 0";
    const text = `The policy cannot be used: ${lines.join("; ")}`;
    throw new Problem("bad_request", text, advice, {}, problems);
  }
}

function decisionJson({ shadow, onBlock, ...decision }: TierDecision): object {
  const { action, tier, rule, reason, message } = decision;
  return { decision: { action, tier, rule, reason, message, on_block: onBlock }, shadow };
}

/** The lists of the project and of the token, as far as they are named and known. */
async function listsOf(
  { directory, store }: AdminOptions,
  projectId: string | undefined,
  tokenId: string | undefined,
): Promise<SubjectLists[]> {
  const project = projectId === undefined ? null : directory.project(projectId);
  const token = tokenId === undefined ? null : await store.getToken(tokenId);
  return [
    ...(token === null ? [] : [{ subject: `token:${token.id}`, lists: token }]),
    ...(project === null ? [] : [{ subject: `project:${project.id}`, lists: project }]),
  ];
}

/** Why a caller with these lists is refused what the policy lets go on; null: it is not. */
function refusalOf(
  lists: readonly SubjectLists[],
  model: string | null,
  { action, tier }: TierDecision,
): string | null {
  if (action === "block") return null;
  try {
    if (model !== null) requireModel(lists, [model]);
    requireTier(lists, tier);
    return null;
  } catch (error) {
    if (error instanceof GatewayError) return error.message;
    throw error;
  }
}

function versionJson(row: PolicyVersion) {
  return { ...row, created_at: rfc3339(row.created_at) };
}

function positionOf(cursor: string): number {
  return decodeCursor(cursor, ([version]) => (typeof version === "number" ? version : null));
}

function emptyBody(): Problem {
  const advice = 'Send the whole policy; {"rules": []} lets every tier pass, DELETE goes back';
  return new Problem("bad_request", "The body is empty", advice);
}

function stale(): Problem {
  const advice = `GET ${PATH}, make the change to what it answers, and send its ETag as If-Match`;
  return new Problem("stale", "The policy is not the version that If-Match names", advice);
}
