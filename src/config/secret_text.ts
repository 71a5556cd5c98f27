/**
 * Which text must not be repeated in a message, whatever key it was found under.
 *
 * Owns: the guess that a misplaced value is a credential, and what of a value is the secret.
 * Does not own: keys that are secret by their meaning; the schema marks those.
 * Invariant: when in doubt, hidden. A message loses little, a leak is for ever.
 */

const PREFIXES = /(?:^|[^A-Za-z0-9])(?:sk|ek|pk|rk)[-_][A-Za-z0-9]|AIza|eyJ|auth_tokens\//;
const SCHEMES = /\b(?:Bearer|Basic)\s/i;
const LONG_WORD = /^[A-Za-z0-9+/_=-]{32,}$/;
const USERINFO = /:\/\/[^/\s]*@/;

/** Whether `text` reads like a credential: by a prefix, its length, or as a URL with a password. */
export function looksSecret(text: string): boolean {
  return [PREFIXES, SCHEMES, LONG_WORD, USERINFO].some((pattern) => pattern.test(text));
}

/** The secret, and by itself what stands behind a scheme or an id: as secret as the whole. */
export function partsOf(secret: string): string[] {
  const part = /^(?:(?:Bearer|Basic|Token)\s+|[\w-]{1,32}:)(\S{16,})$/i.exec(secret)?.[1];
  return part === undefined ? [secret] : [secret, part];
}

/** The password of a URL, decoded and as written; none gives nothing. */
export function passwordsOf(url: URL): string[] {
  if (url.password === "") return [];
  try {
    return [url.password, decodeURIComponent(url.password)];
  } catch {
    return [url.password];
  }
}
