/**
 * `sluice revocation`: tokens that are refused, from the shell. A thin client of
 * `/manage/revocations`; owns only how they are shown. Nothing here takes a revocation back.
 */

import { connect, idOf, NODE_OPTIONS, NODE_OPTIONS_HELP } from "./admin_client.ts";
import { group, parseArguments, type Subcommand, UsageError } from "./command.ts";
import { type Column, printJson, say } from "./print.ts";
import { listPage } from "./resource.ts";

const COLUMNS: readonly Column[] = [
  ["TOKEN", "jti"],
  ["PROJECT", "project_id"],
  ["ISSUED BEFORE", "issued_before"],
  ["REVOKED", "revoked_at"],
  ["KEPT UNTIL", "expires_at"],
];

const add: Subcommand = {
  name: "add",
  synopsis: "--jti ID | --project ID [--issued-before TIME]",
  summary: "refuse a token that this store never saw, or a project's tokens until a time (now)",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      jti: { type: "string" },
      project: { type: "string" },
      "issued-before": { type: "string" },
    } as const;
    const { values } = parseArguments(args, options);
    const { jti, project, "issued-before": before, json } = values;
    if ((jti === undefined) === (project === undefined)) {
      throw new UsageError("Name one token with --jti, or a project with --project");
    }
    if (jti !== undefined && before !== undefined) {
      throw new UsageError("--issued-before goes with --project");
    }
    const client = await connect(values, io);
    const answer = await client.send("POST", "revocations", {
      ...(jti === undefined ? { project_id: project } : { jti: idOf(jti) }),
      ...(before === undefined ? {} : { issued_before: before }),
    });
    if (json === true) return answer === null ? 0 : printJson(io, answer);
    if (jti !== undefined) return say(io, `Revoked token ${jti}`);
    const until = before === undefined ? "until now" : `until ${before}`;
    return say(io, `Revoked every token of project ${project} that was issued ${until}`);
  },
};

const list: Subcommand = {
  name: "list",
  synopsis: "[--limit N] [--cursor C]",
  summary: "list what is refused now",
  run: listPage({ path: "revocations", field: "revocations", columns: COLUMNS }),
};

export const revocation = group(
  "revocation",
  "tokens that are refused: add, list",
  [add, list],
  `TIME is RFC 3339 or seconds since the epoch. "sluice token revoke" is for tokens of this store.

${NODE_OPTIONS_HELP}`,
);
