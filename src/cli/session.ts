/**
 * `sluice session`: exchanges in flight on a node, from the shell. A thin client of
 * `/manage/sessions`; owns only how they are shown, and changes none but the one named to `delete`.
 * What is shown is one node's, and the output says which.
 */

import { NODE_OPTIONS_HELP, textOf } from "./admin_client.ts";
import { group, type Subcommand } from "./command.ts";
import type { Column } from "./print.ts";
import { deleteOne, listPage } from "./resource.ts";

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
  run: listPage({
    path: "sessions",
    field: "sessions",
    columns: COLUMNS,
    filters: { project: "project_id", token: "token_id" },
    about: (answer) => `Sessions of node ${textOf(answer["node_id"])}, and of no other`,
  }),
};

export const session = group(
  "session",
  "exchanges in flight: list, delete (end)",
  [list, deleteOne("sessions", "end a session at once; its client is told", "Ended session")],
  `A node knows its own sessions only: ask each one, with --admin-url.\n\n${NODE_OPTIONS_HELP}`,
);
