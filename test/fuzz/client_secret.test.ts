/**
 * `givenSecret()` on seeded answers: the provider's key in any place, spelt in any way, named twice
 * and damaged. Whatever goes on, the key is not in it, and nothing but the key is missing.
 */

import { expect, test } from "bun:test";
import { givenSecret } from "../../src/provider/openai_client_secret.ts";
import { Prng } from "../support/prng.ts";

const KEY = "ek_68af296e/8e40+8191";
const OURS = "ek_sluice-a.b.c";
const NAMES = ["value", "expires_at", "client_secret", "session", "also", "id"];
const ROUNDS = 4_000;

/** A string as JSON, some of its characters escaped. */
function quoted(prng: Prng, text: string): string {
  const spelt = [...text].map((character) => {
    if (character === "/" && prng.int(0, 1) === 0) return "\\/";
    if (prng.int(0, 9) > 0) return JSON.stringify(character).slice(1, -1);
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `"${spelt.join("")}"`;
}

function answer(prng: Prng, depth: number): string {
  const names = NAMES.filter(() => prng.int(0, 2) > 0);
  if (prng.int(0, 9) === 0) names.push(prng.pick(NAMES));
  const fields = names.map((name) => {
    const isObject = depth < 2 && (name === "client_secret" || name === "session");
    const key = prng.int(0, 9) > 0 ? KEY : "ek_other";
    const text = name === "value" || prng.int(0, 19) === 0 ? key : "é";
    const scalar = name === "expires_at" ? "1795190600" : quoted(prng, text);
    return `${quoted(prng, name)} :${isObject ? answer(prng, depth + 1) : scalar}`;
  });
  return `{${fields.join(", ")}}`;
}

test("givenSecret() lets no key out, and takes nothing else out", () => {
  const prng = new Prng(20_261_121);
  let passed = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const text = answer(prng, 0);
    const cut = prng.int(0, 9) === 0 ? text.slice(0, prng.int(0, text.length)) : text;
    const given = givenSecret(new TextEncoder().encode(cut));
    const body = given?.replacedBy(OURS) ?? null;
    if (given === null || body === null) continue;
    passed += 1;
    const edited = new TextDecoder().decode(body);
    const read = JSON.stringify(JSON.parse(edited));
    expect(read).not.toContain(given.key);
    expect(read.replaceAll(OURS, given.key)).toBe(JSON.stringify(JSON.parse(cut)));
  }
  expect(passed).toBeWithin(ROUNDS / 10, ROUNDS);
});
