/**
 * `sluice keys`: keys for secrets at rest, and those that sign tokens.
 *
 * Owns: how rotations are asked for and shown. Does not own: the ring, or any key: one for
 * `encryption_keys` is printed once and kept nowhere.
 * Invariant: exit code 0 of `rotate` says that nothing is under an older key.
 */

import { generateKey } from "../store/key_file.ts";
import {
  connect,
  isRecord,
  NODE_OPTIONS,
  NODE_OPTIONS_HELP,
  records,
  textOf,
} from "./admin_client.ts";
import { group, parseArguments, type Subcommand } from "./command.ts";
import type { Io } from "./io.ts";
import { type Column, printEntries, printJson, printPage, say } from "./print.ts";

const SIGNING_COLUMNS: readonly Column[] = [
  ["KEY", "kid"],
  ["ALGORITHM", "algorithm"],
  ["SIGNS", "signs"],
  ["CREATED", "created_at"],
];

const FAILURE_COLUMNS: readonly Column[] = [
  ["KIND", "kind"],
  ["ID", "id"],
  ["REASON", "reason"],
];

const generate: Subcommand = {
  name: "generate",
  synopsis: "[--json]",
  summary: "print a new encryption key as id:base64; asks no node",
  run(args, io) {
    const { values } = parseArguments(args, { json: { type: "boolean" } } as const);
    const text = generateKey();
    const [id, key] = text.split(":");
    return Promise.resolve(values.json === true ? printJson(io, { id, key }) : say(io, text));
  },
};

const rotate: Subcommand = {
  name: "rotate",
  synopsis: "[--signing]",
  summary: "encrypt what is stored under the newest key; --signing: make a key that signs tokens",
  async run(args, io) {
    const options = { ...NODE_OPTIONS, signing: { type: "boolean" } } as const;
    const { values } = parseArguments(args, options);
    const client = await connect(values, io);
    const path = values.signing === true ? "keys/signing/rotate" : "keys/rotate";
    const answer = await client.send("POST", path);
    if (!isRecord(answer)) return printJson(io, answer);
    const failed = records(answer["failures"]).length > 0;
    if (values.json === true) printJson(io, answer);
    else if (values.signing === true) describeSigning(io, answer);
    else describeRotation(io, answer);
    return failed ? 1 : 0;
  },
};

const list: Subcommand = {
  name: "list",
  synopsis: "",
  summary: "list the keys that tokens are signed with",
  async run(args, io) {
    const { values } = parseArguments(args, NODE_OPTIONS);
    const client = await connect(values, io);
    const answer = await client.send("GET", "keys/signing");
    return printPage(io, values.json, answer, "keys", SIGNING_COLUMNS);
  },
};

export const keys = group(
  "keys",
  "keys for secrets at rest, and for signing: generate, rotate, list",
  [generate, rotate, list],
  `A node on SQLite makes its encryption key in data_dir, and rotate makes another one; the one
before stays in the file until the next rotation. With encryption_keys put a new key first, the
others only decrypt; restart every node; then rotate:

  encryption_keys: ["\${SLUICE_KEY_NEW}", "\${SLUICE_KEY_OLD}"]

A rotation that was cut short goes on when it is run again. Exit code 1: something could not be
read, and is listed. A new signing key signs after a few seconds; tokens of older ones stay valid
until they expire.

${NODE_OPTIONS_HELP}`,
);

function describeSigning(io: Io, answer: Record<string, unknown>): void {
  const { kid, algorithm, signs_from } = answer;
  say(io, `Made signing key ${textOf(kid)} (${textOf(algorithm)})`);
  say(io, `It signs from ${textOf(signs_from)}; older tokens stay valid until they expire`);
}

function describeRotation(io: Io, answer: Record<string, unknown>): void {
  const { key_id, key_source, key_made, credentials, signing_keys, failures } = answer;
  const isOurs = key_source === "data_dir";
  if (key_made === true) say(io, `Made encryption key ${textOf(key_id)} in data_dir`);
  else if (isOurs) say(io, "Made no key: the rotation before was not complete, and goes on");
  say(io, `Under key ${textOf(key_id)}: ${countsOf(credentials)} of the credentials`);
  say(io, `Under key ${textOf(key_id)}: ${countsOf(signing_keys)} of the signing keys`);
  const failed = records(failures);
  if (failed.length > 0) {
    io.stderr.write("error: These cannot be read; the keys that they need stay:\n");
    printEntries(io, false, failed, FAILURE_COLUMNS);
  }
  if (isOurs) describeKeyFile(io, answer);
  else say(io, adviceOf(answer));
}

/** What became of the keys in `data_dir` that nothing is under any more. */
function describeKeyFile(io: Io, answer: Record<string, unknown>): void {
  const removed = unusedKeys(answer);
  if (removed !== "") say(io, `Removed from data_dir: ${removed}`);
  const kept = textOf(answer["kept_key_id"]);
  if (kept !== "")
    say(io, `Not needed any more, kept in data_dir until the next rotation: ${kept}`);
}

function countsOf(value: unknown): string {
  const { rotated, current, failed } = isRecord(value) ? value : {};
  const texts = [`${textOf(rotated)} moved`, `${textOf(current)} were before`];
  return [...texts, `${textOf(failed)} failed`].join(", ");
}

/** What the operator does next with `encryption_keys`. */
function adviceOf(answer: Record<string, unknown>): string {
  const unused = unusedKeys(answer);
  if (unused !== "") return `Not needed any more, take them out of encryption_keys: ${unused}`;
  return (
    "If a newer key was meant: put one from `sluice keys generate` first in encryption_keys of " +
    "every node, restart them, and run this again"
  );
}

function unusedKeys({ unused_key_ids: ids }: Record<string, unknown>): string {
  return Array.isArray(ids) ? ids.map(textOf).join(", ") : "";
}
