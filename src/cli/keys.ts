/**
 * `sluice keys`: encryption keys for `encryption_keys`. Owns making them; does not own the ring. A
 * key is printed once, kept nowhere, and has 256 random bits.
 */

import { encodeBase64, encodeHex } from "../lib/encoding.ts";
import { group, parseArguments, type Subcommand } from "./command.ts";
import { printJson, say } from "./print.ts";

const KEY_BYTES = 32;
const ID_BYTES = 4;

const generate: Subcommand = {
  name: "generate",
  synopsis: "[--json]",
  summary: "print a new encryption key as id:base64",
  run(args, io) {
    const { values } = parseArguments(args, { json: { type: "boolean" } } as const);
    const id = `k${encodeHex(crypto.getRandomValues(new Uint8Array(ID_BYTES)))}`;
    const key = encodeBase64(crypto.getRandomValues(new Uint8Array(KEY_BYTES)));
    const code = values.json === true ? printJson(io, { id, key }) : say(io, `${id}:${key}`);
    return Promise.resolve(code);
  },
};

export const keys = group(
  "keys",
  "encryption keys: generate",
  [generate],
  `Put the newest key first in encryption_keys; the others only decrypt:

  encryption_keys: ["\${SLUICE_KEY_NEW}", "\${SLUICE_KEY_OLD}"]`,
);
