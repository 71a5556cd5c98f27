/**
 * `/manage/keys`: the keys that encrypt what is stored, and those that sign tokens.
 *
 * Owns: these routes. Does not own: keys, or what a rotation does (`auth/`).
 * Invariant: of a key only what everybody may know is shown.
 */

import type { SigningKeyRow } from "../store/store.ts";
import type { AdminOptions } from "./context.ts";
import { NO_FIELDS, operation, type Operations } from "./operation.ts";
import { pageOf, ref } from "./schemas.ts";
import { rfc3339 } from "./time.ts";

/** The routes of this file. */
export function keyRoutes(options: AdminOptions): Operations {
  return {
    "/manage/keys/rotate": {
      POST: operation(
        {
          summary: "Encrypt everything at rest under the newest key",
          body: NO_FIELDS,
          answer: [200, ref("KeyRotation")],
          change: { action: "keys.rotate", subject: "" },
        },
        async ({ by }) => Response.json(await options.rotateEncryption(by)),
      ),
    },
    "/manage/keys/signing": {
      GET: operation(
        {
          summary: "The keys that tokens are signed with",
          answer: [200, pageOf("keys", "SigningKey")],
        },
        async () => {
          const rows = await options.store.listSigningKeys();
          const signer = options.tokens.signingKeyId();
          const newestFirst = rows.toSorted((left, right) => right.created_at - left.created_at);
          const keys = newestFirst.map((row) => keyJson(row, signer));
          return Response.json({ keys, next_cursor: null });
        },
      ),
    },
    "/manage/keys/signing/rotate": {
      POST: operation(
        {
          summary: "Make a new signing key; older tokens stay valid until they expire",
          body: NO_FIELDS,
          answer: [201, ref("RotatedSigningKey")],
          change: { action: "signing_key.rotate", subject: "" },
        },
        async ({ by }) => {
          const { kid, algorithm, signsFromMs } = await options.tokens.rotate(by);
          const body = { kid, algorithm, signs_from: rfc3339(signsFromMs) };
          return Response.json(body, { status: 201 });
        },
      ),
    },
  };
}

function keyJson(row: SigningKeyRow, signer: string): object {
  // Symmetric keys have an empty one.
  const publicJwk: unknown = JSON.parse(row.public_jwk);
  const isEmpty = row.public_jwk === "{}";
  return {
    kid: row.kid,
    algorithm: row.algorithm,
    created_at: rfc3339(row.created_at),
    signs: row.kid === signer,
    public_jwk: isEmpty ? null : publicJwk,
  };
}
