/**
 * Takes secrets out of free text before anyone sees it.
 *
 * Owns: what a secret looks like, and the mark left in its place.
 * Does not own: fields; those that hold a secret are never given to an emitter in the first place.
 * Invariant: scrubbing scrubbed text changes nothing, and the mark says nothing of what it
 * replaced.
 */

import { INDEXED_LENGTH, SecretIndex } from "./secret_index.ts";

const MARK = "[redacted]";

/** A known value shorter than this would blot out ordinary words; it is left to the patterns. */
const KNOWN_SECRET_LENGTH_MIN = INDEXED_LENGTH;

/** Fewer are looked for one by one. */
const INDEXED_FROM = 16;

/** Of lists that were seen. A list is never changed, but replaced. */
const indexes = new WeakMap<readonly string[], SecretIndex>();

/**
 * In the order tried: a JWT (with or without `sk-sluice-` or `ek_sluice-`), keys by their prefixes
 * (OpenAI and Anthropic `sk-`, OpenAI's ephemeral `ek_`, Google `AIza` and `auth_tokens/`), our
 * subprotocol, `key=` in a query, and whatever follows an authorization scheme.
 */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/(?:sk-sluice-|ek_sluice-)?eyJ[\w-]{8,1024}\.[\w-]{4,}(?:\.[\w-]*)?/g, MARK],
  [/openai-insecure-api-key\.[^\s,;"']+/gi, `openai-insecure-api-key.${MARK}`],
  [/\b(?:sk|ek)[-_][\w-]{6,}/g, MARK],
  [/\bAIza[\w-]{10,}/g, MARK],
  [/\bauth_tokens\/[\w-]+/g, MARK],
  [/([?&](?:key|access_token|api_key)=)[^\s&#"']+/gi, `$1${MARK}`],
  [/\b(Bearer|Basic)(\s+)(?!\[redacted\])[^\s,;"']+/gi, `$1$2${MARK}`],
];

/** Matches wherever a pattern does, and more: one pass that spares most texts the rest. */
const HINT = /eyJ|\b[se]k[-_]|AIza|auth_tokens\/|openai-insecure|(?:key|token)=|Bearer|Basic/i;

/**
 * False: `scrub` would change nothing. A text that holds several may be looked at as one.
 * @param lists of known secrets; a list that changes is to be another one
 */
export function mayHoldSecret(text: string, lists: readonly (readonly string[])[]): boolean {
  return HINT.test(text) || lists.some((list) => holdsAny(text, list));
}

function holdsAny(text: string, list: readonly string[]): boolean {
  if (list.length < INDEXED_FROM) return list.some((secret) => isKnownIn(text, secret));
  const known = indexes.get(list);
  if (known !== undefined) return known.isIn(text);
  const index = new SecretIndex(list.filter(({ length }) => length >= KNOWN_SECRET_LENGTH_MIN));
  indexes.set(list, index);
  return index.isIn(text);
}

/**
 * The text with each secret replaced by `[redacted]`.
 * @param secrets values that this node holds: provider credentials, static keys, the admin token
 */
export function scrub(text: string, secrets: Iterable<string> = []): string {
  let clean = text;
  for (const secret of longestFirst(text, secrets)) clean = clean.replaceAll(secret, MARK);
  for (const [pattern, mark] of PATTERNS) clean = clean.replace(pattern, mark);
  return clean;
}

/** Those that occur. Longest first, or the rest of a secret that begins with another would stay. */
function longestFirst(text: string, secrets: Iterable<string>): string[] {
  const found: string[] = [];
  for (const secret of secrets) {
    if (isKnownIn(text, secret)) found.push(secret);
  }
  return found.sort((left, right) => right.length - left.length);
}

function isKnownIn(text: string, secret: string): boolean {
  return secret.length >= KNOWN_SECRET_LENGTH_MIN && text.includes(secret);
}
