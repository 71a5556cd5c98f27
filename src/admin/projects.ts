/**
 * `/manage/projects`: projects, their credentials and their tokens as a whole.
 *
 * Owns: these routes and the JSON of a project. Does not own: the rows, or what ends when a project
 * is deactivated (`auth/`).
 * Invariant: a credential is written and never read back; answers carry its mask.
 */

import { DEFAULT_PROJECT_ID } from "../auth/static_key.ts";
import { looksMasked, maskKey, sealCredential } from "../auth/vault.ts";
import type { CredentialRow, ProjectRow } from "../store/store.ts";
import {
  type AdminOptions,
  arrayResponse,
  enforceRevocations,
  newId,
  pathParameter,
  providerName,
  type Routes,
} from "./context.ts";
import { readFields, readQuery, required } from "./fields.ts";
import { readJson } from "./guard.ts";
import { pageOf, parseLimit } from "./page.ts";
import { notFound, Problem } from "./problem.ts";
import { rfc3339, rfc3339OrNull } from "./time.ts";

const PROJECTS_PATH = "/manage/projects";
const PROJECTS_LIMIT = 1000;

/** The routes of this file. */
export function projectRoutes(options: AdminOptions): Routes {
  return {
    [PROJECTS_PATH]: {
      GET: (context) => {
        const { limit, cursor } = readQuery(context.req.raw, ["limit", "cursor"]);
        const size = parseLimit(limit, PROJECTS_LIMIT);
        const page = pageOf(options.directory.projects(), positionOf, size, cursor);
        const body = page.entries.map((row) => projectJson(options, row));
        return arrayResponse(context, body, page.nextCursor);
      },
      POST: async (context) => {
        const row = await createProject(options, await readJson(context.req.raw));
        return Response.json(projectJson(options, row), { status: 201 });
      },
    },
    [`${PROJECTS_PATH}/:id`]: {
      GET: (context) =>
        Response.json(projectJson(options, existing(options, pathParameter(context, "id")))),
      PATCH: async (context) => {
        const row = existing(options, pathParameter(context, "id"));
        const changed = await updateProject(options, row, await readJson(context.req.raw));
        return Response.json(projectJson(options, changed));
      },
      DELETE: async (context) => {
        await deleteProject(options, pathParameter(context, "id"));
        return new Response(null, { status: 204 });
      },
    },
    [`${PROJECTS_PATH}/:id/tokens/revoke`]: {
      POST: async (context) => {
        const { id } = existing(options, pathParameter(context, "id"));
        readFields((await readJson(context.req.raw)) ?? {}, {});
        return Response.json({ revoked_count: await revokeTokens(options, id) });
      },
    },
    [`${PROJECTS_PATH}/:id/credentials`]: {
      GET: (context) => {
        const { id } = existing(options, pathParameter(context, "id"));
        const credentials = options.directory.credentialsOf(id).map(credentialJson).reverse();
        return Response.json({ credentials, next_cursor: null });
      },
      POST: async (context) => {
        const { id } = existing(options, pathParameter(context, "id"));
        const shape = { provider: "text", api_key: "text", label: "nullable_text" } as const;
        const fields = readFields(await readJson(context.req.raw), shape);
        const provider = providerName(options, required("provider", fields.provider));
        const apiKey = wholeKey(required("api_key", fields.api_key));
        const row = await putCredential(options, id, provider, apiKey, fields.label ?? null);
        return Response.json(credentialJson(row), { status: 201 });
      },
    },
    [`${PROJECTS_PATH}/:id/credentials/:credential`]: {
      DELETE: async (context) => {
        const { id } = existing(options, pathParameter(context, "id"));
        await deleteCredential(options, id, pathParameter(context, "credential"));
        return new Response(null, { status: 204 });
      },
    },
  };
}

async function createProject(options: AdminOptions, body: unknown): Promise<ProjectRow> {
  const fields = readFields(body, { name: "text", api_key: "text", provider: "text" });
  const name = required("name", fields.name).trim();
  const key = keyAndProvider(options, fields);
  const nowMs = options.clock.nowMs();
  const row: ProjectRow = {
    id: newId("prj"),
    name,
    is_active: true,
    created_at: nowMs,
    updated_at: nowMs,
    deactivated_at: null,
  };
  if (!(await options.store.insertProject(row))) throw nameTaken();
  options.directory.putProject(row);
  if (key !== null) await putCredential(options, row.id, key.provider, key.apiKey, null);
  return row;
}

async function updateProject(
  options: AdminOptions,
  row: ProjectRow,
  body: unknown,
): Promise<ProjectRow> {
  const fields = readFields(body, {
    name: "text",
    api_key: "text",
    provider: "text",
    is_active: "boolean",
    revoke_tokens: "boolean",
  });
  if (Object.keys(fields).length === 0) {
    const known = "name, api_key, provider, is_active, revoke_tokens";
    throw new Problem("bad_request", "No fields to update", `Known fields: ${known}`);
  }
  if (fields.revoke_tokens === true && fields.is_active !== false) {
    const advice = `Send "is_active": false too, or POST ${PROJECTS_PATH}/{id}/tokens/revoke`;
    throw new Problem("bad_request", '"revoke_tokens" needs "is_active": false', advice);
  }
  const name = fields.name?.trim();
  const key = keyAndProvider(options, fields);
  if (name !== undefined && options.directory.projects().some(namedSo(name, row.id))) {
    throw nameTaken();
  }
  const change = {
    ...(name === undefined ? {} : { name }),
    ...(fields.is_active === undefined ? {} : { is_active: fields.is_active }),
  };
  // In force before it is stored, as a revocation is.
  if (fields.is_active === false) options.directory.putProject({ ...row, is_active: false });
  const changed = await options.store.updateProject(row.id, change, options.clock.nowMs());
  if (changed === null) throw notFound("Project", row.id, PROJECTS_PATH);
  options.directory.putProject(changed);
  if (key !== null) await putCredential(options, row.id, key.provider, key.apiKey, null);
  if (fields.revoke_tokens === true) await revokeTokens(options, row.id);
  return changed;
}

async function deleteProject(options: AdminOptions, id: string): Promise<void> {
  if (id === DEFAULT_PROJECT_ID) {
    const advice = "Static keys and open access belong to it; deactivate it instead";
    throw new Problem("conflict", "The default project cannot be deleted", advice);
  }
  const outcome = await options.store.deleteProject(id);
  if (outcome === "not_found") throw notFound("Project", id, PROJECTS_PATH);
  if (outcome === "in_use") {
    const advice = 'Deactivate it instead: PATCH it with {"is_active": false}';
    throw new Problem("conflict", "The project has usage and cannot be deleted", advice);
  }
  options.directory.removeProject(id);
}

async function revokeTokens(options: AdminOptions, projectId: string): Promise<number> {
  const nowMs = options.clock.nowMs();
  const rows = await options.store.revokeTokensOfProject(projectId, nowMs);
  enforceRevocations(options, rows);
  return rows.filter((row) => row.revoked_at === nowMs).length;
}

async function putCredential(
  options: AdminOptions,
  projectId: string,
  provider: string,
  apiKey: string,
  label: string | null,
): Promise<CredentialRow> {
  const nowMs = options.clock.nowMs();
  const identity = { id: newId("crd"), project_id: projectId, provider };
  const row: CredentialRow = {
    ...identity,
    label,
    ciphertext: await sealCredential(options.cipher, identity, apiKey),
    masked: maskKey(apiKey),
    created_at: nowMs,
    updated_at: nowMs,
  };
  await options.store.putCredential(row);
  options.directory.putCredential(row);
  return row;
}

async function deleteCredential(
  options: AdminOptions,
  projectId: string,
  id: string,
): Promise<void> {
  const path = `${PROJECTS_PATH}/{id}/credentials`;
  const known = options.directory.credentialsOf(projectId).some((row) => row.id === id);
  if (!known || !(await options.store.deleteCredential(id))) {
    throw notFound("Credential", id, path);
  }
  options.directory.removeCredential(id);
}

/** The key that a project's fields set, and for which provider; null for none. */
function keyAndProvider(
  options: AdminOptions,
  fields: { readonly api_key?: string; readonly provider?: string },
): { readonly apiKey: string; readonly provider: string } | null {
  if (fields.api_key !== undefined) {
    const provider = providerName(options, fields.provider);
    return { apiKey: wholeKey(fields.api_key), provider };
  }
  if (fields.provider === undefined) return null;
  const advice = 'Send "api_key", the key of that provider, with it';
  throw new Problem("bad_request", '"provider" means nothing without "api_key"', advice);
}

/** Refuses what a listing showed in place of a key, which would replace the real one. */
function wholeKey(apiKey: string): string {
  const trimmed = apiKey.trim();
  if (!looksMasked(trimmed)) return trimmed;
  throw new Problem(
    "masked_key",
    '"api_key" is masked',
    "Send the whole key, or leave the field out to keep the one that is stored",
  );
}

function existing(options: AdminOptions, id: string): ProjectRow {
  const row = options.directory.project(id);
  if (row === null) throw notFound("Project", id, PROJECTS_PATH);
  return row;
}

function nameTaken(): Problem {
  return new Problem("conflict", "A project has this name already", "Choose another name");
}

function namedSo(name: string, exceptId: string): (row: ProjectRow) => boolean {
  return (row) => row.name === name && row.id !== exceptId;
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
    credentials: options.directory.credentialsOf(row.id).map(credentialJson),
  };
}

function credentialJson(row: CredentialRow): object {
  return {
    id: row.id,
    project_id: row.project_id,
    provider: row.provider,
    label: row.label,
    api_key: row.masked,
    created_at: rfc3339(row.created_at),
    updated_at: rfc3339(row.updated_at),
  };
}
