/**
 * `sluice token`: tokens, from the shell. A thin client of `/manage/tokens`; owns only how they are
 * shown, and the rule that `mint` prints nothing but the token where a program reads it.
 */

import type { LimitChanges } from "../exchange.ts";
import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  queryOf,
  segment,
  textOf,
} from "./admin_client.ts";
import { ALLOW_HELP, ALLOW_OPTIONS, allowFields } from "./allow_lists.ts";
import { group, parseArguments, type Subcommand, UsageError, wholeNumber } from "./command.ts";
import type { Io } from "./io.ts";
import { LIMIT_CHANGE_OPTIONS, LIMIT_OPTIONS, limitChanges, LIMITS_HELP } from "./limits.ts";
import { type Column, printEntries, printEntry, printJson, say } from "./print.ts";
import { ACTIVE_OPTIONS, activeField, pathOf, showOne } from "./resource.ts";

const FIELDS = [
  "id",
  "project_id",
  "label",
  "is_active",
  "created_at",
  "expires_at",
  "revoked_at",
  "last_used_at",
  "request_count",
  "cache_hit_count",
  "max_requests",
  "models",
  "endpoints",
  "tiers",
  "limits",
  "spend",
];

const COLUMNS: readonly Column[] = [
  ["ID", "id"],
  ["PROJECT", "project_id"],
  ["LABEL", "label"],
  ["ACTIVE", "is_active"],
  ["REQUESTS", "request_count"],
  ["LAST USED", "last_used_at"],
  ["EXPIRES", "expires_at"],
  ["REVOKED", "revoked_at"],
];

const mint: Subcommand = {
  name: "mint",
  synopsis:
    "[--project ID] [--minutes N] [--label TEXT]\n" +
    "                    [--model NAME …] [--endpoint PATH …] [--tier NAME …]\n" +
    "                    [--max-requests N] [--limit NAME=NUMBER …]",
  summary: "make a token (60 minutes of project default); it is shown this once",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      ...LIMIT_OPTIONS,
      ...ALLOW_OPTIONS,
      project: { type: "string", default: "default" },
      minutes: { type: "string", default: "60" },
      label: { type: "string" },
      "max-requests": { type: "string" },
    } as const;
    const { values } = parseArguments(args, options);
    const body = {
      project_id: values.project,
      duration_minutes: wholeNumber("minutes", values.minutes),
      ...(values.label === undefined ? {} : { label: values.label }),
      ...allowFields(values),
      ...limitFields(values),
    };
    const client = await connect(values, io);
    const answer = await client.send("POST", "tokens", body);
    if (values.json === true || !isRecord(answer)) return printJson(io, answer);
    if (!io.isTerminal) return say(io, textOf(answer["token"]));
    return printEntry(io, false, answer, ["id", "expires_at", "token"]);
  },
};

const list: Subcommand = {
  name: "list",
  synopsis: "[--project ID]",
  summary: "list tokens, newest first",
  async run(args, io) {
    const options = { ...NODE_OPTIONS, project: { type: "string" } } as const;
    const { values } = parseArguments(args, options);
    const client = await connect(values, io);
    const tokens = await client.list(`tokens${queryOf({ project_id: values.project })}`);
    return printEntries(io, values.json, tokens, COLUMNS);
  },
};

const update: Subcommand = {
  name: "update",
  synopsis:
    "ID [--label TEXT] [--activate | --deactivate] [--max-requests N]\n" +
    "                         [--limit NAME=NUMBER …] [--no-limit NAME …]",
  summary: "change a token's label (empty: none), or narrow what it may do",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      ...LIMIT_CHANGE_OPTIONS,
      ...ACTIVE_OPTIONS,
      label: { type: "string" },
      "max-requests": { type: "string" },
    } as const;
    const { values, positionals } = parseArguments(args, options, ["ID"]);
    const { label } = values;
    const body = {
      ...(label === undefined ? {} : { label: label === "" ? null : label }),
      ...activeField(values),
      ...limitFields(values),
    };
    if (Object.keys(body).length === 0) {
      throw new UsageError("Nothing to change: name at least one option, such as --label");
    }
    const client = await connect(values, io);
    const answer = await client.send("PATCH", pathOf("tokens", positionals), body);
    return printToken(io, values.json, answer);
  },
};

const revoke: Subcommand = {
  name: "revoke",
  aliases: ["delete"],
  synopsis: "ID | --project ID",
  summary: "revoke a token, or all of a project, at once; live sessions end",
  async run(args, io) {
    const options = { ...NODE_OPTIONS, project: { type: "string" } } as const;
    const { values, positionals } = parseArguments(args, options, ["ID?"]);
    const { json, project } = values;
    const [id] = positionals;
    if (id === undefined && project === undefined) throw new UsageError("ID is missing");
    if (id !== undefined && project !== undefined) {
      throw new UsageError("Name one token, or all of a project with --project");
    }
    const client = await connect(values, io);
    if (project === undefined) {
      await client.send("DELETE", pathOf("tokens", positionals));
      return json === true ? 0 : say(io, `Revoked token ${id}`);
    }
    const answer = await client.send("POST", `projects/${segment(project)}/tokens/revoke`);
    if (json === true || !isRecord(answer)) return printJson(io, answer);
    return say(
      io,
      `Revoked every token of project ${project} (${textOf(answer["revoked"])} known)`,
    );
  },
};

export const token = group(
  "token",
  "tokens: mint, list, show, update, revoke",
  [mint, list, showOne("tokens", "show one token, without its secret", printToken), update, revoke],
  `${ALLOW_HELP} Where standard output is no terminal, mint
prints only the token:

  export OPENAI_API_KEY=$(sluice token mint --minutes 60 --model 'gpt-5*')

${LIMITS_HELP}
${NODE_OPTIONS_HELP}`,
);

function printToken(io: Io, json: boolean | undefined, value: unknown): number {
  return printEntry(io, json, value, FIELDS);
}

interface LimitValues {
  readonly limit?: readonly string[] | undefined;
  readonly "no-limit"?: readonly string[] | undefined;
  readonly "max-requests"?: string | undefined;
}

/** `max_requests` stands beside the other limits of a token, as it does in its claims. */
function limitFields(values: LimitValues): { max_requests?: number | null; limits?: LimitChanges } {
  const option = values["max-requests"];
  const maxRequests = option === undefined ? undefined : wholeNumber("max-requests", option);
  const { max_requests: named, ...limits } = limitChanges(values) ?? {};
  if (maxRequests !== undefined && named !== undefined) {
    throw new UsageError("The limit max_requests is named twice");
  }
  const chosen = maxRequests ?? named;
  return {
    ...(chosen === undefined ? {} : { max_requests: chosen }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
}
