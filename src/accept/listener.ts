/**
 * Opening a listener, and where it can be reached.
 *
 * Owns: the words for an address that cannot be had. Does not own: the socket (`runtime/`).
 * Invariant: a failure names the address and the configuration's keys.
 */

import { bracketed } from "../lib/host_name.ts";
import type { Listener, ListenOptions, Runtime } from "../runtime/runtime.ts";

/**
 * Listens, or says which key of the configuration to change.
 * @param name `http`, `https` or `admin`: what its keys begin with
 * @throws Error
 */
export function openListener(
  runtime: Pick<Runtime, "listen">,
  name: string,
  options: ListenOptions,
): Listener {
  try {
    return runtime.listen(options);
  } catch (cause) {
    const { hostname, port } = options;
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    const why = LISTEN_FAILURES[code] ?? code;
    const keys = `${name}_port, ${name}_bind_address`;
    const message = `Cannot listen on ${hostname}:${port} (${keys}): ${why}`;
    throw new Error(message, { cause });
  }
}

const LISTEN_FAILURES: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process listens there",
  EADDRNOTAVAIL: "this machine does not have that address",
  EACCES: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)",
};

/** Addresses that stand for all of a machine's: nothing that one can connect to. */
const ANY_ADDRESS: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** A listener's base URL, as it is reached from this machine. */
export function urlOf(listener: Listener): string {
  const { secure, port } = listener;
  const hostname = ANY_ADDRESS[listener.hostname] ?? listener.hostname;
  return `${secure ? "https" : "http"}://${bracketed(hostname)}:${port}`;
}
