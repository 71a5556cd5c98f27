/**
 * `sluice credential`: a project's provider keys, from the shell. A thin client of
 * `/manage/projects/{id}/credentials`; owns only how they are shown, which is masked.
 */

import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  segment,
  textOf,
} from "./admin_client.ts";
import { readKey } from "./api_key.ts";
import { group, parseArguments, type Subcommand, UsageError } from "./command.ts";
import { type Column, printJson, printPage, say } from "./print.ts";

const OPTIONS = { ...NODE_OPTIONS, project: { type: "string", default: "default" } } as const;

const COLUMNS: readonly Column[] = [
  ["ID", "id"],
  ["PROVIDER", "provider"],
  ["KEY", "api_key"],
  ["LABEL", "label"],
  ["UPDATED", "updated_at"],
];

const create: Subcommand = {
  name: "create",
  synopsis: "--provider NAME [--project ID] [--label TEXT] [--api-key-stdin]",
  summary: "set a project's key for a provider, in place of the one there is",
  async run(args, io) {
    const options = {
      ...OPTIONS,
      provider: { type: "string" },
      label: { type: "string" },
      "api-key-stdin": { type: "boolean" },
    } as const;
    const { values } = parseArguments(args, options);
    if (values.provider === undefined) throw new UsageError("--provider is missing");
    const client = await connect(values, io);
    const body = {
      provider: values.provider,
      api_key: await readKey(io, values["api-key-stdin"] === true),
      ...(values.label === undefined ? {} : { label: values.label }),
    };
    const answer = await client.send("POST", pathOf(values.project), body);
    if (values.json === true || !isRecord(answer)) return printJson(io, answer);
    const key = `${textOf(answer["provider"])} key ${textOf(answer["api_key"])}`;
    return say(io, `Stored ${key} of project ${values.project} as ${textOf(answer["id"])}`);
  },
};

const list: Subcommand = {
  name: "list",
  synopsis: "[--project ID]",
  summary: "list a project's keys, masked",
  async run(args, io) {
    const { values } = parseArguments(args, OPTIONS);
    const client = await connect(values, io);
    const answer = await client.send("GET", pathOf(values.project));
    return printPage(io, values.json, answer, "credentials", COLUMNS);
  },
};

const remove: Subcommand = {
  name: "delete",
  synopsis: "ID [--project ID]",
  summary: "delete a project's key; the provider's own serves from then on",
  async run(args, io) {
    const { values, positionals } = parseArguments(args, OPTIONS, ["ID"]);
    const client = await connect(values, io);
    await client.send("DELETE", `${pathOf(values.project)}/${segment(positionals[0] ?? "")}`);
    return values.json === true ? 0 : say(io, `Deleted credential ${positionals[0]}`);
  },
};

export const credential = group(
  "credential",
  "provider keys of a project: create, list, delete",
  [create, list, remove],
  `The project is "default" unless --project names another. Without --api-key-stdin the
key is taken from SLUICE_API_KEY, or asked for.

${NODE_OPTIONS_HELP}`,
);

function pathOf(project: string): string {
  return `projects/${segment(project)}/credentials`;
}
