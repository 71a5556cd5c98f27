/**
 * What the `content-encoding` of a body says.
 *
 * Owns: telling a plain body from one that hides its content (RFC 9110 section 8.4). Does not own:
 * undoing a coding.
 */

/** The header's codings in small letters; null: the body is plain, as `identity` says too. */
export function contentCodingOf(header: string | null): string | null {
  const coding = (header ?? "").trim().toLowerCase();
  return coding === "" || coding === "identity" ? null : coding;
}
