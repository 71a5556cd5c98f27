/**
 * `/manage/projects`: projects as a whole.
 *
 * Owns: these routes and the JSON of a project. Does not own: the rows, or what ends when a project
 * is deactivated (`auth/`).
 * Invariant: a project's name is its own; what takes rights from its tokens is in force first.
 */

import { DEFAULT_PROJECT_ID } from "../auth/static_key.ts";
import type { AuditEntry, ProjectRow } from "../store/store.ts";
import { detailsOf, entryFor } from "./call.ts";
import {
  type AdminOptions,
  arrayResponse,
  existingProject,
  newId,
  projectOf,
  providerName,
} from "./context.ts";
import { credentialJson, putCredential, sealedCredential, wholeKey } from "./credentials.ts";
import type { Fields, Shape } from "./fields.ts";
import { operation, type Operations, pathParameter } from "./operation.ts";
import { pageOf, parseLimit } from "./page.ts";
import { notFound, Problem } from "./problem.ts";
import { revokeProject } from "./revocations.ts";
import { RESTRICTION_FIELDS, restrictionDetails, restrictionsOf } from "./restrictions.ts";
import { arrayOf, ref } from "./schemas.ts";
import { spendOf } from "./spend.ts";
import { requireWritten, takeAway } from "./take_away.ts";
import { rfc3339, rfc3339OrNull } from "./time.ts";

const PROJECTS_PATH = "/manage/projects";
const PROJECTS_LIMIT = 1000;

const CREATE = {
  required: { name: "text" },
  optional: { api_key: "secret", provider: "text", ...RESTRICTION_FIELDS },
} as const satisfies Shape;

const UPDATE = {
  required: {},
  optional: {
    name: "text",
    api_key: "secret",
    provider: "text",
    is_active: "boolean",
    revoke_tokens: "boolean",
    ...RESTRICTION_FIELDS,
  },
} as const satisfies Shape;

/** The routes of this file. */
export function projectRoutes(options: AdminOptions): Operations {
  return {
    [PROJECTS_PATH]: { GET: listProjects(options), POST: createProject(options) },
    [`${PROJECTS_PATH}/{id}`]: {
      GET: operation(
        { summary: "A project and what it used", answer: [200, ref("ProjectWithSpend")] },
        async ({ context }) => {
          const row = await existingProject(options, context);
          const nowMs = options.clock.nowMs();
          const spend = await spendOf(options.store, `project:${row.id}`, nowMs);
          return Response.json({ ...projectJson(options, row), spend });
        },
      ),
      PATCH: operation(
        {
          summary: "Change a project; deactivating it ends its live sessions",
          body: UPDATE,
          answer: [200, ref("Project")],
          change: { action: "project.update", subject: "project:{id}" },
        },
        async ({ context, body, by }) => {
          const row = await existingProject(options, context);
          return Response.json(projectJson(options, await updateProject(options, row, body, by)));
        },
      ),
      DELETE: operation(
        {
          summary: "Delete a project that has no usage",
          answer: [204, null],
          change: { action: "project.delete", subject: "project:{id}" },
        },
        async ({ context, by }) => {
          await deleteProject(options, pathParameter(context, "id"), by);
          return new Response(null, { status: 204 });
        },
      ),
    },
  };
}

function listProjects(options: AdminOptions) {
  return operation(
    {
      summary: "Projects, newest first; the next page is in Link",
      query: ["limit", "cursor"],
      answer: [200, arrayOf("Project")],
    },
    ({ context, query }) => {
      const size = parseLimit(query.limit, PROJECTS_LIMIT);
      const page = pageOf(options.directory.projects(), positionOf, size, query.cursor);
      const body = page.entries.map((row) => projectJson(options, row));
      return arrayResponse(context, body, page.nextCursor);
    },
  );
}

function createProject(options: AdminOptions) {
  return operation(
    {
      summary: "Make a project",
      body: CREATE,
      answer: [201, ref("Project")],
      change: { action: "project.create", subject: "", asked: ["project_name:{name}"] },
    },
    async ({ body, by }) => {
      const key = keyAndProvider(options, body);
      const nowMs = options.clock.nowMs();
      const row: ProjectRow = {
        id: newId("prj"),
        name: body.name.trim(),
        is_active: true,
        created_at: nowMs,
        updated_at: nowMs,
        deactivated_at: null,
        ...restrictionsOf(body),
      };
      const credential =
        key === null
          ? undefined
          : await sealedCredential(options, { ...key, projectId: row.id }, by);
      const details = detailsOf({ name: row.name, ...restrictionDetails(row) });
      const entry = entryFor(by, `project:${row.id}`, details);
      if (!(await options.store.insertProject(row, entry, credential))) throw nameTaken();
      options.directory.putProject(row);
      if (credential !== undefined) options.directory.putCredential(credential.row);
      return Response.json(projectJson(options, row), { status: 201 });
    },
  );
}

async function updateProject(
  options: AdminOptions,
  row: ProjectRow,
  fields: Fields<typeof UPDATE>,
  by: AuditEntry,
): Promise<ProjectRow> {
  const names = Object.keys(fields);
  if (names.length === 0) {
    const known = Object.keys(UPDATE.optional).join(", ");
    throw new Problem("bad_request", "No fields to update", `Known fields: ${known}`);
  }
  const key = keyAndProvider(options, fields);
  const change = changeOf(fields);
  if (change.name !== undefined && options.directory.projects().some(namedSo(change.name, row))) {
    throw nameTaken();
  }
  await restrict(options, row.id, fields, by);
  if (Object.keys(change).length > 0) {
    await requireWritten(options, by.subject);
    const entry = { ...by, details: detailsOf(change) };
    const nowMs = options.clock.nowMs();
    const changed = await options.store.updateProject(row.id, change, nowMs, entry);
    if (changed === null) throw notFound("Project", row.id, PROJECTS_PATH);
    options.directory.putProject(changed);
  }
  if (key !== null) await putCredential(options, { ...key, projectId: row.id }, by);
  return projectOf(options, row.id);
}

/**
 * What takes rights away comes first, stands by itself, and holds whatever becomes of the rest.
 * @throws Problem 503 where it is in force, and stored later
 */
async function restrict(
  options: AdminOptions,
  id: string,
  { is_active, revoke_tokens }: Fields<typeof UPDATE>,
  by: AuditEntry,
): Promise<void> {
  const takings: Promise<unknown>[] = [];
  if (is_active === false) takings.push(deactivate(options, id, by));
  if (revoke_tokens === true) {
    takings.push(revokeProject(options, id, null, { ...by, action: "tokens.revoke" }));
  }
  for (const taken of await Promise.allSettled(takings)) {
    if (taken.status === "rejected") throw taken.reason;
  }
}

function deactivate(
  { pending, directory, store, clock }: AdminOptions,
  id: string,
  by: AuditEntry,
): Promise<void> {
  const nowMs = clock.nowMs();
  return takeAway(
    { pending },
    {
      entry: { ...by, details: { is_active: false } },
      enforce: () => directory.suspend(id),
      async write(entry) {
        const row = await store.updateProject(id, { is_active: false }, nowMs, entry);
        if (row === null) directory.removeProject(id);
        else directory.putProject(row);
      },
    },
  );
}

/** The fields that are the project's own, without a deactivation and a revocation. */
function changeOf(fields: Fields<typeof UPDATE>) {
  const { name, is_active, models, endpoints, tiers, limits } = fields;
  return {
    ...(name === undefined ? {} : { name: name.trim() }),
    ...(is_active === true ? { is_active } : {}),
    ...(models === undefined ? {} : { models }),
    ...(endpoints === undefined ? {} : { endpoints }),
    ...(tiers === undefined ? {} : { tiers }),
    ...(limits === undefined ? {} : { limits }),
  };
}

async function deleteProject(options: AdminOptions, id: string, by: AuditEntry): Promise<void> {
  if (id === DEFAULT_PROJECT_ID) {
    const advice = "Static keys and open access belong to it; deactivate it instead";
    throw new Problem("conflict", "The default project cannot be deleted", advice);
  }
  const outcome = await options.store.deleteProject(id, by);
  if (outcome === "not_found") throw notFound("Project", id, PROJECTS_PATH);
  if (outcome === "in_use") {
    const advice = 'Deactivate it instead: PATCH it with {"is_active": false}';
    throw new Problem("conflict", "The project has usage and cannot be deleted", advice);
  }
  options.directory.removeProject(id);
}

/** The key that a project's fields set, and for which provider; null for none. */
function keyAndProvider(
  options: AdminOptions,
  fields: { readonly api_key?: string; readonly provider?: string },
): { readonly apiKey: string; readonly provider: string; readonly label: null } | null {
  if (fields.api_key !== undefined) {
    const provider = providerName(options, fields.provider);
    return { apiKey: wholeKey(fields.api_key), provider, label: null };
  }
  if (fields.provider === undefined) return null;
  const advice = 'Send "api_key", the key of that provider, with it';
  throw new Problem("bad_request", '"provider" means nothing without "api_key"', advice);
}

function nameTaken(): Problem {
  return new Problem("conflict", "A project has this name already", "Choose another name");
}

function namedSo(name: string, except: ProjectRow): (row: ProjectRow) => boolean {
  return (row) => row.name === name && row.id !== except.id;
}

function positionOf(row: ProjectRow): { timeMs: number; id: string } {
  return { timeMs: row.created_at, id: row.id };
}

function projectJson(options: AdminOptions, row: ProjectRow): object {
  return {
    id: row.id,
    name: row.name,
    is_active: row.is_active,
    created_at: rfc3339(row.created_at),
    updated_at: rfc3339(row.updated_at),
    deactivated_at: rfc3339OrNull(row.deactivated_at),
    models: row.models,
    endpoints: row.endpoints,
    tiers: row.tiers,
    limits: row.limits,
    credentials: options.directory.credentialsOf(row.id).map(credentialJson),
  };
}
