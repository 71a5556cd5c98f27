/**
 * IPv6 addresses in the place of a host's name.
 *
 * Owns: their brackets, which stand where a port may follow and nowhere else (RFC 3986 section
 * 3.2.2). Does not own: whether it is a name or an address at all.
 * Invariant: every other host, and one that is written as asked for already, stays as it is.
 */

/** As it stands in URLs, `Host` and in front of a port. */
export function bracketed(hostname: string): string {
  return hostname.includes(":") && !hostname.startsWith("[") ? `[${hostname}]` : hostname;
}

/** As it is dialled, listened on and looked for in certificates. */
export function unbracketed(hostname: string): string {
  return hostname.startsWith("[") && hostname.endsWith("]") ? hostname.slice(1, -1) : hostname;
}
