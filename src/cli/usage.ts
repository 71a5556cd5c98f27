/**
 * `sluice usage`: what was used, from the shell. A thin client of `/manage/usage/events`; owns only
 * how events are shown. A number that is not known is shown as `-`, never as 0.
 */

import { connect, NODE_OPTIONS, NODE_OPTIONS_HELP, queryOf } from "./admin_client.ts";
import { type Command, parseArguments } from "./command.ts";
import { type Column, printPage } from "./print.ts";

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
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      project: { type: "string" },
      token: { type: "string" },
      session: { type: "string" },
      since: { type: "string" },
      until: { type: "string" },
      limit: { type: "string" },
      cursor: { type: "string" },
    } as const;
    const { values } = parseArguments(args, options);
    const client = await connect(values, io);
    const query = queryOf({
      project_id: values.project,
      token_id: values.token,
      session_id: values.session,
      since: values.since,
      until: values.until,
      limit: values.limit,
      cursor: values.cursor,
    });
    const answer = await client.send("GET", `usage/events${query}`);
    return printPage(io, values.json, answer, "events", COLUMNS);
  },
};
