/**
 * `/manage/projects/{id}/credentials`: a project's own keys for providers.
 *
 * Owns: these routes, and putting a credential in place. Does not own: the encryption
 * (`auth/vault.ts`).
 * Invariant: a credential is written and never read back; answers carry its mask.
 */

import { looksMasked, maskKey, sealCredential } from "../auth/vault.ts";
import type { AuditEntry, CredentialRow, NewCredential } from "../store/store.ts";
import { entryFor } from "./call.ts";
import { type AdminOptions, existingProject, newId, providerName } from "./context.ts";
import { operation, type Operations, pathParameter } from "./operation.ts";
import { notFound, Problem } from "./problem.ts";
import { pageOf, ref } from "./schemas.ts";
import { rfc3339 } from "./time.ts";

/** What a credential is made of. */
interface CredentialParts {
  readonly projectId: string;
  readonly provider: string;
  readonly apiKey: string;
  readonly label: string | null;
}

/** The routes of this file. */
export function credentialRoutes(options: AdminOptions): Operations {
  return {
    "/manage/projects/{id}/credentials": {
      GET: operation(
        {
          summary: "A project's credentials, masked",
          answer: [200, pageOf("credentials", "Credential")],
        },
        async ({ context }) => {
          const { id } = await existingProject(options, context);
          const credentials = options.directory.credentialsOf(id).map(credentialJson).reverse();
          return Response.json({ credentials, next_cursor: null });
        },
      ),
      POST: operation(
        {
          summary: "Store a provider's key; it takes the place of the one before",
          body: {
            required: { provider: "text", api_key: "secret" },
            optional: { label: "nullable_text" },
          },
          answer: [201, ref("Credential")],
          change: { action: "credential.put", subject: "project:{id}" },
        },
        async ({ context, body, by }) => {
          const { id } = await existingProject(options, context);
          const provider = providerName(options, body.provider);
          const apiKey = wholeKey(body.api_key);
          const made = { projectId: id, provider, apiKey, label: body.label ?? null };
          return Response.json(credentialJson(await putCredential(options, made, by)), {
            status: 201,
          });
        },
      ),
    },
    "/manage/projects/{id}/credentials/{credential}": {
      DELETE: operation(
        {
          summary: "Delete a credential",
          answer: [204, null],
          change: { action: "credential.delete", subject: "credential:{credential}" },
        },
        async ({ context, by }) => {
          const { id } = await existingProject(options, context);
          const credential = pathParameter(context, "credential");
          await deleteCredential(options, id, credential, by);
          return new Response(null, { status: 204 });
        },
      ),
    },
  };
}

/** Encrypts and stores a credential, in place of the project's former one for the provider. */
export async function putCredential(
  options: AdminOptions,
  parts: CredentialParts,
  by: AuditEntry,
): Promise<CredentialRow> {
  const made = await sealedCredential(options, parts, by);
  await options.store.putCredential(made.row, made.by);
  options.directory.putCredential(made.row);
  return made.row;
}

/** Encrypts a credential, to be stored. */
export async function sealedCredential(
  options: AdminOptions,
  { projectId, provider, apiKey, label }: CredentialParts,
  by: AuditEntry,
): Promise<NewCredential> {
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
  const details = { project_id: projectId, provider };
  return { row, by: entryFor(by, `credential:${row.id}`, details, "credential.put") };
}

async function deleteCredential(
  options: AdminOptions,
  projectId: string,
  id: string,
  by: AuditEntry,
): Promise<void> {
  const known = options.directory.credentialsOf(projectId).some((row) => row.id === id);
  const entry = { ...by, details: { project_id: projectId } };
  if (!known || !(await options.store.deleteCredential(id, entry))) {
    throw notFound("Credential", id, `/manage/projects/{id}/credentials`);
  }
  options.directory.removeCredential(id);
}

/**
 * The key without white space around it.
 * @throws Problem 400 for what a listing showed in place of a key, which would replace the real one
 */
export function wholeKey(apiKey: string): string {
  const trimmed = apiKey.trim();
  if (!looksMasked(trimmed)) return trimmed;
  throw new Problem(
    "masked_key",
    '"api_key" is masked',
    "Send the whole key, or leave the field out to keep the one that is stored",
  );
}

/** A credential as it is shown. */
export function credentialJson(row: CredentialRow): object {
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
