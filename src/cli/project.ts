/**
 * `sluice project`: projects, from the shell. A thin client of `/manage/projects`; owns only how
 * they are shown, and keeps the invariant of its API that keys are never printed.
 */

import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  records,
  segment,
  textOf,
} from "./admin_client.ts";
import { readKeyFromInput } from "./api_key.ts";
import { group, parseArguments, type Subcommand, UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { printJson, say } from "./print.ts";
import { renderFields, renderTable } from "./table.ts";

const create: Subcommand = {
  name: "create",
  synopsis: "NAME [--api-key-stdin] [--provider NAME]",
  summary: "make a project; with a provider's key from standard input",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      "api-key-stdin": { type: "boolean" },
      provider: { type: "string" },
    } as const;
    const { values, positionals } = parseArguments(args, options, ["NAME"]);
    const client = await connect(values, io);
    const body = {
      name: positionals[0],
      ...(values["api-key-stdin"] === true ? { api_key: await readKeyFromInput(io) } : {}),
      ...(values.provider === undefined ? {} : { provider: values.provider }),
    };
    return printProject(io, values.json, await client.send("POST", "projects", body));
  },
};

const list: Subcommand = {
  name: "list",
  synopsis: "",
  summary: "list projects",
  async run(args, io) {
    const { values } = parseArguments(args, NODE_OPTIONS);
    const client = await connect(values, io);
    const projects = await client.list("projects");
    if (values.json === true) return printJson(io, projects);
    const rows = projects.map((one) => [
      textOf(one["id"]),
      textOf(one["name"]),
      one["is_active"] === true,
      providersOf(one),
      textOf(one["created_at"]),
    ]);
    io.stdout.write(renderTable(["ID", "NAME", "ACTIVE", "CREDENTIALS", "CREATED"], rows));
    return 0;
  },
};

const show: Subcommand = {
  name: "show",
  synopsis: "ID",
  summary: "show one project",
  async run(args, io) {
    const { values, positionals } = parseArguments(args, NODE_OPTIONS, ["ID"]);
    const client = await connect(values, io);
    const path = `projects/${segment(positionals[0] ?? "")}`;
    return printProject(io, values.json, await client.send("GET", path));
  },
};

const update: Subcommand = {
  name: "update",
  synopsis:
    "ID [--name NAME] [--activate | --deactivate [--revoke-tokens]]\n" +
    "                        [--api-key-stdin] [--provider NAME]",
  summary: "change a project; deactivating it ends its live sessions",
  async run(args, io) {
    const options = {
      ...NODE_OPTIONS,
      name: { type: "string" },
      activate: { type: "boolean" },
      deactivate: { type: "boolean" },
      "revoke-tokens": { type: "boolean" },
      "api-key-stdin": { type: "boolean" },
      provider: { type: "string" },
    } as const;
    const { values, positionals } = parseArguments(args, options, ["ID"]);
    if (values.activate === true && values.deactivate === true) {
      throw new UsageError("--activate and --deactivate contradict each other");
    }
    const active = values.activate === true ? true : values.deactivate === true ? false : null;
    const client = await connect(values, io);
    const body = {
      ...(values.name === undefined ? {} : { name: values.name }),
      ...(active === null ? {} : { is_active: active }),
      ...(values["revoke-tokens"] === true ? { revoke_tokens: true } : {}),
      ...(values["api-key-stdin"] === true ? { api_key: await readKeyFromInput(io) } : {}),
      ...(values.provider === undefined ? {} : { provider: values.provider }),
    };
    const path = `projects/${segment(positionals[0] ?? "")}`;
    return printProject(io, values.json, await client.send("PATCH", path, body));
  },
};

const remove: Subcommand = {
  name: "delete",
  synopsis: "ID",
  summary: "delete a project that has no usage",
  async run(args, io) {
    const { values, positionals } = parseArguments(args, NODE_OPTIONS, ["ID"]);
    const client = await connect(values, io);
    await client.send("DELETE", `projects/${segment(positionals[0] ?? "")}`);
    return values.json === true ? 0 : say(io, `Deleted project ${positionals[0]}`);
  },
};

export const project = group(
  "project",
  "projects: create, list, show, update, delete",
  [create, list, show, update, remove],
  NODE_OPTIONS_HELP,
);

function printProject(io: Io, json: boolean | undefined, value: unknown): number {
  if (json === true || !isRecord(value)) return printJson(io, value);
  const fields = ["id", "name", "is_active", "created_at", "updated_at", "deactivated_at"];
  const lines = fields.map((name) => {
    const field = value[name];
    return [name, typeof field === "boolean" ? field : textOf(field)] as const;
  });
  io.stdout.write(renderFields([...lines, ["credentials", providersOf(value)]]));
  return 0;
}

function providersOf(value: Record<string, unknown>): string {
  return records(value["credentials"])
    .map((one) => `${textOf(one["provider"])} (${textOf(one["api_key"])})`)
    .join(", ");
}
