/** TLS in front of a cleartext server, with a look at the client's certificate. */

import { connect as tcpConnect, type Socket } from "node:net";
import { createServer } from "node:tls";

import { LOCALHOST_CERTIFICATE } from "./certificates.ts";

export interface TlsFront {
  readonly port: number;
  /** The server name that each connection asked for; null: none. */
  readonly names: readonly (string | null)[];
  stop(): void;
}

/**
 * Shows the certificate of localhost.
 * @param clientCa PEM that must have signed the client's certificate; null: none is asked for
 */
export async function tlsFront(to: number, clientCa: string | null = null): Promise<TlsFront> {
  const names: (string | null)[] = [];
  const sockets = new Set<Socket>();
  const asked =
    clientCa === null ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  const server = createServer({ ...LOCALHOST_CERTIFICATE, ...asked }, (socket) => {
    names.push(typeof socket.servername === "string" ? socket.servername : null);
    const upstream = tcpConnect(to, "127.0.0.1");
    for (const one of [socket, upstream]) {
      sockets.add(one);
      one.on("error", () => {});
    }
    socket.pipe(upstream).pipe(socket);
    socket.on("close", () => upstream.destroy());
    upstream.on("close", () => socket.end());
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    names,
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
