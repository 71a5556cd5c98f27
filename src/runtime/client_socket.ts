/**
 * The runtime's WebSocket client with request headers, which the web's constructor does not have.
 * Owns that difference and nothing else; the relay dials by itself (`relay/dial.ts`).
 */

/** Starts opening `url` with `headers` in the handshake. */
export function openClientSocket(
  url: string,
  headers: Readonly<Record<string, string>>,
): WebSocket {
  // Both runtimes take an options object here; the web's types only know subprotocols.
  return Reflect.construct(WebSocket, [url, { headers }]) as WebSocket;
}
