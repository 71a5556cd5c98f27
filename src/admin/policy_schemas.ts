/**
 * A service tier policy as JSON Schemas for `openapi.json`: as it is sent, and as it is answered.
 *
 * Owns: these schemas. Does not own: the check (`policy/service_tier_policy.ts`), or the answers of
 * other routes (`schemas.ts`).
 * Invariant: a policy that is answered may be sent back as it is.
 */

import { KNOWN_TIERS } from "../exchange.ts";
import { type JsonSchema, object } from "./json_schema.ts";

const TEXT = { type: "string" };
const TEXT_OR_NULL = { type: ["string", "null"] };
const NAMES = { type: "array", items: TEXT };
const INTEGER = { type: "integer" };
const TIME = { type: "string", format: "date-time" };
const ACTION = { ...TEXT, enum: ["pass", "filter", "block", "force"] };

const RULE = {
  service_tier: { ...TEXT, enum: ["priority", "flex", "all"] },
  action: ACTION,
  force_tier: { ...TEXT_OR_NULL, enum: [...KNOWN_TIERS, null] },
  scope: { ...TEXT, enum: ["all", "oauth", "apikey"] },
  projects: NAMES,
  tokens: NAMES,
  model_whitelist: { ...NAMES, description: "Exact names, or beginnings followed by *." },
  fallback_action: { ...ACTION, description: "For models that are not in the whitelist." },
  error_message: TEXT_OR_NULL,
  fallback_error_message: TEXT_OR_NULL,
  on_block: { ...TEXT, enum: ["close", "fail_turn"] },
  shadow: { type: "boolean", description: "It decides and is counted, and changes nothing." },
};

function policy(rule: JsonSchema, required?: readonly string[]): JsonSchema {
  const unknown_tier = { ...TEXT, enum: ["pass", "filter", "block"] };
  return object({ rules: { type: "array", items: rule }, unknown_tier }, required);
}

/** A policy as it is sent: what is left out has its default. */
export const POLICY_DOCUMENT = policy(object(RULE, ["service_tier", "action"]), ["rules"]);

const COMPLETE_POLICY = policy(object(RULE));
const PROBLEM = { ...TEXT_OR_NULL, description: "Why it cannot be read; null: it can." };
const POLICY_OR_NULL = { ...COMPLETE_POLICY, type: ["object", "null"] };
const WOULD = { rule: INTEGER, action: ACTION, tier: TEXT_OR_NULL };
const VERSION = {
  version: { ...INTEGER, minimum: 1 },
  created_at: TIME,
  actor: TEXT,
  is_reset: { type: "boolean", description: "It took the stored policy away." },
};

/** The answers, by their names in `components`. */
export const POLICY_SCHEMAS = {
  ServiceTierPolicy: object({
    version: { ...INTEGER, minimum: 0, description: "The newest one stored; 0: there is none." },
    source: { ...TEXT, enum: ["stored", "configuration", "default"] },
    policy: { ...COMPLETE_POLICY, description: "What is in force." },
    problem: { ...PROBLEM, description: "Why the newest version is not in force; null: it is." },
  }),
  PolicyVersion: object(VERSION),
  PolicyVersionDocument: object({ ...VERSION, policy: POLICY_OR_NULL, problem: PROBLEM }),
  TierEvaluation: object({
    decision: object({
      action: ACTION,
      tier: { ...TEXT_OR_NULL, description: "What goes upstream; null: none." },
      rule: { type: ["integer", "null"], description: "Its place in the policy, from 0." },
      reason: TEXT,
      message: TEXT_OR_NULL,
      on_block: RULE.on_block,
    }),
    shadow: { type: "array", items: object(WOULD) },
    policy_version: { type: ["integer", "null"], description: "Null: a policy that was sent." },
    refusal: {
      ...TEXT_OR_NULL,
      description:
        "Why a list of the project or token does not allow it; null: none is against it.",
    },
  }),
} as const;
