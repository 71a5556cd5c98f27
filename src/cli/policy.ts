/**
 * `sluice policy`: the service tier policy, from the shell. A thin client of
 * `/manage/policies/service-tier`; owns how policies are read from files and shown.
 * Invariant: what `show` writes to standard output is what `set` takes.
 */

import { parseStrictly } from "../lib/json_strict.ts";
import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  segment,
  textOf,
} from "./admin_client.ts";
import {
  CommandFailure,
  group,
  parseArguments,
  type Subcommand,
  UsageError,
  wholeNumber,
} from "./command.ts";
import type { Io } from "./io.ts";
import { readNamedFile } from "./named_file.ts";
import { type Column, printEntry, printJson, say } from "./print.ts";
import { listPage } from "./resource.ts";

const PATH = "policies/service-tier";

const VERSION_COLUMNS: readonly Column[] = [
  ["VERSION", "version"],
  ["CREATED", "created_at"],
  ["ACTOR", "actor"],
  ["RESET", "is_reset"],
];

const DECISION_FIELDS = [
  "action",
  "tier",
  "rule",
  "reason",
  "message",
  "on_block",
  "refusal",
  "shadow",
  "policy_version",
];

const CHANGE_OPTIONS = { ...NODE_OPTIONS, "if-version": { type: "string" } } as const;

const show: Subcommand = {
  name: "show",
  synopsis: "[--version N]",
  summary: "print the policy that is in force, or an earlier version, as `set` takes it",
  async run(args, io) {
    const options = { ...NODE_OPTIONS, version: { type: "string" } } as const;
    const { values } = parseArguments(args, options);
    const { version } = values;
    const client = await connect(values, io);
    const path = version === undefined ? PATH : `${PATH}/versions/${segment(version)}`;
    const answer = await client.send("GET", path);
    if (values.json === true || !isRecord(answer)) return printJson(io, answer);
    const about = version === undefined ? aboutPolicy(answer) : aboutVersion(answer);
    io.stderr.write(`${about}\n`);
    return answer["policy"] === null ? 0 : printJson(io, answer["policy"]);
  },
};

const set: Subcommand = {
  name: "set",
  synopsis: "FILE|- [--if-version N]",
  summary: "store a policy (JSON); open sessions are under it with their next frame",
  async run(args, io) {
    const { values, positionals } = parseArguments(args, CHANGE_OPTIONS, ["FILE"]);
    const headers = conditionOf(values);
    const policy = await readPolicy(positionals[0] ?? "", io);
    const client = await connect(values, io);
    return printChange(io, values.json, await client.send("PUT", PATH, policy, headers));
  },
};

const versions: Subcommand = {
  name: "versions",
  synopsis: "[--limit N] [--cursor C]",
  summary: "list every version there was, newest first",
  run: listPage({ path: `${PATH}/versions`, field: "versions", columns: VERSION_COLUMNS }),
};

const restore: Subcommand = {
  name: "restore",
  synopsis: "N [--if-version N]",
  summary: "store an earlier version again, as a new one",
  async run(args, io) {
    const { values, positionals } = parseArguments(args, CHANGE_OPTIONS, ["N"]);
    const headers = conditionOf(values);
    const [text = ""] = positionals;
    if (!/^\d{1,15}$/.test(text)) throw new UsageError("N must be the number of a version");
    const client = await connect(values, io);
    const answer = await client.send("POST", `${PATH}/restore`, { version: Number(text) }, headers);
    return printChange(io, values.json, answer);
  },
};

const reset: Subcommand = {
  name: "reset",
  synopsis: "[--if-version N]",
  summary: "go back to the policy of the configuration, or the default",
  async run(args, io) {
    const { values } = parseArguments(args, CHANGE_OPTIONS);
    const headers = conditionOf(values);
    const client = await connect(values, io);
    const answer = await client.send("DELETE", PATH, undefined, headers);
    return printChange(io, values.json, answer);
  },
};

const explain: Subcommand = {
  name: "explain",
  synopsis:
    "--tier TIER [--model NAME] [--project ID] [--token ID]\n" +
    "                        [--credential-kind api_key|oauth] [--file DRAFT]",
  summary: "say what becomes of a tier, by which rule and why; --file: under a draft",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      tier: { type: "string" },
      model: { type: "string" },
      project: { type: "string" },
      token: { type: "string" },
      "credential-kind": { type: "string" },
      file: { type: "string" },
    } as const;
    const { values } = parseArguments(args, options);
    const { tier, model, project, token, file } = values;
    if (tier === undefined) throw new UsageError("--tier is missing");
    const body = {
      tier,
      model,
      project_id: project,
      token_id: token,
      credential_kind: values["credential-kind"],
      policy: file === undefined ? undefined : await readPolicy(file, io),
    };
    const client = await connect(values, io);
    const answer = await client.send("POST", `${PATH}/evaluate`, body);
    if (values.json === true || !isRecord(answer)) return printJson(io, answer);
    const { decision, ...rest } = answer;
    const fields = { ...(isRecord(decision) ? decision : {}), ...rest };
    return printEntry(io, false, fields, DECISION_FIELDS);
  },
};

export const policy = group(
  "policy",
  "the service tier policy: show, set, versions, restore, reset, explain",
  [show, set, versions, restore, reset, explain],
  `FILE is JSON; - is standard input. To change the policy of a node that others change too:

  sluice policy show > policy.json      # says the version, such as 7
  sluice policy explain --tier fast --model gpt-5.5 --file policy.json
  sluice policy set policy.json --if-version 7

A rule with "shadow": true changes nothing and says in log and metrics what it would have done.

${NODE_OPTIONS_HELP}`,
);

/** Makes a change only where that is the newest version; 0: only where there is none. */
function conditionOf(values: { readonly "if-version"?: string | undefined }): HeadersInit {
  const text = values["if-version"];
  return text === undefined ? {} : { "if-match": `"${wholeNumber("if-version", text)}"` };
}

async function readPolicy(file: string, io: Io): Promise<unknown> {
  const text =
    file === "-" ? await io.stdin.readAll() : await readNamedFile(io, file, "Check the path");
  try {
    return parseStrictly(text);
  } catch (cause) {
    const name = file === "-" ? "Standard input" : file;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const advice = `A policy is JSON, such as {"rules": []}: ${reason}`;
    throw new CommandFailure(`${name} is not JSON`, advice, { cause });
  }
}

function printChange(io: Io, json: boolean | undefined, answer: unknown): number {
  return json === true || !isRecord(answer) ? printJson(io, answer) : say(io, aboutPolicy(answer));
}

const SOURCES: Readonly<Record<string, string>> = {
  stored: "the stored policy",
  configuration: "the policy of the configuration",
  default: "the default policy",
};

function aboutPolicy(answer: Record<string, unknown>): string {
  const version = `version ${textOf(answer["version"])}`;
  const source = SOURCES[textOf(answer["source"])] ?? "a policy";
  const problem = textOf(answer["problem"]);
  if (problem === "") return `In force: ${source} (${version})`;
  return `In force: ${source} of before, because ${version} cannot be read: ${problem}`;
}

function aboutVersion(answer: Record<string, unknown>): string {
  const { version, actor, created_at, is_reset } = answer;
  const what = is_reset === true ? ", which took the stored policy away" : "";
  const problem = textOf(answer["problem"]);
  const trouble = problem === "" ? "" : `; it cannot be read: ${problem}`;
  const about = `Version ${textOf(version)}, by ${textOf(actor)} at ${textOf(created_at)}`;
  return `${about}${what}${trouble}`;
}
