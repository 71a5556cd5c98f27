/**
 * `sluice project`: projects, from the shell. A thin client of `/manage/projects`; owns only how
 * they are shown, and keeps the invariant of its API that keys are never printed.
 */

import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  records,
  textOf,
} from "./admin_client.ts";
import { readKeyFromInput } from "./api_key.ts";
import { ALLOW_CHANGE_OPTIONS, ALLOW_HELP, ALLOW_OPTIONS, allowFields } from "./allow_lists.ts";
import { group, parseArguments, type Subcommand, UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { LIMIT_CHANGE_OPTIONS, LIMIT_OPTIONS, limitChanges, LIMITS_HELP } from "./limits.ts";
import { type Column, printEntries, printEntry, printJson } from "./print.ts";
import { ACTIVE_OPTIONS, activeField, deleteOne, pathOf, showOne } from "./resource.ts";

const FIELDS = [
  "id",
  "name",
  "is_active",
  "created_at",
  "updated_at",
  "deactivated_at",
  "models",
  "endpoints",
  "tiers",
  "limits",
  "spend",
  "credentials",
];

const COLUMNS: readonly Column[] = [
  ["ID", "id"],
  ["NAME", "name"],
  ["ACTIVE", "is_active"],
  ["CREDENTIALS", "credentials"],
  ["LIMITS", "limits"],
  ["CREATED", "created_at"],
];

const KEY_OPTIONS = {
  "api-key-stdin": { type: "boolean" },
  provider: { type: "string" },
} as const;

const create: Subcommand = {
  name: "create",
  synopsis:
    "NAME [--api-key-stdin] [--provider NAME]\n" +
    "                        [--model NAME …] [--endpoint PATH …] [--tier NAME …]\n" +
    "                        [--limit NAME=NUMBER …]",
  summary: "make a project; with a provider's key from standard input",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      ...KEY_OPTIONS,
      ...ALLOW_OPTIONS,
      ...LIMIT_OPTIONS,
    } as const;
    const { values, positionals } = parseArguments(args, options, ["NAME"]);
    const limits = limitChanges(values);
    const client = await connect(values, io);
    const body = {
      name: positionals[0],
      ...(await keyFields(values, io)),
      ...allowFields(values),
      ...(limits === null ? {} : { limits }),
    };
    return printProject(io, values.json, await client.send("POST", "projects", body));
  },
};

const list: Subcommand = {
  name: "list",
  synopsis: "",
  summary: "list projects",
  async run(args, io) {
    const { values } = parseArguments(args, NODE_OPTIONS);
    const client = await connect(values, io);
    const projects = await client.list("projects");
    if (values.json === true) return printJson(io, projects);
    return printEntries(io, false, projects.map(withShownKeys), COLUMNS);
  },
};

const update: Subcommand = {
  name: "update",
  synopsis:
    "ID [--name NAME] [--activate | --deactivate] [--revoke-tokens]\n" +
    "                        [--model NAME … | --any-model] [--tier NAME … | --any-tier]\n" +
    "                        [--endpoint PATH … | --any-endpoint]\n" +
    "                        [--limit NAME=NUMBER …] [--no-limit NAME …]\n" +
    "                        [--api-key-stdin] [--provider NAME]",
  summary: "change a project; deactivating it stops its tokens and ends its live sessions",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      ...KEY_OPTIONS,
      ...ALLOW_CHANGE_OPTIONS,
      ...LIMIT_CHANGE_OPTIONS,
      ...ACTIVE_OPTIONS,
      name: { type: "string" },
      "revoke-tokens": { type: "boolean" },
    } as const;
    const { values, positionals } = parseArguments(args, options, ["ID"]);
    const limits = limitChanges(values);
    const body = {
      ...(values.name === undefined ? {} : { name: values.name }),
      ...activeField(values),
      ...(values["revoke-tokens"] === true ? { revoke_tokens: true } : {}),
      ...(await keyFields(values, io)),
      ...allowFields(values),
      ...(limits === null ? {} : { limits }),
    };
    if (Object.keys(body).length === 0) {
      throw new UsageError("Nothing to change: name at least one option, such as --name");
    }
    const client = await connect(values, io);
    const answer = await client.send("PATCH", pathOf("projects", positionals), body);
    return printProject(io, values.json, answer);
  },
};

export const project = group(
  "project",
  "projects: create, list, show, update, delete",
  [
    create,
    list,
    showOne("projects", "show one project, and what it spent", printProject),
    update,
    deleteOne("projects", "delete a project that has no usage", "Deleted project"),
  ],
  `${ALLOW_HELP} What is named takes the former list's place.

${LIMITS_HELP}\n${NODE_OPTIONS_HELP}`,
);

interface KeyValues {
  readonly "api-key-stdin"?: boolean | undefined;
  readonly provider?: string | undefined;
}

async function keyFields(values: KeyValues, io: Io): Promise<object> {
  return {
    ...(values["api-key-stdin"] === true ? { api_key: await readKeyFromInput(io) } : {}),
    ...(values.provider === undefined ? {} : { provider: values.provider }),
  };
}

function printProject(io: Io, json: boolean | undefined, value: unknown): number {
  if (json === true || !isRecord(value)) return printJson(io, value);
  return printEntry(io, false, withShownKeys(value), FIELDS);
}

function withShownKeys(one: Record<string, unknown>): Record<string, unknown> {
  const credentials = records(one["credentials"])
    .map(({ provider, api_key }) => `${textOf(provider)} (${textOf(api_key)})`)
    .join(", ");
  return { ...one, credentials };
}
