/**
 * `sluice token`: tokens, from the shell. A thin client of `/manage/tokens`; owns only how they are
 * shown, and the rule that `mint` prints nothing but the token where a program reads it.
 */

import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  queryOf,
  segment,
  textOf,
} from "./admin_client.ts";
import { group, parseArguments, type Subcommand, UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { printJson, say } from "./print.ts";
import { renderFields, renderTable } from "./table.ts";

const mint: Subcommand = {
  name: "mint",
  synopsis: "[--project ID] [--minutes N] [--label TEXT] [--model NAME …]",
  summary: "make a token (60 minutes of project default); it is shown this once",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      project: { type: "string", default: "default" },
      minutes: { type: "string", default: "60" },
      label: { type: "string" },
      model: { type: "string", multiple: true },
    } as const;
    const { values } = parseArguments(args, options);
    if (!/^\d{1,9}$/.test(values.minutes)) throw new UsageError("--minutes must be a whole number");
    const client = await connect(values, io);
    const answer = await client.send("POST", "tokens", {
      project_id: values.project,
      duration_minutes: Number(values.minutes),
      ...(values.label === undefined ? {} : { label: values.label }),
      ...(values.model === undefined ? {} : { models: values.model }),
    });
    if (values.json === true || !isRecord(answer)) return printJson(io, answer);
    if (!io.isTerminal) return say(io, textOf(answer["token"]));
    const fields = ["id", "expires_at", "token"].map(
      (name) => [name, textOf(answer[name])] as const,
    );
    io.stdout.write(renderFields(fields));
    return 0;
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
    if (values.json === true) return printJson(io, tokens);
    const rows = tokens.map((one) => [
      ...["id", "project_id", "label"].map((name) => textOf(one[name])),
      one["is_active"] === true,
      ...["expires_at", "revoked_at"].map((name) => textOf(one[name])),
    ]);
    const header = ["ID", "PROJECT", "LABEL", "ACTIVE", "EXPIRES", "REVOKED"];
    io.stdout.write(renderTable(header, rows));
    return 0;
  },
};

const show: Subcommand = {
  name: "show",
  synopsis: "ID",
  summary: "show one token, without its secret",
  async run(args, io) {
    const { values, positionals } = parseArguments(args, NODE_OPTIONS, ["ID"]);
    const client = await connect(values, io);
    const answer = await client.send("GET", `tokens/${segment(positionals[0] ?? "")}`);
    return printToken(io, values.json, answer);
  },
};

const update: Subcommand = {
  name: "update",
  synopsis: "ID --label TEXT",
  summary: "change a token's label; an empty one removes it",
  async run(args, io) {
    const options = { ...NODE_OPTIONS, label: { type: "string" } } as const;
    const { values, positionals } = parseArguments(args, options, ["ID"]);
    if (values.label === undefined) throw new UsageError("--label is missing");
    const client = await connect(values, io);
    const body = { label: values.label === "" ? null : values.label };
    const answer = await client.send("PATCH", `tokens/${segment(positionals[0] ?? "")}`, body);
    return printToken(io, values.json, answer);
  },
};

const remove: Subcommand = {
  name: "delete",
  synopsis: "ID",
  summary: "revoke a token at once; its live sessions end",
  async run(args, io) {
    const { values, positionals } = parseArguments(args, NODE_OPTIONS, ["ID"]);
    const client = await connect(values, io);
    await client.send("DELETE", `tokens/${segment(positionals[0] ?? "")}`);
    return values.json === true ? 0 : say(io, `Revoked token ${positionals[0]}`);
  },
};

export const token = group(
  "token",
  "tokens: mint, list, show, update, delete (revoke)",
  [mint, list, show, update, remove],
  `Where standard output is no terminal, mint prints only the token:

  export OPENAI_API_KEY=$(sluice token mint)

${NODE_OPTIONS_HELP}`,
);

function printToken(io: Io, json: boolean | undefined, value: unknown): number {
  if (json === true || !isRecord(value)) return printJson(io, value);
  const names = [
    "id",
    "project_id",
    "label",
    "is_active",
    "created_at",
    "expires_at",
    "revoked_at",
  ];
  const fields = names.map((name) => {
    const field = value[name];
    return [name, typeof field === "boolean" ? field : textOf(field)] as const;
  });
  io.stdout.write(renderFields(fields));
  return 0;
}
