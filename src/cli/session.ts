/**
 * `sluice session`: exchanges in flight on a node, from the shell. A thin client of
 * `/manage/sessions`; owns only how they are shown, and changes none but the one named to `delete`.
 * What is shown is one node's, and the output says which.
 */

import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  queryOf,
  textOf,
} from "./admin_client.ts";
import { group, parseArguments, type Subcommand } from "./command.ts";
import { type Column, printPage } from "./print.ts";
import { deleteOne } from "./resource.ts";

const COLUMNS: readonly Column[] = [
  ["ID", "id"],
  ["TRANSPORT", "transport"],
  ["PROJECT", "project_id"],
  ["TOKEN", "token_id"],
  ["PROVIDER", "provider"],
  ["ENDPOINT", "endpoint"],
  ["TURNS", "turns"],
  ["STARTED", "started_at"],
  ["REMOTE ADDRESS", "remote_address"],
];

const list: Subcommand = {
  name: "list",
  synopsis: "[--project ID] [--token ID] [--limit N] [--cursor C]",
  summary: "list what is running on one node, newest first",
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
    if (values.json !== true && isRecord(answer)) {
      io.stderr.write(`Sessions of node ${textOf(answer["node_id"])}, and of no other\n`);
    }
    return printPage(io, values.json, answer, "sessions", COLUMNS);
  },
};

export const session = group(
  "session",
  "exchanges in flight: list, delete (end)",
  [list, deleteOne("sessions", "end a session at once; its client is told", "Ended session")],
  `A node knows its own sessions only: ask each one, with --admin-url.\n\n${NODE_OPTIONS_HELP}`,
);
