/**
 * The service tier policy as it is written: in the configuration, the management API and the store.
 *
 * Owns: its shape, its check, and the policy that holds where none was set.
 * Does not own: what it decides (`service_tier.ts`).
 * Invariant: what is not understood is refused with the place where it stands, never ignored. A
 * policy that was checked, written as JSON and checked again is the same policy.
 */

import { KNOWN_TIERS } from "../exchange.ts";
import { canonicalTier, isKnownTier } from "../provider/tier_name.ts";

const RULE_TIERS = ["priority", "flex", "all"] as const;
const ACTIONS = ["pass", "filter", "block", "force"] as const;
const SCOPES = ["all", "oauth", "apikey"] as const;
const ON_BLOCK = ["close", "fail_turn"] as const;
const UNKNOWN_TIER = ["pass", "filter", "block"] as const;

export type TierAction = (typeof ACTIONS)[number];

/** One rule, under the names it has in JSON and YAML. Null: not set. */
export interface ServiceTierRule {
  readonly service_tier: (typeof RULE_TIERS)[number];
  readonly action: TierAction;
  /** Canonical; set where `action` or `fallback_action` is `force`. */
  readonly force_tier: string | null;
  /** Kinds of upstream credential that it is about. */
  readonly scope: (typeof SCOPES)[number];
  /** Empty, both of them: it is about everybody. */
  readonly projects: readonly string[];
  readonly tokens: readonly string[];
  /** Exact names, or `prefix*`. Empty: `action` is for every model. */
  readonly model_whitelist: readonly string[];
  /** For models outside the whitelist. */
  readonly fallback_action: TierAction;
  readonly error_message: string | null;
  readonly fallback_error_message: string | null;
  readonly on_block: (typeof ON_BLOCK)[number];
  /** It decides, and changes nothing. */
  readonly shadow: boolean;
}

export interface ServiceTierPolicy {
  readonly rules: readonly ServiceTierRule[];
  /** What a tier gets that nobody knows and no rule matches. */
  readonly unknown_tier: (typeof UNKNOWN_TIER)[number];
}

interface PolicyProblem {
  /** Such as `rules[2].action`; "" is the policy as a whole. */
  readonly path: string;
  readonly message: string;
}

/** A policy that cannot be used, with everything that is wrong with it. */
export class ServiceTierPolicyError extends Error {
  override readonly name = "ServiceTierPolicyError";
  readonly problems: readonly PolicyProblem[];

  constructor(problems: readonly PolicyProblem[]) {
    const lines = problems.map(({ path, message }) =>
      path === "" ? message : `${path} ${message}`,
    );
    super(lines.join("; "));
    this.problems = problems;
  }
}

const RULES_MAX = 1_000;
const ITEMS_MAX = 1_000;
const NAME_CHARS_MAX = 256;
const MESSAGE_CHARS_MAX = 1_000;
const PROBLEMS_MAX = 50;
const SHOWN_CHARS_MAX = 40;

/**
 * @param value JSON or YAML from outside; fields that may be left out may be null as well
 * @returns the policy with every default filled in
 * @throws ServiceTierPolicyError with every problem there is, the first 50
 */
export function parseServiceTierPolicy(value: unknown): ServiceTierPolicy {
  const problems: PolicyProblem[] = [];
  const fields = new Fields(value, "", ["rules", "unknown_tier"], problems);
  const rules = fields.list("rules", RULES_MAX, (rule, path) => parseRule(rule, path, problems));
  if (!fields.has("rules")) fields.report("rules", "is required; [] lets every tier pass");
  const policy = { rules, unknown_tier: fields.choice("unknown_tier", UNKNOWN_TIER, "pass") };
  if (problems.length > 0) throw new ServiceTierPolicyError(problems.slice(0, PROBLEMS_MAX));
  return policy;
}

/** What is wrong with a policy; nothing where it can be used. See `parseServiceTierPolicy`. */
export function serviceTierPolicyProblems(value: unknown): readonly PolicyProblem[] {
  try {
    parseServiceTierPolicy(value);
    return [];
  } catch (error) {
    if (error instanceof ServiceTierPolicyError) return error.problems;
    throw error;
  }
}

const RULE_KEYS: readonly (keyof ServiceTierRule)[] = [
  "service_tier",
  "action",
  "force_tier",
  "scope",
  "projects",
  "tokens",
  "model_whitelist",
  "fallback_action",
  "error_message",
  "fallback_error_message",
  "on_block",
  "shadow",
];

function parseRule(value: unknown, path: string, problems: PolicyProblem[]): ServiceTierRule {
  const fields = new Fields(value, path, RULE_KEYS, problems);
  const name = (item: unknown, at: string) => fields.name(item, at);
  const action = fields.choice("action", ACTIONS, null);
  const fallback = fields.choice("fallback_action", ACTIONS, "pass");
  return {
    service_tier: fields.choice("service_tier", RULE_TIERS, null, canonicalTier),
    action,
    force_tier: forceTier(fields, action === "force" || fallback === "force"),
    scope: fields.choice("scope", SCOPES, "all"),
    projects: fields.list("projects", ITEMS_MAX, name),
    tokens: fields.list("tokens", ITEMS_MAX, name),
    model_whitelist: fields.list("model_whitelist", ITEMS_MAX, name),
    fallback_action: fallback,
    error_message: fields.message("error_message"),
    fallback_error_message: fields.message("fallback_error_message"),
    on_block: fields.choice("on_block", ON_BLOCK, "close"),
    shadow: fields.flag("shadow"),
  };
}

function forceTier(fields: Fields, isForced: boolean): string | null {
  const value = fields.get("force_tier");
  if (value === null) {
    if (isForced) fields.report("force_tier", "is required where the action is force");
    return null;
  }
  const tier = typeof value === "string" ? canonicalTier(value) : "";
  if (!isKnownTier(tier)) fields.refuse("force_tier", KNOWN_TIERS, value);
  else if (!isForced) fields.report("force_tier", "is only for the action force");
  return tier;
}

/** The fields of one object, each read by name; what is wrong with them is collected. */
class Fields {
  readonly #values: ReadonlyMap<string, unknown>;
  /** What has no fields is one problem, not one for each of them. */
  readonly #isObject: boolean;
  readonly #path: string;
  readonly #problems: PolicyProblem[];

  constructor(value: unknown, path: string, known: readonly string[], problems: PolicyProblem[]) {
    this.#path = path;
    this.#problems = problems;
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    this.#isObject = isObject;
    this.#values = new Map(isObject ? Object.entries(value) : []);
    if (!isObject) problems.push({ path, message: `must be a JSON object, not ${shown(value)}` });
    for (const key of this.#values.keys()) {
      if (known.includes(key)) continue;
      this.report(cut(key), `is not known. Known: ${known.join(", ")}`);
    }
  }

  report(key: string, message: string): void {
    if (!this.#isObject) return;
    const path = this.#path === "" ? key : `${this.#path}.${key}`;
    this.#problems.push({ path, message });
  }

  refuse(key: string, choices: readonly string[], value: unknown): void {
    this.report(key, `must be ${choices.join(", ")}, not ${shown(value)}`);
  }

  /** Null also for a field that is left out. */
  get(key: string): unknown {
    return this.#values.get(key) ?? null;
  }

  has(key: string): boolean {
    return this.get(key) !== null;
  }

  /** @param fallback for a field that is left out; null: it may not be */
  choice<C extends string>(
    key: string,
    choices: readonly [C, ...C[]],
    fallback: C | null,
    spelling: (text: string) => string = (text) => text,
  ): C {
    const value = this.get(key);
    if (value === null && fallback !== null) return fallback;
    const text = typeof value === "string" ? spelling(value) : null;
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    if (value === null) this.report(key, `is required: ${choices.join(", ")}`);
    else this.refuse(key, choices, value);
    return choices[0];
  }

  list<T>(key: string, itemsMax: number, item: (value: unknown, path: string) => T): T[] {
    const value = this.get(key);
    if (value === null) return [];
    if (!Array.isArray(value)) {
      this.report(key, `must be a list, not ${shown(value)}`);
      return [];
    }
    if (value.length > itemsMax) {
      this.report(key, `has ${value.length} entries, more than ${itemsMax}`);
      return [];
    }
    const path = this.#path === "" ? key : `${this.#path}.${key}`;
    return value.map((one: unknown, index) => item(one, `${path}[${index}]`));
  }

  /** An entry of a list: a name without the white space around it. */
  name(value: unknown, path: string): string {
    const text = typeof value === "string" ? value.trim() : null;
    const message = text === null ? `must be a string, not ${shown(value)}` : lengthProblem(text);
    if (message !== null) this.#problems.push({ path, message });
    return text ?? "";
  }

  /** A text for people; one that says nothing is not set. */
  message(key: string): string | null {
    const value = this.get(key);
    const text = typeof value === "string" ? value.trim() : null;
    if (value !== null && text === null) this.report(key, `must be a string, not ${shown(value)}`);
    if (text !== null && text.length > MESSAGE_CHARS_MAX) {
      this.report(key, `is longer than ${MESSAGE_CHARS_MAX} characters`);
    }
    return text === "" ? null : text;
  }

  flag(key: string): boolean {
    const value = this.get(key);
    if (value !== null && typeof value !== "boolean") {
      this.report(key, `must be true or false, not ${shown(value)}`);
    }
    return value === true;
  }
}

function lengthProblem(name: string): string | null {
  if (name === "") return "cannot be empty";
  return name.length > NAME_CHARS_MAX ? `is longer than ${NAME_CHARS_MAX} characters` : null;
}

function cut(text: string): string {
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text;
}

function shown(value: unknown): string {
  if (typeof value === "object" && value !== null)
    return Array.isArray(value) ? "a list" : "an object";
  return cut(JSON.stringify(value) ?? typeof value);
}

/** In force until a policy is set: the dear tier is taken out, for every model. */
export const DEFAULT_SERVICE_TIER_POLICY: ServiceTierPolicy = parseServiceTierPolicy({
  rules: [{ service_tier: "priority", action: "filter" }],
});
