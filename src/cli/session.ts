/**
 * `sluice session`: exchanges in flight on a node, from the shell. A thin client of
 * `/manage/sessions`; owns only how they are shown, and changes none but the one named to `delete`.
 */

import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  queryOf,
  records,
  segment,
  textOf,
} from "./admin_client.ts";
import { group, parseArguments, type Subcommand } from "./command.ts";
import { printJson, printPage, say } from "./print.ts";

const FIELDS = [
  "id",
  "transport",
  "project_id",
  "token_id",
  "provider",
  "endpoint",
  "turns",
  "started_at",
  "remote_address",
];

const list: Subcommand = {
  name: "list",
  synopsis: "[--project ID] [--token ID] [--limit N] [--cursor C]",
  summary: "list what is running on the node, newest first",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      project: { type: "string" },
      token: { type: "string" },
      limit: { type: "string" },
      cursor: { type: "string" },
    } as const;
    const { values } = parseArguments(args, options);
    const client = await connect(values, io);
    const { project: project_id, token: token_id, limit, cursor } = values;
    const path = `sessions${queryOf({ project_id, token_id, limit, cursor })}`;
    const answer = await client.send("GET", path);
    if (values.json === true || !isRecord(answer)) return printJson(io, answer);
    const rows = records(answer["sessions"]).map((one) =>
      FIELDS.map((name) => (name === "turns" ? Number(one[name]) : textOf(one[name]))),
    );
    const header = FIELDS.map((name) => name.replace(/_(id|at)$/, "").replace("_", " "));
    const titles = header.map((title) => title.toUpperCase());
    return printPage(io, titles, rows, answer["next_cursor"]);
  },
};

const remove: Subcommand = {
  name: "delete",
  synopsis: "ID",
  summary: "end a session at once; its client is told",
  async run(args, io) {
    const { values, positionals } = parseArguments(args, NODE_OPTIONS, ["ID"]);
    const client = await connect(values, io);
    await client.send("DELETE", `sessions/${segment(positionals[0] ?? "")}`);
    return values.json === true ? 0 : say(io, `Ended session ${positionals[0]}`);
  },
};

export const session = group(
  "session",
  "exchanges in flight: list, delete (end)",
  [list, remove],
  NODE_OPTIONS_HELP,
);
