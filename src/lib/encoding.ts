/**
 * Base64, base64url, hex and UTF-8, under the names of @std/encoding.
 *
 * Owns: the strictness of decoding. Does not own: what the bytes are.
 * Invariant: every decoder accepts exactly one spelling of a value (RFC 4648 section 3.5), so that
 * two different texts never decode to the same bytes.
 */

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** @throws TypeError when the bytes are no UTF-8 */
export function decodeUtf8(bytes: Uint8Array): string {
  return strictDecoder.decode(bytes);
}

export function encodeBase64(bytes: Uint8Array): string {
  return bytes.toBase64();
}

/** @throws SyntaxError unless the text is padded base64 without white space */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.fromBase64(text);
  if (encodeBase64(bytes) !== text) throw new SyntaxError("Cannot decode base64: not canonical");
  return bytes;
}

export function encodeBase64Url(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** @throws SyntaxError unless the text is base64url without padding and white space */
export function decodeBase64Url(text: string): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
  if (encodeBase64Url(bytes) !== text)
    throw new SyntaxError("Cannot decode base64url: not canonical");
  return bytes;
}

export function encodeHex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** @throws SyntaxError unless the text is an even number of hexadecimal digits */
export function decodeHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(text);
}
