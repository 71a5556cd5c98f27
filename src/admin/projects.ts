/**
 * `/manage/projects`: projects as a whole.
 *
 * Owns: these routes and the JSON of a project. Does not own: the rows, or what ends when a project
 * is deactivated (`auth/`).
 * Invariant: a project's name is its own; what takes rights from its tokens is in force first.
 */

import { DEFAULT_PROJECT_ID } from "../auth/static_key.ts";
import { parseLimits } from "../config/limits.ts";
import type { AuditEntry, ProjectRow } from "../store/store.ts";
import { entryFor } from "./call.ts";
import {
  type AdminOptions,
  arrayResponse,
  existingProject,
  newId,
  providerName,
} from "./context.ts";
import { credentialJson, putCredential, wholeKey } from "./credentials.ts";
import type { Fields, Shape } from "./fields.ts";
import { operation, type Operations, pathParameter } from "./operation.ts";
import { pageOf, parseLimit } from "./page.ts";
import { notFound, Problem } from "./problem.ts";
import { revokeProject } from "./revocations.ts";
import { arrayOf, ref } from "./schemas.ts";
import { spendOf } from "./spend.ts";
import { rfc3339, rfc3339OrNull } from "./time.ts";

const PROJECTS_PATH = "/manage/projects";
const PROJECTS_LIMIT = 1000;

const CREATE = {
  required: { name: "text" },
  optional: { api_key: "secret", provider: "text", limits: "limits" },
} as const satisfies Shape;

const UPDATE = {
  required: {},
  optional: {
    name: "text",
    api_key: "secret",
    provider: "text",
    is_active: "boolean",
    revoke_tokens: "boolean",
    limits: "limits",
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
      change: { action: "project.create", subject: "" },
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
        limits: parseLimits(body.limits ?? {}),
      };
      if (!(await options.store.insertProject(row, entryFor(by, `project:${row.id}`)))) {
        throw nameTaken();
      }
      options.directory.putProject(row);
      if (key !== null) await putCredential(options, { ...key, projectId: row.id }, by);
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
  // In force before it is stored, as a revocation is.
  if (fields.is_active === false) options.directory.putProject({ ...row, is_active: false });
  if (fields.revoke_tokens === true) {
    await revokeProject(options, row.id, options.clock.nowMs(), { ...by, action: "tokens.revoke" });
  }
  let changed: ProjectRow | null = row;
  if (Object.keys(change).length > 0) {
    const entry = { ...by, details: { fields: Object.keys(change).join(", ") } };
    changed = await options.store.updateProject(row.id, change, options.clock.nowMs(), entry);
    if (changed === null) throw notFound("Project", row.id, PROJECTS_PATH);
    options.directory.putProject(changed);
  }
  if (key !== null) await putCredential(options, { ...key, projectId: row.id }, by);
  return changed;
}

/** The fields that are the project's own. */
function changeOf({ name, is_active, limits }: Fields<typeof UPDATE>) {
  return {
    ...(name === undefined ? {} : { name: name.trim() }),
    ...(is_active === undefined ? {} : { is_active }),
    ...(limits === undefined ? {} : { limits: parseLimits(limits) }),
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
    limits: row.limits,
    credentials: options.directory.credentialsOf(row.id).map(credentialJson),
  };
}
