/**
 * Refusals of the management API in the words of the command line: options instead of fields,
 * commands instead of requests.
 *
 * Owns: the translation, for every command in one place. Does not own: what is refused, or why
 * (`admin/`).
 * Invariant: what has no entry here is said as the API says it.
 */

/** A refusal: what is wrong, and what to do about it; "" for nothing to say. */
interface Words {
  readonly message: string;
  readonly advice: string;
}

/** What sets a field of a body or a parameter of a query. */
const SETTERS: Readonly<Record<string, string>> = {
  action: "--action",
  actor: "--actor",
  api_key: "The key",
  credential_kind: "--credential-kind",
  cursor: "--cursor",
  duration_minutes: "--minutes",
  endpoints: "--endpoint",
  head: "--head",
  is_active: "--activate or --deactivate",
  issued_before: "--issued-before",
  jti: "--jti",
  label: "--label",
  limit: "--limit",
  limits: "--limit",
  max_requests: "--max-requests",
  model: "--model",
  models: "--model",
  name: "NAME",
  project_id: "--project",
  provider: "--provider",
  revoke_tokens: "--revoke-tokens",
  session_id: "--session",
  since: "--since",
  subject: "--subject",
  tier: "--tier",
  tiers: "--tier",
  token_id: "--token",
  until: "--until",
  version: "N",
};

/** The commands that show what lists of the API hold, by their paths below `/manage/`. */
const LISTERS: Readonly<Record<string, string>> = {
  projects: "sluice project list",
  "projects/{id}/credentials": "sluice credential list --project ID",
  tokens: "sluice token list",
  sessions: "sluice session list",
  "policies/service-tier/versions": "sluice policy versions",
};

const OTHER_VERSION = "This command and the node are of different versions: use those of one";

type Rule = readonly [pattern: RegExp, replace: (...groups: string[]) => string];

/** The first that fits holds. The groups of a pattern are what its function takes. */
const MESSAGES: readonly Rule[] = [
  [/^No fields to update$/, () => "Nothing to change"],
  [/^No such path$/, () => "The node does not know this call"],
  [
    /^"provider" means nothing without "api_key"$/,
    () => "--provider means nothing without --api-key-stdin",
  ],
  [
    /^The policy is not the version that If-Match names$/,
    () => "The policy is not at the version that --if-version names",
  ],
  [/^"limits\.(\w+)" (.*)$/, (limit, wrong) => `--limit ${limit} ${wrong}`],
  [/^"(\w+)" (.*)$/, (field, wrong) => `${setterOf(field)} ${wrong}`],
];

const ADVICE: readonly Rule[] = [
  [/^GET \/manage\/(\S+) lists what there is$/, (path) => listed(path)],
  [/^GET \/manage\/openapi\.json describes/, () => OTHER_VERSION],
  [
    /^PATCH \/manage\/projects\/(\S+) with \{"is_active": true\} first$/,
    (id) => `Activate it first: sluice project update ${id} --activate`,
  ],
  [
    /^Deactivate it instead: PATCH /,
    () => "Deactivate it instead: sluice project update ID --deactivate",
  ],
  [/^Send "api_key", the key of that provider/, () => "Pipe the provider's key in with it"],
  [
    /^Send the whole key, or leave the field out/,
    () => "Give the whole key, not what a list shows",
  ],
  [
    /^GET \S+, make the change to what it answers, and send its ETag as If-Match$/,
    () => "Make the change to what `sluice policy show` prints, and name the version that it says",
  ],
  [
    /^Wait (\d+) s, then send the admin token/,
    (seconds) =>
      `Wait ${seconds} s, and check SLUICE_ADMIN_TOKEN, --admin-token or the node's admin.json`,
  ],
  [
    /^It is stored, and reaches the other nodes,/,
    () =>
      "It is stored, and reaches the other nodes, as soon as the database answers. Should this " +
      "node stop before, run this again; run other changes that were named with it again as well",
  ],
  [/^Send "(\w+)" in the body$/, (field) => `Name it with ${setterOf(field)}`],
  [/^It is about "(\w+)"$/, (parameter) => `It is about ${setterOf(parameter)}`],
  [/^Send (.*)$/, (what) => `Give ${what}`],
];

/**
 * A refusal as a command says it.
 * @param error the API's `error`
 * @param description the API's `description`
 */
export function inCommandWords(error: string, description: string): Words {
  return { message: apply(MESSAGES, error), advice: adviceOn(error, description) };
}

function adviceOn(error: string, description: string): string {
  // Only the command chooses which fields there are.
  if (/^Unknown (field|parameter) "/.test(error)) return OTHER_VERSION;
  if (error === "No fields to update") return "Name at least one option that changes something";
  // The value is wrong; the API lists its fields all the same.
  if (/^(Known fields|Known parameters): /.test(description)) return "";
  return apply(ADVICE, description);
}

function apply(rules: readonly Rule[], text: string): string {
  for (const [pattern, replace] of rules) {
    const [whole, ...groups] = pattern.exec(text) ?? [];
    if (whole !== undefined) return replace(...groups);
  }
  return text;
}

function setterOf(field: string | undefined): string {
  return SETTERS[field ?? ""] ?? `"${field}"`;
}

function listed(path: string | undefined): string {
  const command = LISTERS[path ?? ""];
  return command === undefined ? "" : `What there is: ${command}`;
}
