/**
 * A byte stream to a PostgreSQL server, with TLS where it is asked for (PostgreSQL, 54.2.11).
 *
 * Owns: TCP, the request for TLS, the check of the certificate, the time all of it may take.
 * Does not own: the protocol that follows.
 * Invariant: never falls back to cleartext; a socket that was not handed out is closed.
 */

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { checkServerIdentity, connect as connectTls, type TLSSocket } from "node:tls";

import type { DatabaseConfig } from "../config/config.ts";
import type { Clock } from "../runtime/clock.ts";
import { databaseError, DatabaseError } from "./postgres_error.ts";

/** Finds a peer that is gone without a word. */
const KEEP_ALIVE_MS = 30_000;

/** Length 8, code 1234.5679. */
const SSL_REQUEST = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);
const ACCEPTED = "S".charCodeAt(0);

/** What is trusted, and whether. */
export interface TlsTrust {
  readonly verify: boolean;
  /** PEM; null: the machine's authorities. */
  readonly ca: string | null;
  readonly serverName: string;
}

type Target = Pick<DatabaseConfig, "hostname" | "port" | "connectTimeoutMs">;

/** A socket, and how to be rid of it at once. */
export interface OpenSocket {
  readonly socket: Socket;
  destroy(): void;
}

/** @throws DatabaseError when the server cannot be reached in time, or cannot be trusted */
export async function openDatabaseSocket(
  target: Target,
  trust: TlsTrust | null,
  clock: Pick<Clock, "after">,
): Promise<OpenSocket> {
  const { hostname, port, connectTimeoutMs } = target;
  const late = Promise.withResolvers<never>();
  const timer = clock.after(connectTimeoutMs, () => {
    const message = `no connection within ${connectTimeoutMs} ms`;
    late.reject(new DatabaseError(target, "CONNECT_TIMEOUT", message));
  });
  const tcp = connectTcp({ host: hostname, port });
  // Who waits hears of errors below; one that comes when nobody does must not end the process.
  tcp.on("error", () => undefined);
  try {
    return await Promise.race([establish(tcp, target, trust), late.promise]);
  } catch (error) {
    tcp.destroy();
    throw databaseError(error, target);
  } finally {
    timer.cancel();
  }
}

async function establish(tcp: Socket, target: Target, trust: TlsTrust | null): Promise<OpenSocket> {
  await happened(tcp, "connect");
  tcp.setNoDelay(true);
  tcp.setKeepAlive(true, KEEP_ALIVE_MS);
  if (trust === null) return { socket: tcp, destroy: () => void tcp.destroy() };
  const secure = await secured(tcp, target, trust);
  const destroy = () => {
    secure.destroy();
    tcp.destroy();
  };
  return { socket: secure, destroy };
}

async function secured(tcp: Socket, target: Target, trust: TlsTrust): Promise<TLSSocket> {
  tcp.write(SSL_REQUEST);
  const answer = await happened<Uint8Array>(tcp, "data");
  // More than the one byte was put there by someone in between (CVE-2021-23222).
  if (answer[0] !== ACCEPTED || answer.length !== 1) {
    throw new DatabaseError(target, "NO_TLS", "the server offers no TLS, and TLS is asked for");
  }
  const { verify, ca, serverName } = trust;
  const secure = connectTls({
    socket: tcp,
    rejectUnauthorized: verify,
    checkServerIdentity: (_, certificate) => checkServerIdentity(serverName, certificate),
    ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    ...(ca === null ? {} : { ca }),
  });
  secure.on("error", () => undefined);
  await happened(secure, "secureConnect");
  return secure;
}

/** The next event of that name; rejects with what goes wrong before. */
function happened<T>(socket: Socket, event: string): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const closed = () => reject(Object.assign(new Error("closed at once"), { code: "ECONNRESET" }));
  const done = () => {
    socket.off(event, resolve).off("error", reject).off("close", closed);
  };
  socket.once(event, resolve).once("error", reject).once("close", closed);
  return promise.finally(done);
}
