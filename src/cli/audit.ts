/**
 * `sluice audit`: who changed what, from the shell. A thin client of `/manage/audit`; owns only how
 * entries are shown. `verify` is done, with exit code 0, only when the chain is whole.
 */

import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  queryOf,
  textOf,
} from "./admin_client.ts";
import { CommandFailure, group, parseArguments, type Subcommand } from "./command.ts";
import { type Column, printJson, say } from "./print.ts";
import { listPage } from "./resource.ts";

const COLUMNS: readonly Column[] = [
  ["ENTRY", "sequence"],
  ["RECORDED", "recorded_at"],
  ["ACTOR", "actor"],
  ["ACTION", "action"],
  ["SUBJECT", "subject"],
  ["OUTCOME", "outcome"],
  ["DETAILS", "details"],
  ["CLIENT", "client_address"],
  ["REQUEST", "request_id"],
];

const list: Subcommand = {
  name: "list",
  synopsis:
    "[--actor NAME] [--action NAME] [--subject NAME]\n" +
    "                    [--since TIME] [--until TIME] [--limit N] [--cursor C]",
  summary: "list changes and refusals, newest first",
  run: listPage({
    path: "audit",
    field: "entries",
    columns: COLUMNS,
    filters: {
      actor: "actor",
      action: "action",
      subject: "subject",
      since: "since",
      until: "until",
    },
  }),
};

const verify: Subcommand = {
  name: "verify",
  synopsis: "[--head HASH]",
  summary: "see whether any entry was changed or removed; exit code 1 if so",
  async run(args, io) {
    const options = { ...NODE_OPTIONS, head: { type: "string" } } as const;
    const { values } = parseArguments(args, options);
    const client = await connect(values, io);
    const answer = await client.send("GET", `audit/verify${queryOf({ head: values.head })}`);
    if (!isRecord(answer)) return printJson(io, answer);
    const { entries, head, broken } = answer;
    if (values.json === true) {
      printJson(io, answer);
      return broken === null ? 0 : 1;
    }
    if (broken === null) {
      const end = textOf(head) === "" ? "" : `\nHash of the last one: ${textOf(head)}`;
      return say(io, `The audit is whole: ${textOf(entries)} entries${end}`);
    }
    const { sequence, reason } = isRecord(broken) ? broken : {};
    const place = typeof sequence === "number" ? ` at entry ${sequence}` : "";
    throw new CommandFailure(
      `The audit is broken${place}: ${textOf(reason)}`,
      "Somebody changed the database past sluice. Compare it with a backup from before",
    );
  },
};

export const audit = group(
  "audit",
  "who changed what: list, verify",
  [list, verify],
  `TIME is RFC 3339, seconds since the epoch, or an age such as 90s, 1h, 7d. A subject is such as
project:ID or token:ID. Note the hash that verify prints elsewhere: given back as --head HASH, it
shows an audit that was rewritten since.

${NODE_OPTIONS_HELP}`,
);
