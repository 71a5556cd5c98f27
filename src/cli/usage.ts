/**
 * `sluice usage`: what was used, from the shell. A thin client of `/manage/usage/events`; owns only
 * how events are shown. A number that is not known is shown as `-`, never as 0.
 */

import { NODE_OPTIONS_HELP } from "./admin_client.ts";
import type { Command } from "./command.ts";
import type { Column } from "./print.ts";
import { listPage } from "./resource.ts";

const COLUMNS: readonly Column[] = [
  ["RECORDED", "recorded_at"],
  ["PROJECT", "project_id"],
  ["PROVIDER", "provider"],
  ["KIND", "kind"],
  ["TRANSPORT", "transport"],
  ["MODEL", "model"],
  ["STATUS", "status"],
  ["IN", "input_tokens"],
  ["CACHED", "cached_input_tokens"],
  ["OUT", "output_tokens"],
  ["FIRST MS", "first_token_ms"],
  ["MS", "duration_ms"],
];

export const usage: Command = {
  name: "usage",
  summary: "what was used, one line a turn, newest first",
  usage: `Usage: sluice usage [--project ID] [--token ID] [--session ID]
                    [--since TIME] [--until TIME] [--limit N] [--cursor C]

  --since, --until TIME  RFC 3339, seconds since the epoch, or an age such as 90s, 1h, 7d
  --limit N              1 to 1000, 100 by default

${NODE_OPTIONS_HELP}`,
  run: listPage({
    path: "usage/events",
    field: "events",
    columns: COLUMNS,
    filters: {
      project: "project_id",
      token: "token_id",
      session: "session_id",
      since: "since",
      until: "until",
    },
  }),
};
